"""Progress of a job as a terminal and a log show it."""

import io
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from tracktokens.pipelines import progress_display
from tracktokens.pipelines.progress_display import ProgressDisplay
from tracktokens.transforms.runtime.progress import ProgressReporter


@pytest.fixture(params=[True, False], ids=["terminal", "log"])
def console(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(progress_display, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(progress_display, "PLAIN_SECONDS", 0.01)
    return Console(file=io.StringIO(), force_terminal=request.param, width=100, color_system=None)


def shown(console: Console, wanted: str) -> str:
    """Wait until the console shows a text."""
    assert isinstance(console.file, io.StringIO)
    for _ in range(1000):
        if wanted in console.file.getvalue():
            return console.file.getvalue()
        time.sleep(0.01)
    raise AssertionError(f"{wanted} is not shown: {console.file.getvalue()[-1000:]}")


def test_a_stage_waits_and_then_has_a_rate_and_the_time_left(console: Console, tmp_path: Path) -> None:
    progress, stop = ProgressReporter(str(tmp_path)), threading.Event()
    thread = threading.Thread(target=ProgressDisplay(progress, console).follow, args=(stop,))
    thread.start()
    try:
        progress.add("encode tags", total=1000)
        assert "/s" not in shown(console, "waiting")
        for _ in range(3):
            progress.add("encode tags", done=1)
            time.sleep(0.05)
        assert " s left" in shown(console, "/s, ")
    finally:
        stop.set()
        thread.join()
