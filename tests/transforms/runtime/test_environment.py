"""Workers that differ from the driver are refused before they compute anything."""

import logging
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import pytest

from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.runtime import environment
from tracktokens.transforms.runtime.environment import (
    DriverEnvironment,
    Environment,
    hash_sources,
    own_environment,
    require_same,
)

DRIVER = Environment("0.1.0", "1a2b3c4d5e6f", "3.11", {"librosa": "0.11.0", "gensim": "4.4.0"}, "Haswell")


def as_driver(monkeypatch: pytest.MonkeyPatch, driver: Environment) -> None:
    """Let the next call, which is the driver's, return an environment, and later ones this process's own."""
    own, answers = own_environment(), [driver]
    monkeypatch.setattr(environment, "own_environment", lambda: answers.pop() if answers else own)


def test_equal_environments_pass(caplog: pytest.LogCaptureFixture) -> None:
    sent = DriverEnvironment(own_environment())
    assert pickle.loads(pickle.dumps(sent)) == sent  # noqa: S301 - our own
    assert not caplog.records


def test_the_message_names_both_sides() -> None:
    worker = replace(DRIVER, sources="ffffffffffff", packages={"librosa": "0.10.2"})
    with pytest.raises(UsageError) as caught:
        require_same(DRIVER, worker)
    assert "sources of tracktokens ffffffffffff, not 1a2b3c4d5e6f" in str(caught.value)
    assert "librosa 0.10.2, not 0.11.0" in str(caught.value)
    assert "gensim missing, not 4.4.0" in str(caught.value)


def test_a_job_with_another_driver_fails_before_its_first_element(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_driver(monkeypatch, replace(own_environment(), sources="0" * 12))
    with pytest.raises(UsageError, match="sources of tracktokens"):
        PipelineRunner().run(_writing(tmp_path / "written"))
    assert not (tmp_path / "written").exists()


def test_workers_in_other_processes_compare_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    as_driver(monkeypatch, replace(own_environment(), packages={"librosa": "0.0.1"}))
    with pytest.raises(UsageError, match=r"librosa .*, not 0\.0\.1"):
        PipelineRunner(workers=2).run(_writing(tmp_path / "written"))


def _writing(path: Path) -> Callable[[beam.Pipeline], object]:
    return lambda pipeline: pipeline | beam.Create([b"1"]) | beam.Map(path.write_bytes)


def test_another_kernel_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        require_same(DRIVER, replace(DRIVER, kernel="Zen"))
    assert "OpenBLAS kernel Zen, the driver with Haswell" in caplog.text


def test_the_hash_of_the_sources_sees_an_edit_in_place(tmp_path: Path) -> None:
    source = tmp_path / "transforms" / "catalog" / "texts.py"
    source.parent.mkdir(parents=True)
    source.write_text("SEPARATOR = ', '\n")
    before = hash_sources(tmp_path)
    (source.parent / "notes.txt").write_text("not a source")
    assert hash_sources(tmp_path) == before
    source.write_text("SEPARATOR = '; '\n")
    assert hash_sources(tmp_path) != before
