"""Follow a job on another machine: print its id and link, show its progress, and cancel it on Ctrl-C."""

import contextlib
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from tracktokens.transforms.runtime.progress import COUNTERS, DONE, TOTAL, ProgressReporter

POLL_SECONDS = 10.0
"""Time between two requests for the metrics of a job, and for the state of a job that is being cancelled."""

CONSOLE = "https://console.cloud.google.com/dataflow/jobs/{region}/{job_id}?project={project}"


class RemoteJobError(Exception):
    """A job elsewhere did not succeed. The text may have the error of a worker."""


@dataclass(frozen=True)
class RemoteJob:
    """A job that a runner executes elsewhere.

    Attributes:
        result: Beam's handle of the job.
        name: runner, id and, on Dataflow, the link to the job in the console.
        progress: reporter that gets the counters of the job.
    """

    result: PipelineResult
    name: str
    progress: ProgressReporter

    @classmethod
    def of(cls, result: PipelineResult, options: PipelineOptions, progress: ProgressReporter) -> "RemoteJob | None":
        """Describe the job behind a result; None where the runner ran the pipeline in this process."""
        if callable(job_id := getattr(result, "job_id", None)):
            return cls(result, f"Dataflow job {job_id()} ({console_link(job_id(), options)})", progress)
        if job_id := getattr(result, "_job_id", None):
            runner = str(options.view_as(StandardOptions).runner).rpartition(".")[2]
            return cls(result, f"{runner} job {job_id}", progress)
        return None

    def follow(self) -> None:
        """Wait until the job ends, and show its progress meanwhile.

        Raises:
            RemoteJobError: the job failed, or somebody cancelled or drained it.
            KeyboardInterrupt: Ctrl-C or SIGTERM; the job is cancelled.
        """
        with _as_interrupt(signal.SIGTERM), contextlib.ExitStack() as polling:  # it ends after a job is cancelled
            try:
                _print(f"started {self.name}")
                polling.enter_context(self._polling())
                state = self.result.wait_until_finish()
            except KeyboardInterrupt:
                self._cancel()
                raise
            except Exception as error:
                _print(f"failed {self.name}")
                raise RemoteJobError(f"{self.name} did not succeed: {error}") from error
        if state != PipelineState.DONE:
            raise RemoteJobError(f"{self.name} ended as {state}")

    def _cancel(self) -> None:
        """Cancel the job, and wait until it has ended: its workers write the store as long as it runs."""
        _print(f"cancelling {self.name}, which takes a minute; press Ctrl-C again to leave it running")
        try:
            self.result.cancel()
            while not self._has_ended():
                threading.Event().wait(POLL_SECONDS)
        except KeyboardInterrupt:
            _print(f"{self.name} may still be running, and write the store: cancel it yourself")
        except Exception as error:
            _print(f"{self.name} could not be cancelled, cancel it yourself: {error}")
        else:
            _print(f"cancelled {self.name}")

    def _has_ended(self) -> bool:
        try:
            return bool(PipelineState.is_terminal(self.result.state))
        except Exception:
            return True  # a job server that this process started ends with its job

    @contextlib.contextmanager
    def _polling(self) -> Iterator[None]:
        """Copy the counters of the job into the progress, from a thread, while a block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self._poll, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(POLL_SECONDS)

    def _poll(self, stop: threading.Event) -> None:
        finished = False
        while not finished:
            finished = stop.wait(POLL_SECONDS)
            with contextlib.suppress(Exception):  # metrics are for people: a failed request must not end a job
                self.progress.put(self.name, stage_counts(self.result))


def stage_counts(result: PipelineResult) -> dict[str, Counter[str]]:
    """Read the progress counters of a running job: stage to ``done`` and ``total``."""
    result._metrics = None  # a portable runner would answer with its first metrics forever
    stages: dict[str, Counter[str]] = {}
    for counter in result.metrics().query(MetricsFilter().with_namespace(COUNTERS))["counters"]:
        kind, _, stage = counter.key.metric.name.partition(" ")
        if kind in (DONE, TOTAL):
            stages.setdefault(stage, Counter())[kind] += _value(counter)
    return stages


def _value(counter: Any) -> int:
    """Return the attempted value, which is known earlier than the committed one."""
    return int(counter.committed if counter.attempted is None else counter.attempted)


def console_link(job_id: str, options: PipelineOptions) -> str:
    """Return the page of a job in the console of Google Cloud."""
    cloud = options.view_as(GoogleCloudOptions)
    return CONSOLE.format(region=cloud.region, job_id=job_id, project=cloud.project)


@contextlib.contextmanager
def _as_interrupt(number: signal.Signals) -> Iterator[None]:
    """Treat a signal as Ctrl-C while a block runs, unless it is already; only the main thread can."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) is not signal.SIG_DFL:
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.signal(number, previous)


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
