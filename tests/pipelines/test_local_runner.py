"""Worker processes that start late or die: the job ends, with a reason."""

import os
import signal

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import BundleManager
from apache_beam.runners.portability.fn_api_runner.worker_handlers import WorkerHandler

from tracktokens.pipelines import local_runner
from tracktokens.pipelines.local_worker import worker_command
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import TracktokensError

# Workers cannot import this module: what they call is defined in the tests, and sent by value.


@pytest.mark.timeout(120)
def test_a_job_fails_while_one_of_its_workers_still_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerHandler, "_worker_id_counter", -1)
    monkeypatch.setattr(BundleManager, "_uid_counter", 0)  # the first bundle goes to the second worker, worker_1
    late = f'[ "$WORKER_ID" = worker_0 ] && sleep 15; {worker_command()}'
    monkeypatch.setattr(local_runner, "worker_command", lambda: late)

    def fail(_: object) -> None:
        raise TracktokensError("no such thing")

    with pytest.raises(TracktokensError, match="no such thing"):
        PipelineRunner(workers=2).run(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(fail))


@pytest.mark.timeout(120)
def test_a_worker_that_the_system_kills_fails_the_job() -> None:
    def die(_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(TracktokensError, match="stopped before its work was done: the system killed it"):
        PipelineRunner(workers=2).run(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(die))
