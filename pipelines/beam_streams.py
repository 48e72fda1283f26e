"""Lock the streams of Beam's local runner, which lose data without a lock.

With several worker processes, the runner flushes its streams to the workers from a second thread, every second. Beam
2.77 sends the content of a stream and then clears it, and ``write`` does not wait for that: what is written in between
is lost. A whole block of a stage's input may disappear. Here ``write`` waits.
"""

import functools
from collections.abc import Callable
from typing import Any

from apache_beam.runners.worker.data_plane import TimeBasedBufferingClosableOutputStream

Write = Callable[..., None]


def lock_streams() -> None:
    """Make ``write`` of the streams wait for a flush, in this process; a second call changes nothing."""
    if not hasattr(TimeBasedBufferingClosableOutputStream.write, "__wrapped__"):
        TimeBasedBufferingClosableOutputStream.write = _locked(TimeBasedBufferingClosableOutputStream.write)


def _locked(write: Write) -> Write:
    @functools.wraps(write)
    def wait_and_write(stream: Any, *content: Any) -> None:
        with stream._flush_lock:
            write(stream, *content)

    return wait_and_write
