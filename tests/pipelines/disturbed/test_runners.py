"""The same tokens on every runner."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.demo_run import DemoRun, assert_same_tokens, demo_job
from tests.support.jobs_on_runner import JobsOnRunner
from tests.support.servers import free_port, wait_for_port
from tracktokens.pipelines.runner import PipelineRunner

pytestmark = pytest.mark.disturbed


@pytest.fixture
def portable_options() -> Iterator[tuple[str, ...]]:
    """Beam's portable job service, and a pool that starts SDK workers in separate processes."""
    job_port, pool_port = free_port(), free_port()
    service = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main", "--port", str(job_port)]
    pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", "--service_port", str(pool_port)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    processes = [subprocess.Popen(command, env=environment, start_new_session=True) for command in (service, pool)]
    try:
        for port, process in zip((job_port, pool_port), processes, strict=True):
            wait_for_port(port, process)
        yield (
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{job_port}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool_port}",
        )
    finally:
        for process in processes:
            os.killpg(process.pid, 15)
            process.wait()


def test_two_worker_processes_give_the_same_table(demo_run: DemoRun, tmp_path: Path) -> None:
    outcome = demo_job(demo_run.catalog, tmp_path / "store").run(PipelineRunner(workers=2))
    assert_same_tokens(outcome, demo_run.outcome)


def test_the_portable_job_service_gives_the_same_table(
    demo_run: DemoRun, tmp_path: Path, portable_options: tuple[str, ...]
) -> None:
    outcome = demo_job(demo_run.catalog, tmp_path / "store").run(PipelineRunner(beam_options=portable_options))
    assert_same_tokens(outcome, demo_run.outcome)


class TestTwoWorkerProcesses(JobsOnRunner):
    @pytest.fixture
    def runner(self) -> PipelineRunner:
        return PipelineRunner(workers=2)


class TestPortableJobService(JobsOnRunner):
    @pytest.fixture
    def runner(self, portable_options: tuple[str, ...]) -> PipelineRunner:
        return PipelineRunner(beam_options=portable_options)
