"""Many scheduled refreshes in a row: neither their duration nor the size of the store may grow with their number.

    python benchmarks/refreshes.py [--refreshes 60] [--tracks 3000] [--keep 7] [--folder FOLDER]

A catalog with precomputed embeddings and playlists is tokenized. Before each refresh, one row in a hundred is edited,
one removed and one added, so that the catalog keeps its size. Then the commands of a scheduled job run, each in its own
process: ``refresh``, and ``gc`` with ``--delete``. ``--keep 0`` leaves out ``gc``: all releases are kept, and only
compaction bounds the number of record files.

During the first ``--keep`` refreshes the store fills up with the releases to keep; they are left out of the summary.
Prints one line per refresh, the means of the first and last ten, and the slope of a fitted line, in per cent of the
mean per refresh. Compaction has a period of seven refreshes. On a shared machine, compare processor seconds.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DIMS = {"lyrics": 48, "audio": 96}
CENTRES = 40
TRACKS_PER_PLAYLIST = 20
CHANGED = 100
"""One row in this many is edited, one removed, and one added."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refreshes", type=int, default=60)
    parser.add_argument("--tracks", type=int, default=3000)
    parser.add_argument("--keep", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="folder for catalog and store (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        costs = run_refreshes(folder, Catalog(list(range(args.tracks))), args.refreshes, args.keep)
    summarize(costs, args.keep)


@dataclass(frozen=True)
class RefreshCost:
    """Cost of one refresh, and size of the store after it.

    Attributes:
        refresh: wall seconds of ``refresh``.
        gc: wall seconds of ``gc``.
        processor: processor seconds of both.
        files: files in the store.
        records: files of vectors, failures and codes.
        folders: folders in the store.
        megabytes: size of all files.
    """

    refresh: float
    gc: float
    processor: float
    files: int
    records: int
    folders: int
    megabytes: float


@dataclass
class Catalog:
    """Tracks as numbers, and the refresh before which each was last edited."""

    tracks: list[int]
    edited: dict[int, int] = field(default_factory=dict)
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def change(self, refresh: int) -> None:
        """Edit some tracks, remove some, and add as many."""
        count = max(1, len(self.tracks) // CHANGED)
        chosen = self.draw.permutation(len(self.tracks))
        removed = {self.tracks[n] for n in chosen[:count]}
        self.edited |= {self.tracks[n]: refresh for n in chosen[count : 2 * count]}
        last = max(self.tracks)
        self.tracks = [track for track in self.tracks if track not in removed] + list(range(last + 1, last + 1 + count))

    def write(self, folder: Path) -> None:
        """Write the tables again."""
        ids = [f"track-{track}" for track in self.tracks]
        pq.write_table(pa.table({"track_id": ids}), folder / "tracks.parquet")
        for modality, dim in DIMS.items():
            vectors = np.stack([self._vector(track, dim) for track in self.tracks])
            pq.write_table(pa.table({"track_id": ids, "vector": list(vectors)}), folder / f"{modality}.parquet")
        lists = [[f"track-{track}" for track in tracks] for tracks in self._playlists()]
        names = [f"playlist-{n}" for n in range(len(lists))]
        pq.write_table(pa.table({"playlist_id": names, "track_ids": lists}), folder / "playlists.parquet")

    def _vector(self, track: int, dim: int) -> np.ndarray:
        centre = np.random.default_rng((dim, track % CENTRES)).standard_normal(dim)
        noise = np.random.default_rng((dim, track, self.edited.get(track, 0))).standard_normal(dim)
        return (centre + 0.5 * noise).astype(np.float32)

    def _playlists(self) -> list[list[int]]:
        """Playlists with tracks of one centre each."""
        draw = np.random.default_rng(1)
        groups = [[track for track in self.tracks if track % CENTRES == centre] for centre in range(CENTRES)]
        each = len(self.tracks) // 4 // CENTRES
        return [list(draw.permutation(group)[:TRACKS_PER_PLAYLIST]) for group in groups for _ in range(each)]


def run_refreshes(folder: Path, catalog: Catalog, count: int, keep: int) -> list[RefreshCost]:
    """Tokenize the catalog, then change and refresh it."""
    store = folder / "store"
    catalog.write(folder)
    command("run", "--codebook-size", "64", *inputs(folder), "--store", str(store))
    print(f"{'nr':>5}  {'  '.join(f'{column.name:>9}' for column in fields(RefreshCost))}", flush=True)
    costs = []
    for number in range(1, count + 1):
        catalog.change(number)
        catalog.write(folder)
        used = processor_seconds()
        refresh = command("refresh", *inputs(folder), "--store", str(store))
        gc = command("gc", "--store", str(store), "--keep", str(keep), "--delete") if keep else 0.0
        costs.append(RefreshCost(refresh, gc, processor_seconds() - used, *measured(store)))
        print(f"{number:>5}  {row(costs[-1])}", flush=True)
    command("verify", str(store))
    return costs


def inputs(folder: Path) -> list[str]:
    """Return the options that name the catalog."""
    embeddings = [
        part for m in DIMS for part in ("--embeddings", f"{m}={folder}/{m}.parquet", "--embeddings-version", f"{m}={m}")
    ]
    return ["--tracks", f"{folder}/tracks.parquet", "--playlists", f"{folder}/playlists.parquet", *embeddings]


def command(*arguments: str) -> float:
    """Run ``tracktokens`` and return its wall seconds."""
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "tracktokens.pipelines.cli.main", *arguments], check=True, capture_output=True
    )
    return time.monotonic() - start


def processor_seconds() -> float:
    """Return the processor seconds of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(store: Path) -> tuple[int, int, int, float]:
    """Count files, record files and folders of a store, and add up its size in MB."""
    entries = list(store.rglob("*"))
    paths = [path for path in entries if path.is_file()]
    records = [path for path in paths if path.relative_to(store).parts[0] in ("vectors", "failures", "codes")]
    return len(paths), len(records), len(entries) - len(paths), sum(path.stat().st_size for path in paths) / 1e6


def summarize(costs: list[RefreshCost], keep: int) -> None:
    """Compare the first refreshes with the last, and fit a line."""
    values = np.array([[getattr(cost, column.name) for column in fields(RefreshCost)] for cost in costs])
    steady = values[keep:]
    print(f"first  {row(RefreshCost(*steady[:10].mean(axis=0)))}")
    print(f"last   {row(RefreshCost(*values[-10:].mean(axis=0)))}")
    if len(steady) > 1:
        slopes = np.polyfit(np.arange(len(steady)), steady, 1)[0]
        shares = 100 * slopes / np.maximum(steady.mean(axis=0), 1e-9)
        print(f"slope  {'  '.join(f'{share:>8.2f}%' for share in shares)}")


def row(cost: RefreshCost) -> str:
    """Format the figures of a refresh in columns."""
    return "  ".join(f"{getattr(cost, column.name):>9.1f}" for column in fields(RefreshCost))


if __name__ == "__main__":
    main()
