"""Decoding in child processes: a file that crashes its decoder, hangs it or exhausts memory costs one track.

The processes are plain children that communicate over a socket. ``multiprocessing`` and the pools built on it do not
work inside a Beam worker: a fork copies the locks of its threads, and a spawned child runs the parent's main module
again, which is Beam's or the user's script.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.failure import Failure
from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio.decode import read_windows
from tracktokens.transforms.audio.decoder_worker import Decode, DecoderSetup, serve
from tracktokens.transforms.audio.errors import AudioDecodeError, one_line
from tracktokens.transforms.audio.windows import Signal, Windows

START_SECONDS = 120.0
"""Seconds that a decoder may take to start; usually it takes 0.3 s."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 24),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 26),
}
"""Environment of a decoder. It is one of several, and uses one core. Up to 64 MiB that a file frees are kept for the
next file: by default glibc returns them array by array, and a third of the time is spent on allocating them again."""

_OUTSIDE_SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM}
"""Signals that come from outside, such as from a system without memory: what was decoded is not the cause."""

READ_AHEAD = 2
"""Files per process that are submitted before the first result is consumed: one being decoded, one waiting."""


@dataclass(frozen=True)
class DecodeLimits:
    """Time and memory that one file may take.

    Attributes:
        seconds: time to decode it; the default is three orders of magnitude above what a track takes. Fetching a
            remote file is not counted.
        memory: bytes above what an idle decoder takes; enforced on Linux only.
    """

    seconds: float = 60.0
    memory: int = 1 << 30


@dataclass(frozen=True)
class DecodedFile:
    """Result of decoding one file.

    Attributes:
        windows: at least one float32 array of shape (samples,) at the windows' rate, or the failure.
        seconds: time that decoders worked on it. Waiting for a decoder, starting it and fetching the file are excluded.
    """

    windows: list[Signal] | Failure
    seconds: float = 0.0


class DecoderError(TracktokensError):
    """A decoder process does not start, or cannot import a library: the installation is broken, not a file."""


class FetchError(TracktokensError):
    """A remote file cannot be fetched now. The file itself may be intact, so it is not rejected."""


class WindowReader:
    """Reads the windows of audio files in child processes, which it starts on demand and keeps.

    Several threads may use one reader; they share the processes. The processes end when the reader is closed, or when
    the parent process ends for any reason.
    """

    def __init__(
        self, windows: Windows, processes: int, limits: DecodeLimits | None = None, decode: Decode = read_windows
    ) -> None:
        """Prepare the decoders; none is started yet.

        Args:
            windows: parts of each file to decode.
            processes: files decoded at a time, each on one core.
            limits: time and memory per file; None takes the defaults.
            decode: runs in the decoder process; reads the windows of a local file, or computes other arrays from them.
        """
        limits = limits or DecodeLimits()
        self._processes = processes
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="decoders")
        self._idle: SimpleQueue[_Decoder] = SimpleQueue()
        setup = DecoderSetup(decode, windows, limits.seconds, limits.memory)
        decoders = [_Decoder(setup) for _ in range(processes)]
        for decoder in decoders:
            self._idle.put(decoder)
        self._finalizer = weakref.finalize(self, _shut_down, decoders, self._threads)

    def read_all(self, paths: Iterable[str]) -> Iterator[DecodedFile]:
        """Read files and yield results in the same order; the processes work a few files ahead of the consumer.

        Raises:
            DecoderError: a decoder does not start, or cannot import a library.
            FetchError: a remote file cannot be fetched now.
        """
        pending: deque[Future[DecodedFile]] = deque()
        try:
            for path in paths:
                pending.append(self._threads.submit(self.read, path))
                if len(pending) > READ_AHEAD * self._processes:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def read(self, path: str) -> DecodedFile:
        """Read one file in an idle process, or wait for the first process to become idle.

        Args:
            path: a local path, or ``scheme://...`` on any Beam filesystem.

        Raises:
            DecoderError: a decoder does not start, or cannot import a library.
            FetchError: a remote file cannot be fetched now.
        """
        try:
            with _local_copy(path) as local, self._idle_decoder() as decoder:
                return decoder.read(local)
        except AudioDecodeError as error:
            return DecodedFile(Failure(error.reason, error.detail))

    @contextmanager
    def _idle_decoder(self) -> Iterator["_Decoder"]:
        decoder = self._idle.get()
        try:
            yield decoder
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """End the processes."""
        self._finalizer()

    def __enter__(self) -> "WindowReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _shut_down(decoders: list["_Decoder"], threads: ThreadPoolExecutor) -> None:
    threads.shutdown(wait=False, cancel_futures=True)
    for decoder in decoders:
        decoder.end()


