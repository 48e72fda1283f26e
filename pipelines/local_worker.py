"""Worker processes on this machine: Beam's, forked by a process that has imported what they need.

Importing takes a worker two seconds, and each pipeline of a job has workers of its own. So ``python -m
tracktokens.pipelines.local_worker`` imports once, and forks a worker for each request on standard input, which is a
socket: a line of JSON. Its answer, when a worker has ended, is a line with the number of the request and the exit code.
It ends with the process that started it, and its workers end with it, silently: both ignore the signals that end that
process, since each of their threads would print a traceback.
"""

import contextlib
import ctypes
import gc
import importlib
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any

PARENT_SECONDS = 1.0
"""Time between two looks at the parent, where the system sends no signal when it ends."""

_IMPORTED = (
    "apache_beam.runners.worker.sdk_worker_main",
    "apache_beam.transforms.combiners",
    "faiss",
    "joblib",
    "pyarrow.parquet",
    "tokenizers",
    "tracktokens.pipelines.jobs.refresh",
    "tracktokens.pipelines.local_runner",
    "tracktokens.transforms.embedding.model_handler",
)
"""Modules of most pipelines; not those of some, such as torch."""

_IGNORING_SIGNALS = ("/bin/sh", "-c", "trap '' INT TERM; exec \"$@\"", "sh")
"""Beginning of a command that ignores the signals that end its parent, from its first instruction on."""

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


class ForkServer:
    """The process that forks the workers of this process; it is started again where it cannot fork the next one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: _Server | None = None

    def start(self) -> None:
        """Start it, unless it runs: it imports while this process does other things."""
        with self._lock:
            self._start()

    def fork(self, environment: Mapping[str, str]) -> "Future[int | None]":
        """Start a worker.

        Args:
            environment: variables that it has beside those of this process.

        Returns:
            its exit code, once it has ended: negative for a signal, None if this server has ended, and it with it.
        """
        with self._lock:
            return self._start().fork(environment)

    def _start(self) -> "_Server":
        """Return the server that runs, or start one."""
        running = self._running
        if running is not None and running.parent != os.getpid():  # this process was forked from that parent
            running = None
        if running is not None and not running.is_usable:
            running.close()
            running = None
        self._running = running or _Server()
        return self._running


class _Server:
    """A process that forks workers, and the connection to it.

    Attributes:
        parent: process that started it.
    """

    def __init__(self) -> None:
        self.parent = os.getpid()
        self._variables = _python_variables()
        self._numbers = itertools.count()
        self._ends: dict[int, Future[int | None]] = {}
        self._channel, theirs = socket.socketpair()
        for end in (self._channel, theirs):
            end.setblocking(True)  # whatever the default of this process is
        with theirs:
            self._process = subprocess.Popen(
                [*_IGNORING_SIGNALS, sys.executable, "-m", __name__], stdin=theirs.fileno()
            )
        threading.Thread(target=_read_answers, args=(self._channel, self._ends), daemon=True).start()

    @property
    def is_usable(self) -> bool:
        """True where it runs, and has workers, or the variables that Python reads when it starts are as they were."""
        return self._process.poll() is None and (bool(self._ends) or self._variables == _python_variables())

    def fork(self, environment: Mapping[str, str]) -> "Future[int | None]":
        """Start a worker; see :meth:`ForkServer.fork`."""
        number, end = next(self._numbers), Future[int | None]()
        self._ends[number] = end
        variables = {**os.environ, **environment}
        request = {"number": number, "environment": variables, "folder": str(Path.cwd())}
        try:
            self._channel.sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            _end_all(self._ends)
        return end

    def close(self) -> None:
        """Let it end, when its workers have."""
        with contextlib.suppress(OSError):  # it has ended
            self._channel.shutdown(socket.SHUT_RDWR)


def _python_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}


fork_server = ForkServer()
"""The process that forks the workers of this process, for all of its pipelines."""


def _read_answers(channel: socket.socket, ends: dict[int, "Future[int | None]"]) -> None:
    """Read the exit codes of workers until their server ends."""
    with contextlib.suppress(OSError), channel.makefile(encoding="ascii") as answers:
        for answer in answers:
            number, exit_code = answer.split()
            ends.pop(int(number)).set_result(int(exit_code))
    _end_all(ends)


def _end_all(ends: dict[int, "Future[int | None]"]) -> None:
    with contextlib.suppress(KeyError):  # of a dictionary that is empty, also since another thread empties it
        while True:
            ends.popitem()[1].set_result(None)


def main() -> None:
    """Fork a worker for each request, until the process that makes them ends."""
    if sys.platform == "linux":  # elsewhere, as on macOS, libraries of the system may not work after a fork
        for name in _IMPORTED:
            importlib.import_module(name)
    logging.getLogger().handlers.clear()  # imports may add one, which would print what a worker sends
    gc.collect()
    gc.freeze()  # a worker then looks through none of these objects, and copies none of their pages
    server, folder = os.getpid(), str(Path.cwd())
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as channel:
        request = _serve(channel)
    if request is None:
        os._exit(0)
    _end_with(server)
    if sys.path[0] == folder:  # that is how `python -m` sets it
        sys.path[0] = request["folder"]
    _work(request)


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Return the request in a worker that is to work on it, and None in the server when no further one can come."""
    numbers: dict[int, object] = {}

    def answer(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ChildProcessError, OSError):
            while ended := os.waitpid(-1, os.WNOHANG):
                process, status = ended
                if not process:
                    return
                channel.sendall(f"{numbers.pop(process)} {os.waitstatus_to_exitcode(status)}\n".encode())

    signal.signal(signal.SIGCHLD, answer)
    with channel.makefile(encoding="utf-8") as requests:
        for line in requests:
            request: dict[str, Any] = json.loads(line)
            with _without(signal.SIGCHLD):
                process = os.fork()
                if process:
                    numbers[process] = request["number"]
                else:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if not process:
                return request
    return None


@contextlib.contextmanager
def _without(number: signal.Signals) -> Iterator[None]:
    """Hold a signal back during a block."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})


def _work(request: Mapping[str, Any]) -> None:
    """Run Beam's worker, in the folder and with the environment of the process that wants it."""
    from apache_beam.runners.worker import sdk_worker_main

    from tracktokens.pipelines.beam_patches import keep_specs

    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    keep_specs()
    sdk_worker_main.main(sys.argv[:1])


def _end_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End this process when its parent has ended, also if that was before this process asked for the signal."""
    while os.getppid() == parent:
        threading.Event().wait(PARENT_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
