"""Progress of a training: a bar with the loss and the time left in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_SECONDS = 10.0

TITLES = {"rows": "new rows", "lora": "LoRA and new rows", "full": "all weights"}
"""Stage to its title."""


class TrainingProgress:
    """Shows the steps of the stages on a console. A context manager."""

    def __init__(self, console: Console) -> None:
        """Prepare the display."""
        self.console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._title, self._total = "", 0
        self._started, self._first, self._printed = 0.0, 0, 0.0

    def __enter__(self) -> TrainingProgress:
        """Show the bar if the console is a terminal."""
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("  {task.description:<18}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[loss]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar."""
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(f"  {text}", highlight=False)

    def start(self, stage: str, total: int, done: int) -> None:
        """Begin a stage of ``total`` steps, of which ``done`` were done before."""
        self._title, self._total = TITLES[stage], total
        self._started, self._first, self._printed = time.monotonic(), done, time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task(self._title, total=total, completed=done, loss="")

    def update(self, done: int, loss: float | None) -> None:
        """Show the steps that are done, and the loss of the last ones if it is known."""
        text = "" if loss is None else f"loss {loss:.3f}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, loss=text)
        elif time.monotonic() - self._printed >= PLAIN_SECONDS or done == self._total:
            self._printed = time.monotonic()
            self.note(f"{self._title}: {done} of {self._total} {text} {self._left(done)}".rstrip())

    def _left(self, done: int) -> str:
        steps = done - self._first
        if steps <= 0 or done >= self._total:
            return ""
        return f"{minutes((time.monotonic() - self._started) / steps * (self._total - done))} left"


def minutes(seconds: float) -> str:
    """Format a duration.

    Example:
        >>> minutes(42), minutes(600), minutes(9000)
        ('42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
