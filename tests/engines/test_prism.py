"""Jobs on Prism, Beam's local runner for portable pipelines, with Python workers from another environment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.demo_run import DemoRun, assert_same_tokens, counted, demo_job
from tests.support.flink import ENGINES, WORKER, python_pool
from tests.support.jobs_on_runner import JobsOnRunner
from tests.support.servers import free_port, server, wait_for_port
from tracktokens.pipelines.runner import PipelineRunner

PRISM = ENGINES / "prism"

pytestmark = [
    pytest.mark.disturbed,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not (PRISM.exists() and WORKER.exists()), reason="make test-flink builds Prism, where Go is"),
]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[PipelineRunner]:
    port, web, pool_port = free_port(), free_port(), free_port()
    command = [str(PRISM), f"--job_port={port}", f"--web_port={web}", "--serve_http=false"]
    with server(command, tmp_path / "prism.log") as prism, python_pool(tmp_path, pool_port) as pool:
        wait_for_port(port, prism)
        wait_for_port(pool_port, pool)
        yield PipelineRunner(
            beam_options=(
                "--runner=PortableRunner",
                f"--job_endpoint=127.0.0.1:{port}",
                "--environment_type=EXTERNAL",
                f"--environment_config=127.0.0.1:{pool_port}",
            )
        )


def test_run_gives_the_same_table(demo_run: DemoRun, runner: PipelineRunner, tmp_path: Path) -> None:
    outcome = demo_job(demo_run.catalog, tmp_path / "store").run(runner)
    assert_same_tokens(outcome, demo_run.outcome)
    assert counted(outcome) == counted(demo_run.outcome)


class TestPrism(JobsOnRunner):
    """Jobs after the first one."""
