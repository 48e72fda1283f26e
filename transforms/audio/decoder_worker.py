"""A process that decodes audio files, one after the other, until the other end of its connection is closed.

It is sent a :class:`Setup`, and answers with an empty message when it is ready. For each path, a JSON string, it
answers ``{"samples": [220500, 220500]}``, followed by each window's samples as a message of raw float32, or else
``{"reason": "audio_empty", "detail": "0 bytes"}``, or ``{"lacks": "No module named 'av'"}``. It sends no pickles: what
a damaged file may have made of this process has no say over the one that reads them.
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
from tracktokens.transforms.audio.errors import AudioDecodeError, one_line
from tracktokens.transforms.audio.windows import Signal, Windows

Decode = Callable[[str, Windows], list[Signal]]
"""Reads the windows of a local file, like ``reading.read_windows``, or makes other arrays of them. It can be pickled: a
function of a module, for one."""

LATER = 2.0
"""Seconds after which a decoder ends itself, once its file's time is up and nobody has ended it: its worker is dead."""


@dataclass(frozen=True)
class Setup:
    """What a decoder is told when it starts: how to decode, and what a file may cost in seconds and bytes."""

    decode: Decode
    windows: Windows
    seconds: float
    memory: int


def serve(descriptor: int) -> None:
    """Decode what is asked for over an open socket."""
    connection: Connection[object, object] = Connection(descriptor)
    setup = connection.recv()
    if not isinstance(setup, Setup):
        raise TypeError(f"a decoder is set up by a Setup, not by {type(setup).__name__}")
    _confine(setup)
    connection.send_bytes(b"")
    while True:
        try:
            path = json.loads(connection.recv_bytes())
            _answer(connection, path, setup)
        except (EOFError, ConnectionError):
            return


def _confine(setup: Setup) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, whose end is ours
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(setup.memory)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)  # libmpg123 reports on every damaged frame


def _limit_memory(memory: int) -> None:
    """Allow so many bytes beyond what is taken already; only Linux tells how much that is, and holds the limit."""
    sizes = Path("/proc/self/statm")
    if sizes.exists():
        taken = int(sizes.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))


def _answer(connection: "Connection[object, object]", path: str, setup: Setup) -> None:
    signal.setitimer(signal.ITIMER_REAL, setup.seconds + LATER)  # its default action needs no turn of ours
    try:
        windows = setup.decode(path, setup.windows)
    except AudioDecodeError as error:
        _send(connection, {"reason": error.reason, "detail": error.detail})
    except MemoryError:
        limit = f"decoding it takes more than {setup.memory / 2**20:,.0f} MiB"
        _send(connection, {"reason": rejects.AUDIO_TOO_LARGE, "detail": limit})
    except ImportError as error:
        _send(connection, {"lacks": one_line(str(error))})
    except Exception as error:  # a library's own error on a file that nobody foresaw
        said = one_line(str(error)).replace(path, "the file")
        _send(connection, {"reason": rejects.AUDIO_CRASHED, "detail": f"{type(error).__name__}: {said}"})
    else:
        _send(connection, {"samples": [len(window) for window in windows]})
        for window in windows:
            connection.send_bytes(window.data)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _send(connection: "Connection[object, object]", answer: dict[str, object]) -> None:
    connection.send_bytes(json.dumps(answer).encode("utf-8"))
