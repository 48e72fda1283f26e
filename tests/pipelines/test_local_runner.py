"""Worker processes: forked from one that has imported their modules; where they start late or die, the job ends."""

import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import BundleManager
from apache_beam.runners.portability.fn_api_runner.worker_handlers import WorkerHandler

from tests.support.servers import ended
from tracktokens.pipelines import local_runner, local_worker
from tracktokens.pipelines.local_worker import ForkServer, fork_server
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import TracktokensError

# Workers cannot import this module: what they call is defined in the tests, and sent by value.


@pytest.mark.timeout(120)
def test_a_job_fails_while_one_of_its_workers_still_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerHandler, "_worker_id_counter", -1)
    monkeypatch.setattr(BundleManager, "_uid_counter", 0)  # the first bundle goes to the second worker, worker_1
    fork, failed = ForkServer.fork, tmp_path / "failed"

    def fork_late(server: ForkServer, environment: dict[str, str]) -> Future[int | None]:
        if environment["WORKER_ID"] == "worker_0":
            while not failed.exists():
                time.sleep(0.1)
            time.sleep(2)  # meanwhile the failure reaches the job
        return fork(server, environment)

    monkeypatch.setattr(ForkServer, "fork", fork_late)

    def fail(_: object) -> None:
        failed.touch()
        raise TracktokensError("no such thing")

    with pytest.raises(TracktokensError, match="no such thing"):
        PipelineRunner(workers=2).run(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(fail))


@pytest.mark.timeout(120)
def test_a_worker_that_the_system_kills_fails_the_job() -> None:
    def die(_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(TracktokensError, match="stopped before its work was done: the system killed it"):
        PipelineRunner(workers=2).run(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(die))


def in_workers(folder: Path, call: Callable[[], object]) -> set[str]:
    """Call a function in the worker processes of a pipeline, and return what it returned."""

    def write(number: int) -> None:
        (folder / str(number)).write_text(str(call()))

    PipelineRunner(workers=2).run(
        lambda pipeline: pipeline | beam.Create(range(8)) | beam.Reshuffle() | beam.Map(write)
    )
    return {path.read_text() for path in folder.iterdir() if path.is_file()}


def test_workers_of_all_pipelines_are_forked_by_one_process(tmp_path: Path) -> None:
    [first] = in_workers(tmp_path, os.getppid)
    [second] = in_workers(tmp_path, os.getppid)
    assert first == second != str(os.getpid())


def test_a_worker_has_the_folder_and_the_variables_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> object:
        return Path.cwd(), os.environ.get("FRUIT")

    (tmp_path / "folder").mkdir()
    assert in_workers(tmp_path, found) == {str((Path.cwd(), None))}
    monkeypatch.chdir(tmp_path / "folder")
    monkeypatch.setenv("FRUIT", "pear")
    assert in_workers(tmp_path, found) == {str((tmp_path / "folder", "pear"))}


def test_workers_import_from_a_path_that_was_set_after_the_first_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sweet() -> object:
        return importlib.import_module("fruit").SWEET

    fork_server.start()
    assert fork_server._running is not None
    first = fork_server._running._process
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "fruit.py").write_text("SWEET = 'pear'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    assert in_workers(tmp_path, sweet) == {"pear"}
    assert first.wait(60) == 0


@pytest.mark.timeout(120)
def test_after_the_end_of_the_process_that_forks_the_job_fails_and_the_next_works(tmp_path: Path) -> None:
    worker = tmp_path / "folder" / "worker"
    worker.parent.mkdir()

    def end_server(_: object) -> None:
        worker.write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)

    with pytest.raises(TracktokensError, match="a worker process stopped before its work was done"):
        PipelineRunner(workers=2).run(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(end_server))
    assert ended(int(worker.read_text()))
    assert in_workers(tmp_path, lambda: "worked") == {"worked"}


def test_a_worker_whose_parent_ended_before_it_looked_ends() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    body = f"""
import time
from tracktokens.pipelines.local_worker import _end_with
_end_with({parent.pid})
time.sleep(60)
"""
    assert subprocess.run([sys.executable, "-c", body], timeout=30, check=False).returncode == 1


def test_the_process_that_forks_ends_with_the_one_that_started_it() -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-m", "tracktokens.pipelines.local_worker"], stdin=theirs.fileno())
    theirs.close()
    ours.close()
    assert process.wait(60) == 0


@pytest.mark.timeout(120)
def test_a_worker_that_never_starts_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_worker, "_IGNORING_SIGNALS", ("/bin/sh", "-c", "exit 3", "sh"))
    monkeypatch.setattr(local_runner, "fork_server", ForkServer())
    with pytest.raises(TracktokensError, match="stopped before its work was done: so did the process that forks all"):
        in_workers(tmp_path, lambda: "worked")


@pytest.mark.timeout(120)
def test_a_worker_that_cannot_be_started_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_worker, "_IGNORING_SIGNALS", ("/no/such/shell",))
    monkeypatch.setattr(local_runner, "fork_server", ForkServer())
    with pytest.raises(TracktokensError, match=r"it could not be started: .*No such file"):
        in_workers(tmp_path, lambda: "worked")


def test_the_timeout_of_other_sockets_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_runner, "fork_server", ForkServer())
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)
    try:
        assert in_workers(tmp_path, lambda: "worked") == {"worked"}
    finally:
        socket.setdefaulttimeout(before)
