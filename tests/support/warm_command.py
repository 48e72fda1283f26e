"""Commands that do not wait for imports: each is forked from a process that has imported what most of them need.

Importing Beam takes two seconds of a processor, and tests run some hundred commands. A forked command has the
arguments, folder, variables and streams that it is given, runs its program from the first line, and ends as Python
ends. Only the order of hashes is the same in all commands of a process. Tests of imports, and of the start itself, run
Python.

``python -m tests.support.warm_command SOCKET MODULE...`` is the process that forks. It imports the modules, and ends
with the process that started it. They start no thread but those of BLAS and Arrow, which can be forked.
"""

import atexit
import functools
import gc
import importlib
import io
import json
import logging
import os
import runpy
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

PROGRAM = Path(sys.executable).with_name("tracktokens")
"""The installed program."""

JOBS = (
    "faiss",
    "gensim.models.word2vec",
    "joblib",
    "librosa.core.constantq",
    "psutil",
    "pyarrow.dataset",
    "rich.progress",
    "rich.table",
    "scipy.sparse.linalg",
    "scipy.stats",
    "tokenizers",
    "tracktokens.pipelines.jobs.refresh",
    "tracktokens.pipelines.jobs.run",
    "tracktokens.pipelines.local_runner",
    "tracktokens.transforms.embedding.model_handler",
)
"""Modules of most commands."""

MODELS = (*JOBS, "torch", "transformers", "sentence_transformers")
"""Modules of commands that need torch. The others have to work without it."""

Stream = IO[Any] | int
"""A file, ``subprocess.DEVNULL``, or ``subprocess.PIPE``."""

_READ_WHEN_USED = ("AWS_", "PYTEST_")
"""Beginnings of variables that no module reads when it is imported."""

_ROOT = Path(__file__).parents[2]
_REQUEST_BYTES = 1 << 20
_NUMBER = struct.Struct("i")


class Command:
    """A command that runs, with those methods of :class:`subprocess.Popen` that tests use.

    Attributes:
        pid: Its process.
        stdin, stdout, stderr: Our ends of its pipes; None for a stream that is not a pipe.
        returncode: Its exit code, negative for a signal; None before its end is noticed.
    """

    def __init__(self, status: int, pipes: Mapping[str, IO[str]]) -> None:
        self._status = os.fdopen(status, "rb", buffering=0)
        self.stdin, self.stdout, self.stderr = map(pipes.get, ("stdin", "stdout", "stderr"))
        self.returncode: int | None = None
        self.pid = self._read()

    def poll(self) -> int | None:
        """Return the exit code, or None while the command runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = self._read()
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the command."""
        self.send_signal(signal.SIGKILL)

    def communicate(self) -> tuple[str, str]:
        """Close the input, and wait for the end; return the output and the errors, which are short."""
        if self.stdin is not None:
            self.stdin.close()
        output, errors = (stream.read() if stream else "" for stream in (self.stdout, self.stderr))
        self.wait()
        return output, errors

    def _read(self) -> int:
        content = self._status.read(_NUMBER.size)
        if not content:
            raise ChildProcessError("the process that forks commands has ended")
        return int(_NUMBER.unpack(content)[0])


class WarmProcess:
    """The process that forks commands. It is started by the first one, and again by one with other variables."""

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._started_with: Mapping[str, str] = {}
        self._channel: socket.socket
        self._process: subprocess.Popen[bytes] | None = None

    def fork(self, request: "Request", streams: tuple[Stream, Stream, Stream]) -> Command:
        """Start a command."""
        self._start({k: value for k, value in request.environment.items() if not k.startswith(_READ_WHEN_USED)})
        pipes: dict[str, IO[str]] = {}
        ours, theirs = os.pipe()
        with ExitStack() as to_close:
            files = [to_close.enter_context(os.fdopen(theirs, "wb"))]
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                if stream == subprocess.PIPE:
                    pipes[name], stream = _pipe(to_child=name == "stdin")
                    to_close.enter_context(stream)
                elif stream == subprocess.DEVNULL:
                    stream = to_close.enter_context(Path(os.devnull).open("r+b", buffering=0))
                files.append(stream)
            socket.send_fds(self._channel, [request.content()], [file.fileno() for file in files])
        return Command(ours, pipes)

    def _start(self, environment: Mapping[str, str]) -> None:
        if self._process is not None:
            if self._started_with == environment:
                return
            self._end()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._channel, theirs):
            end.setblocking(True)  # whatever the default of this process is
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), *self._modules],
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._started_with = dict(environment)
        atexit.register(self._end)

    def _end(self) -> None:
        """End the process, and wait until it has ended."""
        atexit.unregister(self._end)
        self._channel.close()
        if self._process is not None:
            self._process.wait()


def _pipe(*, to_child: bool) -> tuple[IO[str], IO[bytes]]:
    """Open a pipe, and return our end and that of a command."""
    read, write = os.pipe()
    return (os.fdopen(write, "w"), os.fdopen(read, "rb")) if to_child else (os.fdopen(read), os.fdopen(write, "wb"))


