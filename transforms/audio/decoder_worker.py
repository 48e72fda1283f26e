"""A child process that decodes audio files one after the other, until its connection is closed.

It receives a :class:`DecoderSetup` and answers with an empty message when it is ready. After that each request is a
path, as a JSON string, and each answer is one of:

- ``{"samples": [220500, 220500]}``, followed by one message of raw float32 samples per window;
- ``{"reason": "audio_empty", "detail": "0 bytes"}``;
- ``{"import_error": "No module named 'av'"}``.

It sends no pickles: a file that takes over this process must not be able to run code in the process that reads the
answers.
"""

import json
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio.errors import AudioDecodeError, one_line, read_error
from tracktokens.transforms.audio.windows import Signal, Windows

Decode = Callable[[str, Windows], list[Signal]]
"""Reads the windows of a local file, like ``decode.read_windows``, or computes other arrays from them. It must be
picklable, for example a module-level function."""

GRACE_SECONDS = 2.0
"""Seconds past a file's time limit after which a decoder ends itself: its parent, which would end it, is dead."""


@dataclass(frozen=True)
class DecoderSetup:
    """Settings of a decoder process, sent when it starts.

    Attributes:
        decode: decodes one file.
        windows: parts of each file to decode.
        seconds: time limit per file.
        memory: bytes that one file may take.
    """

    decode: Decode
    windows: Windows
    seconds: float
    memory: int


def serve(descriptor: int) -> None:
    """Answer decoding requests on an open socket."""
    connection: Connection[object, object] = Connection(descriptor)
    setup = connection.recv()
    if not isinstance(setup, DecoderSetup):
        raise TypeError(f"a decoder expects a DecoderSetup, not a {type(setup).__name__}")
    _restrict_process(setup)
    connection.send_bytes(b"")
    while True:
        try:
            path = json.loads(connection.recv_bytes())
            _answer(connection, path, setup)
        except (EOFError, ConnectionError):
            return


def _restrict_process(setup: DecoderSetup) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(setup.memory)
    with open(os.devnull, "wb") as null:  # noqa: PTH123
        os.dup2(null.fileno(), 2)  # libmpg123 reports every damaged frame


def _limit_memory(memory: int) -> None:
    """Allow ``memory`` bytes beyond current use; only Linux reports current use and enforces the limit."""
    memory_status = Path("/proc/self/statm")
    if memory_status.exists():
        current = int(memory_status.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (current + memory, current + memory))


def _answer(connection: "Connection[object, object]", path: str, setup: DecoderSetup) -> None:
    signal.setitimer(signal.ITIMER_REAL, setup.seconds + GRACE_SECONDS)  # its default action needs no Python code
    try:
        windows = setup.decode(path, setup.windows)
    except AudioDecodeError as error:
        _send(connection, {"reason": error.reason, "detail": error.detail})
    except MemoryError:
        limit = f"decoding it takes more than {setup.memory / 2**20:,.0f} MiB"
        _send(connection, {"reason": rejects.AUDIO_TOO_LARGE, "detail": limit})
    except ImportError as error:
        _send(connection, {"import_error": one_line(str(error))})
    except OSError as error:
        failure = read_error(error)
        _send(connection, {"reason": failure.reason, "detail": failure.detail})
    except Exception as error:  # an unforeseen error of a decoding library
        message = one_line(str(error)).replace(path, "the file")
        _send(connection, {"reason": rejects.AUDIO_CRASHED, "detail": f"{type(error).__name__}: {message}"})
    else:
        _send(connection, {"samples": [len(window) for window in windows]})
        for window in windows:
            connection.send_bytes(window.data)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _send(connection: "Connection[object, object]", answer: dict[str, object]) -> None:
    connection.send_bytes(json.dumps(answer).encode("utf-8"))
