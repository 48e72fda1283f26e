"""Time, memory and disk of the main job over numbers of tracks and workers, for one or two versions of the program.

    python benchmarks/bench_scale.py [--tracks 250000 500000] [--workers 1 2] [--folder FOLDER] [--baseline PYTHON]

The catalog is that of ``bench_precomputed.py``: five tables of vectors of 128 to 512 dimensions. ``--baseline`` is the
Python of an environment with another version of tracktokens; its runs alternate with ours. Memory is sampled from
outside, twice a second, from ``/proc/PID/smaps_rollup`` (shared pages count in parts, so processes can be added up).
Only anonymous memory is needed; pages of files that are mapped can be dropped by the kernel, and are a separate column.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bench_precomputed import DIMS, family, make_catalog

SCRIPT = Path(__file__).with_name("bench_precomputed.py")
MIB = 1 << 20


@dataclass
class Peaks:
    """Largest samples, in bytes: the driver, the largest worker, anonymous memory and mapped files of all, and both."""

    driver: int = 0
    worker: int = 0
    anonymous: int = 0
    mapped: int = 0
    total: int = 0

    def sample(self, pid: int) -> None:
        """Sample a process and its descendants."""
        driver, *workers = [proportional_memory(each) for each in family(pid)]
        anonymous, mapped = (sum(column) for column in zip(driver, *workers, strict=True))
        self.driver = max(self.driver, sum(driver))
        self.worker = max(self.worker, *map(sum, workers), 0)
        self.anonymous, self.mapped = max(self.anonymous, anonymous), max(self.mapped, mapped)
        self.total = max(self.total, anonymous + mapped)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, nargs="+", default=[250_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, help="where the tables are kept; a temporary folder when not given")
    parser.add_argument("--baseline", help="Python of an environment with another version of tracktokens")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        compare(args.folder or Path(temporary), args.tracks, args.workers, args.baseline)


def compare(folder: Path, sizes: list[int], workers: list[int], baseline: str | None) -> None:
    """Measure every combination, and print one row each."""
    print(
        "| version | tracks | dims | workers | s | CPU s "
        "| driver MiB | largest worker | anonymous | mapped | all | disk MB |"
    )
    print("|" + "---|" * 12)
    for tracks in sizes:
        catalog = folder / f"catalog-{tracks}"
        if not catalog.exists():
            make_catalog(catalog, tracks)
        for count in workers:
            for version, python in [("baseline", baseline), ("this", sys.executable)]:
                if python:
                    measured = run(python, catalog, folder, count)
                    print(f"| {version} | {tracks} | {sum(DIMS.values())} | {count} | {measured} |", flush=True)


def run(python: str, catalog: Path, folder: Path, workers: int) -> str:
    """Run the main job in a process of its own, and return its columns of the table."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        store = Path(temporary, "store")
        start = time.perf_counter()
        command = [python, str(SCRIPT), "--job", str(catalog), str(store), "--workers", str(workers)]
        process = subprocess.Popen(command, stdout=sys.stderr)
        peaks, stop = Peaks(), threading.Event()
        watcher = threading.Thread(target=watch, args=(process.pid, peaks, stop))
        watcher.start()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        spent = time.perf_counter() - start
        stop.set()
        watcher.join()
        if process.returncode:
            raise SystemExit(f"the job ended with {process.returncode}")
        disk = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    sizes = [peaks.driver, peaks.worker, peaks.anonymous, peaks.mapped, peaks.total]
    columns = " | ".join(f"{size / MIB:.0f}" for size in sizes)
    return f"{spent:.1f} | {used.ru_utime + used.ru_stime:.1f} | {columns} | {disk / 1e6:.0f}"


def watch(pid: int, peaks: Peaks, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        peaks.sample(pid)


def proportional_memory(pid: int) -> tuple[int, int]:
    """Return the proportional share of a process of anonymous and of mapped pages, in bytes."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it ended meanwhile
        return 0, 0
    lines = (line.split() for line in rollup.splitlines()[1:])
    sizes = {words[0]: int(words[1]) * 1024 for words in lines}
    return sizes["Pss_Anon:"], sizes["Pss:"] - sizes["Pss_Anon:"]


if __name__ == "__main__":
    main()
