"""Decoding in child processes: files that break their decoder, and remote files."""

import fcntl
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from apache_beam.io.filesystem import FileSystem

from tests.support.hostile_decoding import decode
from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio import DecodedFile, DecodeLimits, WindowReader, Windows, read_windows, sandbox
from tracktokens.transforms.audio.sandbox import DecoderError, FetchError
from tracktokens.transforms.encoders.base import Failure

pytestmark = pytest.mark.disturbed

RATE = 22_050
SHORT = Windows(count=3, seconds=1.0, sample_rate=RATE)
TWO = Windows(count=2)
TIGHT = DecodeLimits(seconds=1.0, memory=1 << 28)


@pytest.fixture
def hostile():
    """A decoder that the decoder processes can import too: they share this process's search path."""
    return decode


def outcome(decoded: DecodedFile) -> object:
    if isinstance(decoded.windows, Failure):
        return decoded.windows.reason
    return [window.tolist() for window in decoded.windows]


def numbered(*numbers: int) -> list[list[list[float]]]:
    return [[[float(number)] * 2] for number in numbers]


# Files that break their decoder.


@pytest.mark.parametrize("processes", [1, 3])
def test_only_files_that_break_their_decoder_fail_and_results_keep_their_order(hostile, processes):
    names = ["0", "crash", "1", "2", "hang", "3", "eat", "4", "stumble", "5", "leave", "6", "7", "8"]
    with WindowReader(TWO, processes, TIGHT, hostile) as reader:
        results = dict(zip(names, reader.read_all(names), strict=True))
    assert [outcome(results[str(number)]) for number in range(9)] == numbered(*range(9))
    assert {name: decoded.windows for name, decoded in results.items() if isinstance(decoded.windows, Failure)} == {
        "crash": Failure(rejects.AUDIO_CRASHED, "the decoder was terminated by SIGSEGV"),
        "leave": Failure(rejects.AUDIO_CRASHED, "the decoder exited with status 3"),
        "hang": Failure(rejects.AUDIO_TIMEOUT, "not decoded after 1 s"),
        "eat": Failure(rejects.AUDIO_TOO_LARGE, "decoding it takes more than 256 MiB"),
        "stumble": Failure(rejects.AUDIO_CRASHED, "IndexError: nothing at all in the file"),
    }


def test_what_the_system_cannot_do_is_no_property_of_the_file(hostile):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader:
        results = [reader.read(name).windows for name in ("1", "refuse", "vanish", "kill")]
    assert results[1:] == [
        Failure(rejects.AUDIO_UNREADABLE, "Permission denied"),
        Failure(rejects.AUDIO_MISSING, "no such file"),
        Failure(rejects.AUDIO_UNREADABLE, "the decoder was terminated by SIGKILL"),
    ]
    assert set(rejects.TRANSIENT_REASONS) >= {rejects.AUDIO_UNREADABLE, rejects.AUDIO_MISSING}


def test_a_system_without_descriptors_is_an_error_and_not_a_failure_of_the_file(monkeypatch, hostile):
    def popen(*arguments, **options):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(subprocess, "Popen", popen)
    with WindowReader(TWO, 1, TIGHT, hostile) as reader, pytest.raises(DecoderError, match="Too many open files"):
        reader.read("1")


def test_a_file_that_crashes_a_decoder_damaged_by_an_earlier_file_is_retried_in_a_fresh_process(hostile):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader:
        assert [outcome(result) for result in reader.read_all(["poison", "suffer"])] == [[[0.0]], [[0.0]]]


def test_a_decoder_that_was_killed_between_two_files_is_replaced(hostile):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader:
        reader.read("1")
        decoder = reader._idle.get()
        decoder._process.kill()
        reader._idle.put(decoder)
        assert outcome(reader.read("2")) == numbered(2)[0]


