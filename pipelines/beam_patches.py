"""Two changes to Beam, in this process: its local runner loses no data, and it inspects a class of steps once.

With several worker processes, the local runner flushes its streams to the workers from a second thread, every second.
Beam 2.77 sends the content of a stream and then clears it, and ``write`` does not wait for that: what is written in
between is lost. A whole block of a stage's input may disappear. Here ``write`` waits.

Beam looks for parameters of state and timers in all methods of a ``DoFn``, eight times for each step of a pipeline and
again for each bundle. That is a fifth of the processor time of a job over few tracks. Here what it finds in the methods
of a class is kept.
"""

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

from apache_beam.runners.worker.data_plane import TimeBasedBufferingClosableOutputStream
from apache_beam.transforms import userstate
from apache_beam.transforms.core import DoFn

Write = Callable[..., None]
Specs = tuple[set[Any], set[Any]]
Inspect = Callable[[DoFn], Specs]


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


def keep_specs() -> None:
    """Inspect the methods of a class of steps once, in this process; a second call changes nothing."""
    if not hasattr(userstate.get_dofn_specs, "__wrapped__"):
        userstate.get_dofn_specs = _kept(userstate.get_dofn_specs)


def _kept(inspect: Inspect) -> Inspect:
    known: WeakKeyDictionary[type, Specs] = WeakKeyDictionary()

    @functools.wraps(inspect)
    def inspect_once(step: DoFn) -> Specs:
        if any(isinstance(value, MethodType) for value in vars(step).values()):  # Beam inspects these too
            return inspect(step)
        specs = known.get(type(step))
        if specs is None:
            specs = known[type(step)] = inspect(step)
        states, timers = specs
        return set(states), set(timers)

    return inspect_once
