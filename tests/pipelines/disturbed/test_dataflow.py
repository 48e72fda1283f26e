"""Jobs on Dataflow, against a service on loopback that runs nothing: what is printed, and how a job ends."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import apache_beam as beam
import pytest

from tests.support.fake_dataflow import JOB, FakeDataflow, serving
from tests.support.jobs_on_runner import JobsOnRunner
from tracktokens.pipelines import remote_job
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, TracktokensError
from tracktokens.transforms.runtime.progress import ProgressReporter

pytestmark = pytest.mark.disturbed

LINK = f"https://console.cloud.google.com/dataflow/jobs/europe-west4/{JOB}?project=music"
RUNNING, DONE, FAILED = "JOB_STATE_RUNNING", "JOB_STATE_DONE", "JOB_STATE_FAILED"
CANCELLED, DRAINED = "JOB_STATE_CANCELLED", "JOB_STATE_DRAINED"

PIPELINES = 10
"""A refresh, a retraining, gc and verify are at least so many."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_job, "POLL_SECONDS", 0.02)


def run(service: FakeDataflow, monkeypatch: pytest.MonkeyPatch, progress: ProgressReporter | None = None) -> None:
    with serving(service, monkeypatch):
        runner = PipelineRunner(1, service.options, progress or ProgressReporter())
        runner.run(lambda pipeline: pipeline | beam.Create([1, 2]) | beam.Map(str))


def sends(number: int, service: FakeDataflow) -> Callable[[], None]:
    """Return a function that sends a signal to this process, once, as soon as the job is followed."""
    unsent = Lock()

    def send() -> None:
        if service.is_followed and unsent.acquire(blocking=False):
            os.kill(os.getpid(), number)

    return send


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Read the lines about the job; Beam's threads may print between them."""
    return [line for line in capsys.readouterr().err.splitlines() if JOB in line]


def test_the_id_and_the_link_of_a_job_are_printed_when_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = FakeDataflow([RUNNING, RUNNING, DONE])
    run(service, monkeypatch)
    assert len(service.created) == 1
    assert printed(capsys)[-1] == f"started Dataflow job {JOB} ({LINK})"


def test_the_counters_of_the_job_are_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = ProgressReporter(str(tmp_path))
    progress.add("scan", total=100)

    def wait_for_metrics() -> None:
        while not progress.read()["scan"]["done"]:
            time.sleep(0.01)

    service = FakeDataflow([RUNNING, RUNNING, DONE], metrics={"done scan": 60, "total encode tags": 7})
    service.on_state = wait_for_metrics  # the job ends only after its counters are shown
    run(service, monkeypatch, progress)
    assert progress.read()["scan"] == {"done": 60, "total": 100}
    assert progress.read()["encode tags"]["total"] == 7


@pytest.mark.parametrize("state", [FAILED, CANCELLED, DRAINED])
def test_a_job_that_did_not_finish_is_an_error_with_the_link(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TracktokensError) as raised:
        run(FakeDataflow([RUNNING, state], errors=["Workflow failed."]), monkeypatch)
    assert LINK in str(raised.value)
    assert state.removeprefix("JOB_STATE_") in str(raised.value)


def test_an_error_of_a_worker_is_raised_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = "Traceback (most recent call last):\ntracktokens.schemas.errors.InvalidDataError: a.parquet is corrupt"
    with pytest.raises(InvalidDataError, match=r"^a.parquet is corrupt$"):
        run(FakeDataflow([RUNNING, FAILED], errors=[worker]), monkeypatch)
    assert printed(capsys)[-1] == f"failed Dataflow job {JOB} ({LINK})"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_job(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = FakeDataflow([RUNNING])
    service.on_state = sends(number, service)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(service, monkeypatch)
    assert service.requested == [CANCELLED]
    lines = printed(capsys)
    assert lines[-2].startswith(f"cancelling Dataflow job {JOB}")
    assert lines[-1] == f"cancelled Dataflow job {JOB} ({LINK})"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_ctrl_c_leaves_a_job_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = FakeDataflow([RUNNING], cancels=False)
    first, second = sends(signal.SIGINT, service), sends(signal.SIGINT, service)
    service.on_state = lambda: second() if service.requested else first()
    with pytest.raises(KeyboardInterrupt):
        run(service, monkeypatch)
    assert printed(capsys)[-1].endswith("may still be running, and write the store: cancel it yourself")


@dataclass(frozen=True)
class SubmittedFirst(PipelineRunner):
    """Submits each pipeline to a service, which accepts it, and then runs it in this process.

    Attributes:
        remote: runner that submits to the service.
    """

    remote: PipelineRunner = field(default_factory=PipelineRunner)

    def run(self, build: Callable[[beam.Pipeline], object]) -> None:
        self.remote.run(build)
        super().run(build)


class TestDataflowAcceptsEveryJob(JobsOnRunner):
    """Beam translates each pipeline of the jobs for Dataflow, and the service gets it."""

    @pytest.fixture
    def runner(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipelineRunner]:
        service = FakeDataflow([DONE])
        with serving(service, monkeypatch):
            yield SubmittedFirst(remote=PipelineRunner(beam_options=service.options))
        names = [job["name"] for job in service.created]
        assert len(set(names)) == len(names) >= PIPELINES
