"""``metrics.jsonl``: one line per measurement of a training, in the order of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tracktokens.transforms.store import files

NAME = "metrics.jsonl"


class MetricsLog:
    """Appends measurements to a file. After a kill, those of steps that are repeated are removed."""

    def __init__(self, path: Path) -> None:
        """Open a file, which need not exist."""
        self._path = path

    def append(self, stage: str, step: int, **values: float) -> None:
        """Append a line with a stage, a step and values."""
        with self._path.open("ab") as file:
            file.write(orjson.dumps({"stage": stage, "step": step, **values}) + b"\n")

    def rewind(self, stages: Sequence[str], stage: str, step: int | None) -> None:
        """Remove the lines after a step of a stage, and of later stages; all of the stage if ``step`` is None."""
        order = {name: number for number, name in enumerate(stages)}
        kept = [
            line
            for line in self.read()
            if order.get(line["stage"], 0) < order[stage]
            or (line["stage"] == stage and step is not None and line["step"] <= step)
        ]
        files.write_bytes(str(self._path), b"".join(orjson.dumps(line) + b"\n" for line in kept))

    def read(self) -> list[dict[str, Any]]:
        """Read all lines; one that was cut short by a kill is ignored."""
        if not self._path.exists():
            return []
        lines = self._path.read_bytes().split(b"\n")[:-1]
        return [orjson.loads(line) for line in lines]
