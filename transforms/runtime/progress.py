"""Progress of a running job: worker processes write counts into a folder, and the launching process adds them up.

Beam reports the counters of a local job only at its end. A progress report costs one small file write per batch. If
workers do not share the disk of the launching process, nothing is reported: the runner's own page shows the counters.
"""

import json
import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

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
        with _lock:
            stages = _counts.setdefault(self.folder, {})
            stages.setdefault(stage, Counter()).update(done=done, total=total)
            self._write(json.dumps(stages))

    def read(self) -> dict[str, Counter[str]]:
        """Add up the counts of all processes: stage to ``done`` and ``total``."""
        sums: dict[str, Counter[str]] = {}
        for path in sorted(Path(self.folder).glob("*.json")):
            for stage, counts in json.loads(path.read_text(encoding="utf-8")).items():
                sums.setdefault(stage, Counter()).update(counts)
        return sums

    def _write(self, text: str) -> None:
        folder = Path(self.folder)
        if not folder.is_dir():  # a worker on another machine, which cannot reach the folder
            return
        partial = folder / f"{os.getpid()}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / f"{os.getpid()}.json")
