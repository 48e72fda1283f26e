"""How far a running job is: counts that worker processes leave in a folder, and that the launcher adds up.

Beam tells a local job's progress only when it is over. A board costs one small file write a batch. Where workers do not
share the launcher's disk there is no board: the runner's own page shows the counters.
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
    """Shared counts of work done and work known, by stage. ``folder`` is empty where nobody looks."""

    folder: str = ""

    def add(self, stage: str, *, done: int = 0, total: int = 0) -> None:
        """Count work of a stage: some done, or some more known to be there."""
        if not self.folder:
            return
        with _lock:
            stages = _counts.setdefault(self.folder, {})
            stages.setdefault(stage, Counter()).update(done=done, total=total)
            self._write(json.dumps(stages))

    def read(self) -> dict[str, Counter[str]]:
        """Add up what all processes counted: stage to ``done`` and ``total``."""
        sums: dict[str, Counter[str]] = {}
        for path in sorted(Path(self.folder).glob("*.json")):
            for stage, counts in json.loads(path.read_text(encoding="utf-8")).items():
                sums.setdefault(stage, Counter()).update(counts)
        return sums

    def _write(self, text: str) -> None:
        folder = Path(self.folder)
        if not folder.is_dir():  # a worker on another machine: nobody looks there
            return
        partial = folder / f"{os.getpid()}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / f"{os.getpid()}.json")
