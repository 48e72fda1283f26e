"""Progress of a running job: worker processes write counts into a folder, and the launching process adds them up.

Beam reports the counters of a local job only at its end. A progress report costs one small file write per batch.
Workers that do not share the disk of the launching process count with Beam's counters instead, which the launching
process asks the runner for.
"""

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COUNTERS = "tracktokens.progress"
"""Namespace of Beam's counters of the progress; their names are ``done STAGE`` and ``total STAGE``."""

DONE, TOTAL = "done", "total"

_lock = threading.Lock()
_counts: dict[str, dict[str, Counter[str]]] = {}


@dataclass(frozen=True)
class ProgressReporter:
    """Count the work of each stage, for all processes of a job.

    Attributes:
        folder: folder of the counts, one file per process; empty to report nothing.
    """

    folder: str = ""

    def add(self, stage: str, *, done: int = 0, total: int = 0) -> None:
        """Add to the work of a stage: ``done`` items are finished, ``total`` more items are known."""
        if not self.folder:
            return
        if not Path(self.folder).is_dir():  # a worker on another machine
            _count(stage, done, total)
            return
        with _lock:
            stages = _counts.setdefault(self.folder, {})
            stages.setdefault(stage, Counter()).update(done=done, total=total)
            self._write(str(os.getpid()), stages)

    def put(self, job: str, stages: Mapping[str, Mapping[str, int]]) -> None:
        """Set the counts of a job elsewhere, which replace its counts so far: stage to ``done`` and ``total``."""
        if self.folder:
            self._write(hashlib.sha256(job.encode()).hexdigest(), stages)

    def read(self) -> dict[str, Counter[str]]:
        """Add up the counts of all processes: stage to ``done`` and ``total``."""
        sums: dict[str, Counter[str]] = {}
        for path in sorted(Path(self.folder).glob("*.json")):
            for stage, counts in json.loads(path.read_text(encoding="utf-8")).items():
                sums.setdefault(stage, Counter()).update(counts)
        return sums

    def _write(self, name: str, stages: Mapping[str, Mapping[str, int]]) -> None:
        partial = Path(self.folder) / f"{name}.partial"
        partial.write_text(json.dumps(stages), encoding="utf-8")
        partial.replace(partial.with_suffix(".json"))


def _count(stage: str, done: int, total: int) -> None:
    from apache_beam.metrics import Metrics

    for name, count in ((DONE, done), (TOTAL, total)):
        if count:
            Metrics.counter(COUNTERS, f"{name} {stage}").inc(count)
