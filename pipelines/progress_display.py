"""Show how far a job is: bars in a terminal, plain lines elsewhere."""

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tracktokens.transforms.runtime.progress import ProgressReporter

REFRESH_SECONDS = 0.5
PLAIN_SECONDS = 10.0


@dataclass
class ProgressDisplay:
    """Follows a board in a thread of its own.

    Attributes:
        board: what the workers count on.
        console: where it is shown.
    """

    progress: ProgressReporter
    console: Console
    _first: dict[str, tuple[float, int]] = field(default_factory=dict)
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _shown: dict[str, str] = field(default_factory=dict)

    def enter(self, stage: str) -> None:
        """Announce a job."""
        self.console.print(f"[bold]{stage}[/bold]" if self.console.is_terminal else f"stage {stage}")

    def follow(self, stop: threading.Event) -> None:
        """Show the board until told to stop."""
        if self.console.is_terminal:
            self._follow_with_bars(stop)
        else:
            self._follow_with_lines(stop)

    def _follow_with_bars(self, stop: threading.Event) -> None:
        columns = (
            TextColumn("  {task.description:<22}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            while not stop.wait(REFRESH_SECONDS):
                self._update(progress)
            self._update(progress)

    def _update(self, progress: Progress) -> None:
        for stage, counts in self.progress.read().items():
            total = max(counts["total"], counts["done"])
            if stage not in self._tasks and total:
                self._tasks[stage] = progress.add_task(stage, rate="")
            if stage in self._tasks:
                speed = self._speed(stage, counts["done"], total)
                progress.update(self._tasks[stage], completed=counts["done"], total=total, rate=speed)

    def _follow_with_lines(self, stop: threading.Event) -> None:
        finished = False
        while not finished:
            finished = stop.wait(PLAIN_SECONDS)
            for stage, counts in self.progress.read().items():
                total = max(counts["total"], counts["done"])
                line = f"  {stage}: {counts['done']} of {total}"
                if total and self._shown.get(stage) != line:
                    self._shown[stage] = line
                    self.console.print(f"{line} {self._speed(stage, counts['done'], total)}".rstrip(), highlight=False)

    def _speed(self, stage: str, done: int, total: int) -> str:
        """Rate since the stage was first seen to move, and time left at it: a stage may wait for another."""
        now = time.monotonic()
        if not done:
            return ""
        since, already = self._first.setdefault(stage, (now, done))
        if done >= total or done == already:
            return ""
        rate = (done - already) / (now - since)
        return f"{rate:.1f}/s, {(total - done) / rate:.0f} s left"


@contextlib.contextmanager
def show_progress(console: Console) -> Iterator[ProgressDisplay]:
    """Follow a board for the length of a block."""
    folder = tempfile.mkdtemp(prefix="tracktokens-")
    display = ProgressDisplay(ProgressReporter(folder), console)
    stop = threading.Event()
    thread = threading.Thread(target=display.follow, args=(stop,), daemon=True)
    thread.start()
    try:
        yield display
    finally:
        stop.set()
        thread.join()
        shutil.rmtree(folder, ignore_errors=True)
