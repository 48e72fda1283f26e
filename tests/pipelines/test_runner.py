"""Pipelines in worker processes that end before their work does."""

import logging
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.transforms.store import files


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Modes of the pipelines that run. Those with several processes fail like one with too large a message."""
    modes: list[str] = []
    run_pipeline = FnApiRunner.run_pipeline

    def run(runner: FnApiRunner, pipeline: beam.Pipeline, options: Any) -> Any:
        modes.append(options.view_as(DirectOptions).direct_running_mode)
        if modes[-1] == "multi_processing":
            raise RuntimeError("Channel closed prematurely.")
        return run_pipeline(runner, pipeline, options)

    monkeypatch.setattr(FnApiRunner, "run_pipeline", run)
    return modes


def test_a_step_with_too_large_a_message_runs_again_in_this_process(
    modes: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "sum.json")

    def build(pipeline: beam.Pipeline) -> None:
        total = pipeline | beam.Create([1, 2]) | beam.CombineGlobally(sum)
        total | beam.Map(lambda value: files.write_json(path, {"sum": value}))

    with caplog.at_level(logging.WARNING):
        PipelineRunner(workers=2).run(build)
    assert modes == ["multi_processing", "in_memory"]
    assert files.read_json(path) == {"sum": 3}
    assert "larger than 2 GiB: running the step again, in-process" in caplog.text


def test_another_error_of_a_worker_is_raised(modes: list[str]) -> None:
    def fail(value: int) -> None:
        raise ValueError(f"no {value}")

    with pytest.raises(ValueError, match="no 1"):
        PipelineRunner().run(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(fail))
    assert modes == ["in_memory"]
