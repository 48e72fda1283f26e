"""Two changes to Beam, in this process: its local runner loses no data, and it inspects a function once.

With several worker processes, the local runner flushes its streams to the workers from a second thread, every second.
Beam 2.77 sends the content of a stream and then clears it, and ``write`` does not wait for that: what is written in
between is lost. A whole block of a stage's input may disappear. Here ``write`` waits.

Beam looks for parameters of state and timers in all methods of a ``DoFn``, eight times for each step of a pipeline and
again for each bundle. That is a fifth of the processor time of a job over few tracks. Here the parameters of a
function are kept.
"""

import functools
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from apache_beam.runners.worker.data_plane import TimeBasedBufferingClosableOutputStream
from apache_beam.transforms import core

Write = Callable[..., None]
Parameters = tuple[list[str], list[Any]]
Inspect = Callable[[Callable[..., Any]], Parameters]


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


def keep_parameters() -> None:
    """Inspect the function of a method once, in this process; a second call changes nothing."""
    if not hasattr(core.get_function_args_defaults, "__wrapped__"):
        core.get_function_args_defaults = _kept(core.get_function_args_defaults)


def _kept(inspect: Inspect) -> Inspect:
    known: WeakKeyDictionary[FunctionType, Parameters] = WeakKeyDictionary()

    @functools.wraps(inspect)
    def inspect_once(function: Callable[..., Any]) -> Parameters:
        if not (isinstance(function, MethodType) and isinstance(function.__func__, FunctionType)):
            return inspect(function)
        parameters = known.get(function.__func__)
        if parameters is None:
            parameters = known[function.__func__] = inspect(function)
        names, defaults = parameters
        return list(names), list(defaults)

    return inspect_once