def test_a_decoder_that_does_not_start_is_an_error_and_not_a_failure_of_the_file(monkeypatch, hostile):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with WindowReader(TWO, 1, TIGHT, hostile) as reader, pytest.raises(DecoderError, match="exited with status 1"):
        reader.read("1")


def test_a_decoder_that_lacks_a_library_is_an_error_and_not_a_failure_of_the_file(hostile):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader, pytest.raises(DecoderError, match="'no_such_library'"):
        list(reader.read_all(["1", "want"]))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems' allocators differ")
def test_a_decoder_keeps_freed_memory_for_later_arrays(hostile):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader:
        (faults,) = reader.read("churn").windows
    assert faults.max() < 100  # of 4,096 pages


def test_a_decoder_imports_no_heavy_library(hostile):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader:
        assert reader.read("heavy").windows == Failure("imported", "")


# Order, reading ahead, threads.


def test_only_a_few_files_are_requested_ahead(hostile):
    requested = []

    def paths():
        for number in range(50):
            requested.append(number)
            yield str(number)

    with WindowReader(TWO, 2, TIGHT, hostile) as reader:
        results = reader.read_all(paths())
        next(results)
        assert len(requested) == 2 * sandbox.READ_AHEAD + 1
        assert [outcome(result) for result in results] == numbered(*range(1, 50))


def test_a_reader_can_be_used_again_after_an_abandoned_read(hostile):
    with WindowReader(TWO, 2, TIGHT, hostile) as reader:
        results = reader.read_all(str(number) for number in range(20))
        next(results)
        results.close()
        assert [outcome(result) for result in reader.read_all(["7"])] == numbered(7)


