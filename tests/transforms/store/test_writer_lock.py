"""A store has one writer at a time."""

import errno
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracktokens.schemas.errors import StoreBusyError, UsageError
from tracktokens.transforms.store.layout import LOCK, Store
from tracktokens.transforms.store.writer_lock import writer, writes

OWNER = """
import os, subprocess, sys, time
from tracktokens.transforms.store.writer_lock import writer
with writer({root!r}, "run"):
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    is_running, report = os.pipe()
    forked = os.fork()
    if not forked:
        os.write(report, b"!")
        time.sleep(600)
    os.read(is_running, 1)  # a child that was not scheduled yet still holds what it inherited
    print(started.pid, forked, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def store(tmp_path: Path) -> str:
    return Store.open_or_create(str(tmp_path / "store"), 1).root


def is_refused(root: str) -> bool:
    """Return whether another process is refused."""
    code = f"from tracktokens.transforms.store.writer_lock import writer\nwith writer({root!r}, 'train'): pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 or "StoreBusyError" in done.stderr, done.stderr
    return bool(done.returncode)


@pytest.mark.disturbed
def test_a_second_process_is_refused_with_the_name_of_the_first(store: str) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER.format(root=store)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    children = [int(pid) for pid in owner.stdout.readline().split()]
    try:
        expected = rf"{store} is being written by `tracktokens run` \(process {owner.pid} on .+\) since 20.+ UTC: wait"
        with pytest.raises(StoreBusyError, match=expected), writer(store, "train"):
            pass
    finally:
        for pid in (owner.pid, *children):
            os.kill(pid, signal.SIGKILL)
        owner.wait()


@pytest.mark.disturbed
def test_the_lock_of_a_killed_process_is_free_even_if_its_children_live(store: str) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER.format(root=store)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    children = [int(pid) for pid in owner.stdout.readline().split()]
    try:
        owner.kill()
        owner.wait()
        assert [is_alive(pid) for pid in children] == [True, True]
        with writer(store, "train"):
            assert json.loads(Path(store, LOCK).read_text())["command"] == "train"
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.disturbed
def test_a_job_may_call_jobs_and_holds_the_store_to_its_end(store: str) -> None:
    with writer(store, "run"):
        with writer(store, "embed"):
            pass
        assert is_refused(store)
    assert not is_refused(store)
    assert Path(store, LOCK).read_bytes() == b""


def test_another_thread_is_another_writer(store: str) -> None:
    raised: list[type[BaseException]] = []

    def work() -> None:
        try:
            with writer(store, "train"):
                pass
        except StoreBusyError as error:
            raised.append(type(error))

    with writer(store, "run"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert raised == [StoreBusyError]


@pytest.mark.disturbed
def test_a_new_store_is_locked_too(tmp_path: Path) -> None:
    root = str(tmp_path / "new" / "store")
    with writer(root, "run", creates=True):
        Store.open_or_create(root, 1)
        assert is_refused(root)
    assert Store.open(root).buckets == 1


def test_a_job_that_creates_no_store_leaves_no_file(tmp_path: Path) -> None:
    with writer(str(tmp_path / "new" / "store"), "run", creates=True):
        pass
    with writer(str(tmp_path / "other"), "train"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_a_first_run_was_killed_can_become_a_store(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("{}")
    with writer(str(tmp_path), "run", creates=True):
        assert Store.open_or_create(str(tmp_path), 1).buckets == 1


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot be written"), writer(str(tmp_path / "file"), "run", creates=True):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_filesystem_without_locks_is_a_warning(
    store: str, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with caplog.at_level(logging.WARNING), writer(store, "run"):
        pass
    assert "cannot be locked" in caplog.text


@pytest.mark.disturbed
def test_a_job_holds_its_store_while_it_runs(store: str) -> None:
    class Job:
        def __init__(self, store: str) -> None:
            self.store = store

        @writes("train")
        def run(self) -> bool:
            return is_refused(self.store)

    assert Job(store).run()
    assert not is_refused(store)


def test_a_filesystem_that_is_not_an_object_store_has_no_lock(caplog: pytest.LogCaptureFixture) -> None:
    with writer("hdfs://host/store", "run", creates=True):
        pass
    assert "filesystem without locks" in caplog.text


def test_a_link_as_lock_does_not_empty_its_target(store: str, tmp_path: Path) -> None:
    target, lock = tmp_path / "letters", Path(store, LOCK)
    target.write_text("mine")
    lock.unlink(missing_ok=True)
    lock.symlink_to(target)
    with pytest.raises(UsageError, match=f"{lock} is a link"), writer(store, "run"):
        pass
    assert target.read_text() == "mine"


def test_a_lock_with_a_second_name_is_replaced(store: str, tmp_path: Path) -> None:
    target, lock = tmp_path / "letters", Path(store, LOCK)
    target.write_text("mine")
    lock.unlink(missing_ok=True)
    lock.hardlink_to(target)
    with writer(store, "run"):
        assert "run" in lock.read_text()
        assert not lock.samefile(target)
    assert target.read_text() == "mine"
    assert {path.name for path in Path(store).glob(".*")} == set()


def test_a_store_and_its_copy_of_hard_links_are_written_each(store: str, tmp_path: Path) -> None:
    with writer(store, "run"):
        copy = shutil.copytree(store, tmp_path / "copy", copy_function=os.link)
        with pytest.raises(StoreBusyError), writer(str(copy), "run"):  # the lock is still the same file
            pass
    with writer(store, "run"), writer(str(copy), "run"):
        pass


def test_a_pipe_as_lock_is_refused_without_waiting_for_a_reader(store: str) -> None:
    Path(store, LOCK).unlink(missing_ok=True)
    os.mkfifo(Path(store, LOCK))
    with pytest.raises(UsageError, match="not a regular file"), writer(store, "run"):
        pass
