"""Show the progress of a job: bars in a terminal, plain lines elsewhere."""

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from tracktokens.pipelines.stop_signals import last_step
from tracktokens.transforms.runtime.progress import ProgressReporter

REFRESH_SECONDS = 0.5
PLAIN_SECONDS = 10.0


@dataclass
class ProgressDisplay:
    """Shows what workers report, from its own thread.

    Attributes:
        progress: reporter that the workers count with.
        console: console that shows the progress.
    """

    progress: ProgressReporter
    console: Console
    _first_counts: dict[str, tuple[float, int]] = field(default_factory=dict)
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _shown: dict[str, str] = field(default_factory=dict)

    def start_stage(self, stage: str) -> None:
        """Print the name of a stage that starts."""
        self.console.print(Text(stage, style="bold") if self.console.is_terminal else f"stage {stage}")

    def follow(self, stop: threading.Event) -> None:
        """Show the progress until ``stop`` is set."""
        if self.console.is_terminal:
            self._follow_with_bars(stop)
        else:
            self._follow_with_lines(stop)

    def _follow_with_bars(self, stop: threading.Event) -> None:
        columns = (
            TextColumn("  {task.description:<22}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
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
        """Format the rate since the first count, and the time left; a stage that has done nothing waits for others."""
        now = time.monotonic()
        if not done:
            return "waiting"
        start, first_done = self._first_counts.setdefault(stage, (now, done))
        if done >= total or done == first_done:
            return ""
        rate = (done - first_done) / (now - start)
        return f"{rate:.1f}/s, {duration((total - done) / rate)} left"


def duration(seconds: float) -> str:
    """Format a time in its two largest units.

    Example:
        >>> [duration(seconds) for seconds in (59.4, 61, 7265, 200_000)]
        ['59 s', '1 min 1 s', '2 h 1 min', '2 d 7 h']
    """
    number = round(seconds)
    for unit, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if number >= size:
            return f"{number // size} {unit} {number % size // smaller_size} {smaller}"
    return f"{number} s"


@contextlib.contextmanager
def show_progress(console: Console) -> Iterator[ProgressDisplay]:
    """Show progress while a block runs."""
    folder = tempfile.mkdtemp(prefix="tracktokens-")
    display = ProgressDisplay(ProgressReporter(folder), console)
    stop = threading.Event()
    thread = threading.Thread(target=display.follow, args=(stop,), daemon=True)
    thread.start()
    try:
        with last_step(partial(shutil.rmtree, folder, ignore_errors=True)):
            yield display
    finally:
        stop.set()
        thread.join()
        shutil.rmtree(folder, ignore_errors=True)
