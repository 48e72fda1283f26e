"""Results of benchmarks: what we took, what a baseline took in the same run, and the ratio.

Each ``bench_*.py`` prints its results in words, and records the main ones here. ``all_stages.py`` runs them and
collects the records.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

RECORDS_VARIABLE = "TRACKTOKENS_BENCH_RECORDS"
"""Environment variable: the file that records are appended to. Without it they are only printed."""


@dataclass(frozen=True)
class Result:
    """A measurement beside its baseline. Smaller is better.

    Attributes:
        stage: stage of the pipeline.
        work: what was done.
        ours: our time, or memory.
        baseline: the baseline's, in the same unit and run.
        unit: unit of both.
        against: what the baseline is.
        note: anything else, such as the share of equal tokens.
    """

    stage: str
    work: str
    ours: float
    baseline: float
    unit: str
    against: str
    note: str = ""

    @property
    def share(self) -> float:
        """The baseline over ours: above 1, ours is faster."""
        return self.baseline / self.ours


def record(result: Result) -> None:
    """Print a result, and append it to the file of records."""
    print(f"{result.stage}, {result.work}: {result.ours:.4g} {result.unit}, {result.against} {result.baseline:.4g}: "
          f"{result.share:.2f} {result.note}", flush=True)  # fmt: skip
    if path := os.environ.get(RECORDS_VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def markdown(results: Iterable[Result]) -> str:
    """Write results as a table."""
    rows = [
        f"| {found.stage} | {found.work} | {found.ours:.3g} | {found.baseline:.3g} | {found.unit} | "
        f"{found.share:.2f} | {found.against}{f'; {found.note}' if found.note else ''} |"
        for found in results
    ]
    return "\n".join(
        [
            "| stage | work | ours | baseline | unit | baseline / ours | baseline |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )
