"""Ctrl-C and SIGTERM: a command ends with one line, soon, and with the exit code that shells give the signal.

The main thread raises ``KeyboardInterrupt``, so that locks are released and partial files are deleted. Where that takes
longer than :data:`GRACE_SECONDS`, since a library computes or waits for its threads, the process ends without it: what
a store has is complete at all times.
"""

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

GRACE_SECONDS = 1.0
"""Time in which the main thread may end the command."""

LAST_SECONDS = 0.5
"""Time of the last steps, where the main thread did not end the command."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

AGAIN = "run the same command again"
KEPT = f"what was encoded is kept; {AGAIN}"

_SHOW_CURSOR = "\x1b[?25h"

_advice: list[str] = []
_last_steps: list[Callable[[], object]] = []
_handled: list[int] = []


def advise(advice: str) -> None:
    """Set the advice in the line that this command prints when a signal ends it."""
    _advice[:] = [advice]


@contextlib.contextmanager
def last_step(step: Callable[[], object]) -> Iterator[None]:
    """Call a function, from another thread, if the process has to end during a block without leaving it."""
    _last_steps.append(step)
    try:
        yield
    finally:
        _last_steps.remove(step)


@contextlib.contextmanager
def handles(*signals: signal.Signals) -> Iterator[None]:
    """Leave signals to a block, however long it takes: each raises ``KeyboardInterrupt`` there, every time."""
    _handled.extend(signals)
    try:
        yield
    finally:
        for number in signals:
            _handled.remove(number)


def _ignore(_: object) -> None:
    """Do nothing."""


@dataclass(eq=False)
class StopSignals:
    """Handlers of the signals that end a command.

    Attributes:
        number: the signal that came; 0 before it.
    """

    number: int = 0
    _previous: dict[int, Any] = field(default_factory=dict)
    _unprinted: threading.Lock = field(default_factory=threading.Lock)

    @property
    def exit_code(self) -> int:
        """The exit code, as shells give it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def start(self) -> None:
        """Handle the signals, except for those that are ignored, as those of a shell's background jobs are."""
        _advice.clear()
        if threading.current_thread() is not threading.main_thread():
            return
        wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        self._previous = {number: signal.signal(number, self._handle) for number in wanted}
        threading.Thread(target=self._watch, args=(reader,), daemon=True).start()

    def end(self) -> None:
        """Restore the handlers, unless a signal came: then the process is about to end."""
        if self.number or not self._previous:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(signal.set_wakeup_fd(-1))  # the thread ends

    def report(self, write: Callable[[str], object]) -> None:
        """Write the line for people, once."""
        if self._unprinted.acquire(blocking=False):
            write("; ".join(["stopped", *_advice]))

    def leave(self) -> None:
        """End the process if a signal came, without waiting for the threads of libraries."""
        if self.number:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            atexit._run_exitfuncs()
            os._exit(self.exit_code)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread, once: ``timeout`` sends a signal twice."""
        if number not in _handled:
            if self.number:
                return
            self._note(number)
        raise KeyboardInterrupt

    def _note(self, number: int) -> None:
        """Remember the signal, and silence what libraries log and raise in their threads from here on."""
        self.number = number
        logging.disable(logging.CRITICAL)
        threading.excepthook = sys.unraisablehook = _ignore

    def _watch(self, reader: int) -> None:
        """Wait for a signal in a thread, which sees it also while the main thread is in code that is not Python's."""
        while number := os.read(reader, 1):
            if number[0] in self._previous and number[0] not in _handled:
                threading.Event().wait(GRACE_SECONDS)
                self._exit(number[0])
        os.close(reader)

    def _exit(self, number: int) -> None:
        """End the process, whatever its other threads do."""
        self._note(self.number or number)
        last = threading.Thread(target=self._finish, daemon=True)
        last.start()
        last.join(LAST_SECONDS)
        os._exit(self.exit_code)

    def _finish(self) -> None:
        """Print the line, if standard error takes it, and take the last steps."""
        before = _SHOW_CURSOR if sys.stderr.isatty() else ""
        self.report(lambda line: os.write(2, f"{before}{line}\n".encode()))
        for step in list(_last_steps):
            step()