def test_threads_share_the_processes(hostile):
    outcomes = {}

    def read(first):
        names = [str(number) for number in range(first, first + 10)]
        outcomes[first] = [outcome(result) for result in reader.read_all(names)]

    with WindowReader(TWO, 2, TIGHT, hostile) as reader:
        threads = [threading.Thread(target=read, args=(first,)) for first in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outcomes == {first: numbered(*range(first, first + 10)) for first in (0, 100, 200)}


def test_windows_can_be_written_to(hostile):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader:
        (window,) = reader.read("1").windows
    window *= 2
    assert window.tolist() == [2, 2]


def test_the_time_that_a_decoder_was_busy_is_reported_without_the_wait_for_it(hostile):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader:
        hanging, waiting = reader.read_all(["hang", "1"])
    assert hanging.seconds >= 1.0 > waiting.seconds


def test_both_tries_of_a_file_that_breaks_its_decoder_are_counted(hostile):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader:
        slept, crashed, missing = reader.read_all(["doze", "doze-and-crash", "shelf://none"])
    assert slept.seconds >= 0.2
    assert crashed.seconds >= 0.4
    assert missing.seconds == 0


# The end of the processes.

WORKER = """
import sys, time
sys.path[:0] = {path!r}
from tests.support.hostile_decoding import decode
from tracktokens.transforms.audio import DecodeLimits, WindowReader, Windows
reader = WindowReader(Windows(), 1, DecodeLimits(seconds=0.5), decode)
print(reader.read({file!r}) if {waits} else "", flush=True)
if not {waits}:
    __import__("threading").Thread(target=reader.read, args=({file!r},)).start()
time.sleep(600)
"""


@pytest.mark.parametrize("name", ["lock", "lock-and-hang"])
def test_a_decoder_ends_when_its_worker_is_killed_even_if_it_hangs(hostile, tmp_path, name):
    file = tmp_path / name
    script = WORKER.format(path=[*sys.path], file=str(file), waits=name == "lock")
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    worker.stdout.readline()
    wait_for(lambda: file.exists() and is_locked(file))
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    wait_for(lambda: not is_locked(file))


def test_a_decoder_ends_when_its_reader_is_closed(hostile, tmp_path):
    with WindowReader(TWO, 1, TIGHT, hostile) as reader:
        reader.read(str(tmp_path / "lock"))
        assert is_locked(tmp_path / "lock")
    assert not is_locked(tmp_path / "lock")


def is_locked(file: Path) -> bool:
    """Check for the lock, not for the process: a zombie process still exists, and holds no lock."""
    with file.open("a") as lines:
        try:
            fcntl.flock(lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Real files, and remote ones.


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "a.flac"
    sf.write(path, 0.5 * np.sin(np.arange(5 * RATE) ** 1.5 / 1000), RATE)
    return str(path)


@pytest.fixture(scope="module")
def reader():
    with WindowReader(SHORT, 2) as reader:
        yield reader


def test_a_decoder_returns_the_windows_of_read_windows(reader, song, tmp_path):
    (tmp_path / "text.mp3").write_text("liner notes")
    intact, missing, text = reader.read_all([song, str(tmp_path / "none.wav"), str(tmp_path / "text.mp3")])
    np.testing.assert_array_equal(intact.windows, read_windows(song, SHORT))
    assert [outcome(missing), outcome(text)] == [rejects.AUDIO_MISSING, rejects.AUDIO_UNDECODABLE]


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0byte", "lone \ud800 surrogate", ""])
def test_a_path_that_cannot_exist_is_missing(reader, tmp_path, name):
    assert outcome(reader.read(f"{tmp_path}/{name}")) == rejects.AUDIO_MISSING


def test_any_name_that_a_file_can_have_reaches_the_decoder(reader, song, tmp_path):
    for name in ("ü ß 中.flac", os.fsdecode(b"latin \xfc.flac"), "a\nb.flac", "http:x.flac"):
        path = tmp_path / name
        path.write_bytes(Path(song).read_bytes())
        assert len(reader.read(str(path)).windows) == 3


class ShelfFileSystem(FileSystem):
    """A remote filesystem of two files, one of which cannot be fetched."""

    files: dict[str, bytes] = {}  # noqa: RUF012

    @classmethod
    def scheme(cls):
        return "shelf"

    def open(self, path, mime_type="application/octet-stream", compression_type="auto"):
        if path.endswith("broken.wav"):
            raise TimeoutError("the shelf is out of reach")
        self._reach(path)
        return io.BytesIO(self.files[path])

    def exists(self, path):
        self._reach(path)
        return path in self.files

    @staticmethod
    def _reach(path):
        if "away" in path:
            raise TimeoutError("the shelf is out of reach")

    def join(self, base, *paths): ...
    def split(self, path): ...
    def mkdirs(self, path): ...
    def has_dirs(self): ...
    def _list(self, dir_or_prefix): ...
    def create(self, path, mime_type="application/octet-stream", compression_type="auto"): ...
    def copy(self, source_file_names, destination_file_names): ...
    def rename(self, source_file_names, destination_file_names): ...
    def size(self, path): ...
    def last_updated(self, path): ...
    def checksum(self, path): ...
    def metadata(self, path): ...
    def delete(self, paths): ...


@pytest.fixture
def shelf(song):
    ShelfFileSystem.files = {"shelf://a.flac": Path(song).read_bytes(), "shelf://broken.wav": b""}
    return song


def test_a_remote_file_has_the_windows_of_the_same_local_file(reader, shelf):
    np.testing.assert_array_equal(reader.read("shelf://a.flac").windows, read_windows(shelf, SHORT))


def test_a_remote_file_that_is_not_there_is_missing(reader, shelf):
    assert reader.read("shelf://b.flac").windows == Failure(rejects.AUDIO_MISSING, "no such file")


@pytest.mark.parametrize("name", ["shelf://broken.wav", "shelf://away/a.wav"])
def test_a_remote_file_that_cannot_be_fetched_is_an_error_and_not_a_reject(reader, shelf, name):
    with pytest.raises(FetchError, match=rf"^{name} cannot be fetched now: .*the shelf is out of reach"):
        list(reader.read_all(["shelf://a.flac", name]))
