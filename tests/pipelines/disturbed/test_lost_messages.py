"""A message lost between workers is detected, the step runs again, and no wrong release is published."""

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.demo_run import token_table
from tests.support.vector_catalog import job, write_catalog
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.catalog.scan_tracks import ScanTracks
from tracktokens.transforms.release.write_tokens import SendCodes

pytestmark = pytest.mark.disturbed

Process = Callable[..., Iterator[Any]]


def losing(process: Process, times: int) -> Process:
    """Wrap a step so that its first batches are lost, in this many runs."""
    left = [times]

    def lossy(self: object, element: object) -> Iterator[Any]:
        for output in process(self, element):
            is_batch = isinstance(output, tuple) and isinstance(output[1], pa.RecordBatch)
            if is_batch and output[1].num_rows and left[0]:
                left[0] -= 1
            else:
                yield output

    return lossy


@pytest.mark.parametrize(("step", "retry"), [(ScanTracks, "once more|again"), (SendCodes, "once more, in-process")])
def test_a_message_that_is_lost_once_is_sent_again(
    step: type, retry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "lossy").mkdir()
    expected = token_table(job(write_catalog(tmp_path / "whole"), *MODALITIES).run(PipelineRunner()))
    monkeypatch.setattr(step, "process", losing(step.process, 1))
    with caplog.at_level(logging.WARNING):
        found = token_table(job(write_catalog(tmp_path / "lossy"), *MODALITIES).run(PipelineRunner()))
    assert re.search(retry, caplog.text)
    assert found.equals(expected)


@pytest.mark.parametrize("step", [ScanTracks, SendCodes])
def test_a_message_that_is_lost_again_is_an_error_and_nothing_is_published(
    step: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = write_catalog(tmp_path)
    monkeypatch.setattr(step, "process", losing(step.process, 1_000))
    with pytest.raises(TracktokensError, match="nothing was published"):
        job(catalog, *MODALITIES).run(PipelineRunner())
    assert not (catalog / "store" / "LATEST").exists()
