"""The display of a training: a bar in a terminal, lines elsewhere."""

import io

import pytest
from rich.console import Console

from tracktokens.pipelines.finetuning import progress
from tracktokens.pipelines.finetuning.progress import TrainingProgress


def test_a_terminal_shows_a_bar_with_the_loss() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with TrainingProgress(console) as display:
        display.start("lora", 20, 5)
        display.update(7, 1.23456)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "LoRA and new rows" in shown
    assert "7/20" in shown
    assert "loss 1.235" in shown


def test_elsewhere_lines_have_the_loss_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 0.0, 4.0, 30.0, 30.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    console = Console(file=io.StringIO(), width=120)
    with TrainingProgress(console) as display:
        display.start("rows", 100, 40)
        display.update(41, None)  # after 4 s: no line yet
        display.update(50, 2.0)  # ten steps in 30 s: 150 s for the other fifty
    assert console.file.getvalue() == "  new rows: 50 of 100 loss 2.000 2 min left\n"  # type: ignore[attr-defined]
