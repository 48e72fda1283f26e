"""Decoding in other processes: a file that crashes its decoder, hangs it or eats memory costs one track.

The processes are plain children that talk over a socket. Those of ``multiprocessing`` (and of the pools built on it)
would not do inside a Beam worker: a fork copies the locks of its threads, and a spawned child runs the parent's main
module again, which is Beam's, or the user's script.
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
from tracktokens.transforms.audio.decoder_worker import Decode, Setup, serve
from tracktokens.transforms.audio.errors import AudioDecodeError, one_line
from tracktokens.transforms.audio.windows import Signal, Windows

START_SECONDS = 120.0
"""How long a decoder may take to start; 0.3 s are usual."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 24),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 26),
}
"""For the libraries in a decoder. It is one of several, and has one core. Up to 64 MiB that a file leaves free are kept
for the next one: glibc would hand them back, array by array, and spend a third of the time on getting them again."""

READ_AHEAD = 2
"""Files a process that are asked for before the first of them is taken: one being decoded, one that waits."""


@dataclass(frozen=True)
class Limits:
    """What one file may cost its decoder.

    Attributes:
        seconds: time to decode it, three orders above what a track takes. Fetching a remote file is not counted.
        memory: bytes above what an idle decoder takes; held on Linux only.
    """

    seconds: float = 60.0
    memory: int = 1 << 30


@dataclass(frozen=True)
class Reading:
    """What became of one file.

    Attributes:
        windows: at least one float32 array of shape (samples,) at the windows' rate, or why there is none.
        seconds: time that decoders were busy with it. Waiting for one, starting it and fetching the file do not count.
    """

    windows: list[Signal] | Failure
    seconds: float = 0.0


class DecoderError(TracktokensError):
    """A decoder process does not start, or lacks a library. That is no file's fault: the installation is broken."""


class FetchError(TracktokensError):
    """A remote file cannot be fetched now. That says nothing about the file, so it is no reject."""


class WindowReader:
    """Reads the windows of audio files in processes that it starts when they are needed, and keeps.

    It is safe to use from several threads, which share the processes. They end with it, or with the process that it is
    in, however that ends.
    """

    def __init__(
        self, windows: Windows, processes: int, limits: Limits | None = None, decode: Decode = read_windows
    ) -> None:
        """Set up; nothing is started.

        Args:
            windows: which parts of a file are read.
            processes: how many files are decoded at a time, each on one core.
            limits: what one file may cost.
            decode: reads the windows of a local file, in the decoder process, or makes other arrays of them.
        """
        limits = limits or Limits()
        self._processes = processes
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="decoders")
        self._idle: SimpleQueue[_Decoder] = SimpleQueue()
        decoders = [_Decoder(Setup(decode, windows, limits.seconds, limits.memory)) for _ in range(processes)]
        for decoder in decoders:
            self._idle.put(decoder)
        self._finalizer = weakref.finalize(self, _stop, decoders, self._threads)

    def read_all(self, paths: Iterable[str]) -> Iterator[Reading]:
        """Read files, in their order; the processes work ahead of what has been taken, by a few files.

        Raises:
            DecoderError: a decoder does not start, or lacks a library.
            FetchError: a remote file cannot be fetched now.
        """
        ahead: deque[Future[Reading]] = deque()
        try:
            for path in paths:
                ahead.append(self._threads.submit(self.read, path))
                if len(ahead) > READ_AHEAD * self._processes:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def read(self, path: str) -> Reading:
        """Read one file in an idle process, or in the first that gets idle.

        Args:
            path: a local path, or ``scheme://...`` on any Beam filesystem.

        Raises:
            DecoderError: a decoder does not start, or lacks a library.
            FetchError: a remote file cannot be fetched now.
        """
        try:
            with _on_disk(path) as local, self._decoder() as decoder:
                return decoder.read(local)
        except AudioDecodeError as error:
            return Reading(Failure(error.reason, error.detail))

    @contextmanager
    def _decoder(self) -> Iterator["_Decoder"]:
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


def _stop(decoders: list["_Decoder"], threads: ThreadPoolExecutor) -> None:
    threads.shutdown(wait=False, cancel_futures=True)
    for decoder in decoders:
        decoder.end()


class _Decoder:
    """One decoder process, started when the first file comes and again after each that broke it."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[object, object]

    def read(self, path: str) -> Reading:
        """Decode a file. If it crashes a process that had decoded others, they may be to blame: it gets a fresh one."""
        used = self._process is not None
        first = self._attempt(path)
        if not used or not isinstance(first.windows, Failure) or first.windows.reason != rejects.AUDIO_CRASHED:
            return first
        self.end()
        second = self._attempt(path)
        return Reading(second.windows, first.seconds + second.seconds)

    def _attempt(self, path: str) -> Reading:
        process = self._process = self._process or self._start()
        start = time.monotonic()
        windows = self._ask(process, path)
        return Reading(windows, time.monotonic() - start)

    def _ask(self, process: "subprocess.Popen[bytes]", path: str) -> list[Signal] | Failure:
        try:
            self._connection.send_bytes(json.dumps(path).encode("ascii"))
            if self._connection.poll(self._setup.seconds):
                return _receive(self._connection)
        except (EOFError, ConnectionError):
            process.wait()
            self.end()
            return Failure(rejects.AUDIO_CRASHED, f"the decoder {_ending(process.returncode)}")
        self.end()
        return Failure(rejects.AUDIO_TIMEOUT, f"not decoded after {self._setup.seconds:g} s")

    def _start(self) -> "subprocess.Popen[bytes]":
        self._connection, theirs = Pipe()
        command = (
            f"import sys; sys.path[:] = {sys.path!r}; from {serve.__module__} import serve; serve({theirs.fileno()})"
        )
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                pass_fds=[theirs.fileno()],
            )
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
            f"the process that decodes audio {_ending(process.returncode)} before it was ready; what it wrote to the "
            f"standard error stream tells more"
        )

    def end(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            self._connection.close()


def _receive(connection: "Connection[object, object]") -> list[Signal] | Failure:
    answer = json.loads(connection.recv_bytes())
    if "lacks" in answer:
        raise DecoderError(f"the process that decodes audio cannot import what it needs: {answer['lacks']}")
    if "reason" in answer:
        return Failure(answer["reason"], answer["detail"])
    windows = [np.empty(samples, np.float32) for samples in answer["samples"]]
    for window in windows:
        connection.recv_bytes_into(window.data)
    return windows


def _ending(status: int) -> str:
    """Say how a process ended, by its exit status as ``subprocess`` has it."""
    return f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


@contextmanager
def _on_disk(path: str) -> Iterator[str]:
    """Yield a local path of the file, fetched into a temporary file if it is remote.

    Fetching whole files beats reading through libsndfile's callbacks: these hold the GIL, cannot report a broken
    connection (which would pass for a shorter file), and Beam's remote readers buffer more than most tracks weigh.
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
    except Exception as error:  # each filesystem has its own error for a missing file, so ask
        if _is_gone(path):
            raise AudioDecodeError(rejects.AUDIO_MISSING, "no such file") from error
        raise FetchError(f"{path} cannot be fetched now: {one_line(repr(error))}") from error


def _is_gone(path: str) -> bool:
    """Whether a filesystem says that a file is not there; one that is out of reach says nothing."""
    from apache_beam.io.filesystems import FileSystems

    with suppress(Exception):
        return not FileSystems.exists(path)
    return False