class _Decoder:
    """One decoder process, started for the first file and restarted after a file that breaks it."""

    def __init__(self, setup: DecoderSetup) -> None:
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[object, object]

    def read(self, path: str) -> DecodedFile:
        """Decode a file. If a used process crashes, an earlier file may be the cause: retry in a fresh process."""
        was_used = self._process is not None
        first = self._attempt(path)
        if not was_used or not isinstance(first.windows, Failure) or not self._has_crashed(first.windows):
            return first
        self.end()
        second = self._attempt(path)
        return DecodedFile(second.windows, first.seconds + second.seconds)

    def _has_crashed(self, failure: Failure) -> bool:
        ended = self._process is None and failure.reason != rejects.AUDIO_TIMEOUT
        return ended or failure.reason == rejects.AUDIO_CRASHED

    def _attempt(self, path: str) -> DecodedFile:
        process = self._process = self._process or self._start()
        start = time.monotonic()
        windows = self._request(process, path)
        return DecodedFile(windows, time.monotonic() - start)

    def _request(self, process: "subprocess.Popen[bytes]", path: str) -> list[Signal] | Failure:
        try:
            self._connection.send_bytes(json.dumps(path).encode("ascii"))
            if self._connection.poll(self._setup.seconds):
                return _receive(self._connection)
        except (EOFError, ConnectionError):
            process.wait()
            self.end()
            from_outside = -process.returncode in _OUTSIDE_SIGNALS
            reason = rejects.AUDIO_UNREADABLE if from_outside else rejects.AUDIO_CRASHED
            return Failure(reason, f"the decoder {_describe_exit(process.returncode)}")
        self.end()
        return Failure(rejects.AUDIO_TIMEOUT, f"not decoded after {self._setup.seconds:g} s")

    def _start(self) -> "subprocess.Popen[bytes]":
        self._connection, child_end = _pipe()
        command = (
            f"import sys; sys.path[:] = {sys.path!r}; from {serve.__module__} import serve; serve({child_end.fileno()})"
        )
        with child_end:
            process = _popen([sys.executable, "-c", command], child_end.fileno())
        self._await_ready(process)
        return process

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> None:
        with suppress(EOFError, ConnectionError):
            self._connection.send(self._setup)
            if self._connection.poll(START_SECONDS):
                self._connection.recv_bytes()
                return
        process.kill()
        process.wait()
        raise DecoderError(
            f"the process that decodes audio {_describe_exit(process.returncode)} before it was ready: "
            "see its messages on the standard error stream"
        )

    def end(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            self._connection.close()


def _pipe() -> "tuple[Connection[object, object], Connection[object, object]]":
    try:
        return Pipe()
    except OSError as error:
        raise DecoderError(f"the process that decodes audio cannot be started: {error.strerror}") from error


def _popen(command: list[str], descriptor: int) -> "subprocess.Popen[bytes]":
    """Start a process that inherits a descriptor.

    Raises:
        DecoderError: the system has no process, descriptor or memory left.
    """
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
            pass_fds=[descriptor],
        )
    except OSError as error:
        raise DecoderError(f"the process that decodes audio cannot be started: {error.strerror}") from error


def _receive(connection: "Connection[object, object]") -> list[Signal] | Failure:
    answer = json.loads(connection.recv_bytes())
    if "import_error" in answer:
        raise DecoderError(f"the process that decodes audio cannot import a library: {answer['import_error']}")
    if "reason" in answer:
        return Failure(answer["reason"], answer["detail"])
    windows = [np.empty(samples, np.float32) for samples in answer["samples"]]
    for window in windows:
        connection.recv_bytes_into(window.data)
    return windows


def _describe_exit(status: int) -> str:
    """Describe an exit status of ``subprocess``."""
    return f"was terminated by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"


@contextmanager
def _local_copy(path: str) -> Iterator[str]:
    """Yield a local path of the file; a remote file is fetched into a temporary file.

    Whole files are fetched because libsndfile's read callbacks hold the GIL and cannot report a broken connection, so
    that the file would seem shorter than it is. Beam's remote readers buffer more than the size of most tracks anyway.
    """
    if "://" not in path:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="audio-", suffix=Path(path).suffix) as copy:
        _fetch(path, Path(copy.name))
        yield copy.name


def _fetch(path: str, copy: Path) -> None:
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    try:
        with (
            FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as remote,
            copy.open("wb") as local,
        ):
            shutil.copyfileobj(remote, local, 1 << 20)
    except Exception as error:  # each filesystem has its own error for a missing file
        if _is_missing(path):
            raise AudioDecodeError(rejects.AUDIO_MISSING, "no such file") from error
        raise FetchError(f"{path} cannot be fetched now: {one_line(repr(error))}") from error


def _is_missing(path: str) -> bool:
    """Return True if the filesystem reports the file as missing; False if it has it or is out of reach."""
    from apache_beam.io.filesystems import FileSystems

    with suppress(Exception):
        return not FileSystems.exists(path)
    return False
