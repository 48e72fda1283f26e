"""A release is not published over one that was published since the job started."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.vector_catalog import job, write_catalog
from tracktokens.pipelines.jobs.publish import PublishJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import StoreBusyError
from tracktokens.schemas.modalities import AUDIO, MODALITIES

pytestmark = pytest.mark.job


def test_a_run_publishes_nothing_if_latest_moved(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, 40)
    store = tmp_path / "store"
    older, newer = (job(catalog, *MODALITIES).run(PipelineRunner()).release.manifest.release_id for _ in range(2))
    latest = store / "LATEST"

    def overtake(stage: str) -> None:
        if stage == "tokenize":
            latest.write_text(f"{older}\n")

    with pytest.raises(StoreBusyError, match=rf"names {older} now, and {newer} when"):
        job(catalog, *MODALITIES).run(PipelineRunner(), overtake)
    assert latest.read_text() == f"{older}\n"
    assert len(list(store.glob("releases/*/manifest.json"))) == 2


def test_a_first_release_expects_that_there_is_none(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, 40)
    outcome = job(catalog, *MODALITIES).run(PipelineRunner())
    publish = PublishJob(str(tmp_path / "store"), outcome.bundle.bundle_id, expected_latest="")
    with pytest.raises(StoreBusyError, match="and nothing when this job began"):
        publish.run(PipelineRunner())
    again = replace(publish, expected_latest=outcome.release.manifest.release_id).run(PipelineRunner())
    assert again.manifest.bundle_id == outcome.bundle.bundle_id
    assert AUDIO in again.manifest.encoders