_process = functools.cache(WarmProcess)


@dataclass(frozen=True)
class Request:
    """Arguments and settings of a command."""

    arguments: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    new_session: bool

    def content(self) -> bytes:
        """Return the request as the process that forks reads it."""
        return json.dumps(vars(self)).encode()


def start_command(
    *arguments: str | Path,
    modules: tuple[str, ...] = JOBS,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.DEVNULL,
    stderr: Stream = subprocess.DEVNULL,
    new_session: bool = False,
) -> "Command | subprocess.Popen[str]":
    """Start a command.

    Args:
        arguments: Arguments of Python: a file, such as ``PROGRAM``, or ``-c`` and a program, and their arguments.
        modules: Modules that the command finds imported.
        folder: Its working directory; None for that of this process.
        environment: Its variables; None for those of this process.
        stdin: Its input.
        stdout: Its output.
        stderr: Its errors.
        new_session: Lead a session, and so a group of processes.
    """
    folder, environment = folder or Path.cwd(), dict(os.environ if environment is None else environment)
    if sys.platform != "linux":  # elsewhere, as on macOS, libraries of the system may not work after a fork
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=new_session,
            text=True,
        )
    request = Request(tuple(map(str, arguments)), str(folder), environment, new_session)
    return _process(*modules).fork(request, (stdin, stdout, stderr))


def run_command(*arguments: str | Path, timeout: float = 300, **settings: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, and return its exit code and output; ``settings`` as of :func:`start_command`."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        command = start_command(*arguments, stdout=output, stderr=errors, **settings)
        try:
            code = command.wait(timeout)
        except BaseException:
            command.kill()
            command.wait()
            raise
        return subprocess.CompletedProcess(arguments, code, _text(output), _text(errors))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", errors="replace")


def main() -> None:
    """Fork a command for each request, until the process that makes them ends."""
    for name in sys.argv[2:]:
        importlib.import_module(name)
    logging.getLogger().handlers.clear()  # imports may add one, and a command sets its own
    gc.freeze()  # so that commands neither copy the pages of these objects nor look through them
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        request = _serve(channel)
    if request is not None:
        _run(*request.arguments)


def _serve(channel: socket.socket) -> Request | None:
    """Return the request in a command, and None in the process that forks when no further one can come."""
    commands = selectors.DefaultSelector()
    commands.register(channel, selectors.EVENT_READ)
    while True:
        for key, _ in commands.select():
            if key.fileobj is not channel:
                _report_end(commands, key)
                continue
            content, files, *_ = socket.recv_fds(channel, _REQUEST_BYTES, 4)
            if not content:
                return None
            process = os.fork()
            if not process:
                _close_all(commands)
                return _prepared(Request(**json.loads(content)), files)
            status, *streams = files
            for file in streams:
                os.close(file)
            os.write(status, _NUMBER.pack(process))
            commands.register(os.pidfd_open(process), selectors.EVENT_READ, (process, status))


def _report_end(commands: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Write the exit code of a command that has ended."""
    process, status = key.data
    commands.unregister(key.fileobj)
    os.close(key.fd)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with os.fdopen(status, "wb") as file:
        file.write(_NUMBER.pack(code))


def _close_all(commands: selectors.BaseSelector) -> None:
    """Close the files of the other commands."""
    for key in list(commands.get_map().values()):
        if key.data is not None:
            os.close(key.fd)
            os.close(key.data[1])
    commands.close()


def _prepared(request: Request, files: list[int]) -> Request:
    """Give a command its streams, folder and variables."""
    if request.new_session:
        os.setsid()
    for number, (file, name) in enumerate(zip(files[1:], ("stdin", "stdout", "stderr"), strict=True)):
        os.dup2(file, number)
        stream = _standard_stream(number, getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for file in files:
        os.close(file)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    return request


def _standard_stream(number: int, like: io.TextIOWrapper) -> io.TextIOWrapper:
    """Open a standard stream as Python does when it starts."""
    is_unbuffered = like.write_through  # with PYTHONUNBUFFERED
    stream = os.fdopen(number, "wb" if number else "rb", buffering=0 if is_unbuffered else -1, closefd=False)
    return io.TextIOWrapper(
        stream,
        encoding=like.encoding,
        errors=like.errors,
        line_buffering=not is_unbuffered and (stream.isatty() or number == 2),
        write_through=is_unbuffered,
    )


def _run(program: str, *arguments: str) -> None:
    """Run a file, or the program after ``-c``, as the main module."""
    if program != "-c":
        sys.argv[:] = [program, *arguments]
        sys.path[0] = str(Path(program).parent)
        runpy.run_path(program, run_name="__main__")
        return
    sys.argv[:] = [program, *arguments[1:]]
    sys.path[0] = ""
    sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(arguments[0], "<string>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102  # as Python does


if __name__ == "__main__":
    main()
