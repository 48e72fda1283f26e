"""A store on an object store has one writer at a time, and LATEST moves once."""

import json
import logging
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable

import pytest

from tests.support.warm_command import Command, run_command, start_command
from tracktokens.schemas.errors import StoreBusyError
from tracktokens.transforms.store import lease
from tracktokens.transforms.store.conditional import ConflictError, ObjectStore, object_store
from tracktokens.transforms.store.files import exists, read_bytes, write_bytes
from tracktokens.transforms.store.layout import LOCK, Store
from tracktokens.transforms.store.releases import latest_id, point_latest
from tracktokens.transforms.store.writer_lock import require_writer, writer

pytestmark = pytest.mark.disturbed

OWNER = """
import sys, time
from tracktokens.transforms.store import lease
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import latest_id, point_latest
from tracktokens.transforms.store.writer_lock import writer
lease.SECONDS = {seconds}
"""

HOLD = """
with writer({root!r}, "run"):
    print("held", flush=True)
    time.sleep(600)
"""

PUBLISH = """
expected = latest_id({root!r})
print("ready", flush=True)
sys.stdin.readline()
point_latest(Store.open({root!r}), {release!r}, expected)
"""


@pytest.fixture(params=["bucket", "s3_bucket"])
def root(request: pytest.FixtureRequest) -> str:
    """A new store, on Google Cloud Storage and on S3."""
    bucket: str = request.getfixturevalue(request.param)
    return Store.open_or_create(f"{bucket}/{uuid.uuid4().hex[:8]}", 1).root


def started(code: str, seconds: float = 300.0, **names: str) -> "Command | subprocess.Popen[str]":
    """Start a process, and wait for its first line."""
    text = (OWNER + code).format(seconds=seconds, **names)
    pipe = subprocess.PIPE
    process = start_command("-c", text, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stdout.readline(), process.communicate()[1]
    return process


def objects(root: str) -> ObjectStore:
    store = object_store(root)
    assert store is not None
    return store


def steal(root: str) -> None:
    """Write the lease of another process, as after an expiry that this process did not notice."""
    found = objects(root).read(f"{root}/{LOCK}")
    assert found is not None
    thief = lease.Holder("elsewhere", 1, "train", "2026-01-01T00:00:00Z", owner="thief", seconds=300.0)
    objects(root).write(f"{root}/{LOCK}", thief.content(), found.version)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not come about in 30 seconds")


def test_an_object_is_written_only_as_the_version_that_was_read(root: str) -> None:
    store, path = objects(root), f"{root}/object"
    assert store.read(path) is None
    first = store.write(path, b"1", None)
    with pytest.raises(ConflictError):
        store.write(path, b"2", None)
    second = store.write(path, b"2", first)
    with pytest.raises(ConflictError):
        store.write(path, b"3", first)
    found = store.read(path)
    assert found is not None
    assert (found.content, found.version) == (b"2", second)
    store.delete(path)
    with pytest.raises(ConflictError):
        store.write(path, b"3", second)


def test_a_second_writer_is_refused_with_the_name_of_the_first(root: str) -> None:
    with writer(root, "run"):
        with writer(root, "embed"):
            pass  # jobs call jobs
        text = OWNER.format(seconds=300) + f"with writer({root!r}, 'train'): pass"
        done = run_command("-c", text)
        assert f"StoreBusyError: {root} is being written by `tracktokens run` (process " in done.stderr
        assert f"to free the store now, delete {root}/{LOCK}" in done.stderr
    with writer(root, "train"):
        assert json.loads(read_bytes(f"{root}/{LOCK}"))["command"] == "train"
    assert read_bytes(f"{root}/{LOCK}") == b"\n"


def test_the_lease_of_a_killed_writer_is_taken_over_when_it_ends(root: str, caplog: pytest.LogCaptureFixture) -> None:
    owner = started(HOLD, seconds=3.0, root=root)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    with (
        pytest.raises(StoreBusyError, match=rf"process {owner.pid} on .*its lock ends in \d seconds"),
        writer(root, "gc"),
    ):
        pass

    def is_free() -> bool:
        try:
            with writer(root, "train"):
                return True
        except StoreBusyError:
            return False

    with caplog.at_level(logging.WARNING):
        wait_for(is_free)
    assert f"taking over the lock of `tracktokens run` (process {owner.pid}" in caplog.text


def test_a_writer_renews_its_lease(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SECONDS", 2.0)
    with writer(root, "run"):
        wait_for(lambda: json.loads(read_bytes(f"{root}/{LOCK}"))["renewals"] >= 6)
        with pytest.raises(StoreBusyError):
            _in_thread(lambda: _hold(root))


def _hold(root: str) -> None:
    with writer(root, "train"):
        pass


def _in_thread(work: Callable[[], None]) -> None:
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in raised:
        raise error


def test_a_writer_whose_lease_was_taken_does_not_publish(root: str, caplog: pytest.LogCaptureFixture) -> None:
    store = Store.open(root)
    with writer(root, "run"):
        require_writer(root)
        steal(root)
        with pytest.raises(StoreBusyError, match="took over the lock of this job"):
            point_latest(store, "ours", "")
    assert latest_id(root) == ""
    assert json.loads(read_bytes(f"{root}/{LOCK}"))["owner"] == "thief"  # the thief keeps it


def test_of_many_threads_one_moves_latest(root: str) -> None:
    store = Store.open(root)
    start, moved = threading.Barrier(8), []

    def publish(number: int) -> None:
        start.wait()
        try:
            point_latest(store, f"release-{number}", "")
            moved.append(f"release-{number}")
        except StoreBusyError:
            pass

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [latest_id(root)] == moved


def test_of_two_processes_one_moves_latest(root: str) -> None:
    write_bytes(f"{root}/LATEST", b"before\n")
    racers = [started(PUBLISH, root=root, release=release) for release in ("older", "newer")]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    errors = [racer.communicate()[1] for racer in racers]
    codes = [racer.returncode for racer in racers]
    assert sorted(codes) == [0, 1], errors
    assert latest_id(root) == ("older", "newer")[codes.index(0)]
    assert "StoreBusyError" in errors[codes.index(1)]


def test_a_folder_without_a_store_is_not_locked(root: str) -> None:
    with writer(f"{root}/other", "train"):
        assert not exists(f"{root}/other/{LOCK}")
