"""Many nights in a row: what a refresh takes and what the store holds must not grow with the number of nights.

    python benchmarks/nights.py [--nights 60] [--tracks 3000] [--keep 7] [--folder FOLDER]

A catalog with given vectors and playlists is tokenized. Then, every night, one row in a hundred is edited, one removed
and one added, so that the catalog stays as large as it is, and what a cron line would run is run: ``refresh``, and
``gc`` with ``--delete``, each in a process of its own. ``--keep 0`` leaves ``gc`` out: everything stays, and
only compaction bounds the number of files of facts.

Prints a line a night, the means of the first ten nights after the first ``--keep`` and of the last ten, and the slope
of a line through them and all between, in per cent of the mean a night. Before those the store fills up with the
releases to keep. Compaction has a rhythm of seven nights.
Seconds of the processor are what to look at where other work goes on beside.
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
"""One row in so many is edited, one removed, and one added."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--tracks", type=int, default=3000)
    parser.add_argument("--keep", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where catalog and store are kept; a temporary folder otherwise")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        nights = live(folder, Catalog(list(range(args.tracks))), args.nights, args.keep)
    summarize(nights, args.keep)


@dataclass(frozen=True)
class Night:
    """What a night took, and what it left.

    Attributes:
        refresh: seconds of ``refresh``, by the clock.
        gc: the same of ``gc``.
        processor: seconds of the processor, of both.
        files: files in the store.
        records: files of vectors, failures and codes among them.
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
    """Tracks that come and go: each is a number, and the night on which it was last edited."""

    tracks: list[int]
    edited: dict[int, int] = field(default_factory=dict)
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def pass_night(self, night: int) -> None:
        """Edit some tracks, take some away, and add as many."""
        count = max(1, len(self.tracks) // CHANGED)
        chosen = self.draw.permutation(len(self.tracks))
        gone = {self.tracks[n] for n in chosen[:count]}
        self.edited |= {self.tracks[n]: night for n in chosen[count : 2 * count]}
        last = max(self.tracks)
        self.tracks = [track for track in self.tracks if track not in gone] + list(range(last + 1, last + 1 + count))

    def write(self, folder: Path) -> None:
        """Write the tables anew."""
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
        """Tracks of one centre each."""
        draw = np.random.default_rng(1)
        groups = [[track for track in self.tracks if track % CENTRES == centre] for centre in range(CENTRES)]
        each = len(self.tracks) // 4 // CENTRES
        return [list(draw.permutation(group)[:TRACKS_PER_PLAYLIST]) for group in groups for _ in range(each)]


def live(folder: Path, catalog: Catalog, nights: int, keep: int) -> list[Night]:
    """Tokenize the catalog, and let the nights pass."""
    store = folder / "store"
    catalog.write(folder)
    command("run", "--codebook-size", "64", *inputs(folder), "--store", str(store))
    print(f"{'night':>5}  {'  '.join(f'{column.name:>9}' for column in fields(Night))}", flush=True)
    passed = []
    for number in range(1, nights + 1):
        catalog.pass_night(number)
        catalog.write(folder)
        used = processor_seconds()
        refresh = command("refresh", *inputs(folder), "--store", str(store))
        gc = command("gc", "--store", str(store), "--keep", str(keep), "--delete") if keep else 0.0
        passed.append(Night(refresh, gc, processor_seconds() - used, *measured(store)))
        print(f"{number:>5}  {row(passed[-1])}", flush=True)
    command("verify", str(store))
    return passed


def inputs(folder: Path) -> list[str]:
    """Options that name the catalog."""
    given = [part for m in DIMS for part in ("--vectors", f"{m}={folder}/{m}.parquet", "--vectors-id", f"{m}={m}")]
    return ["--tracks", f"{folder}/tracks.parquet", "--playlists", f"{folder}/playlists.parquet", *given]


def command(*arguments: str) -> float:
    """Run ``tracktokens``; gives the seconds that it took."""
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "tracktokens.pipelines.cli.main", *arguments], check=True, capture_output=True
    )
    return time.monotonic() - start


def processor_seconds() -> float:
    """What the commands so far have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(store: Path) -> tuple[int, int, int, float]:
    """Files, files of facts, and folders of a store, and its size in MB."""
    found = list(store.rglob("*"))
    paths = [path for path in found if path.is_file()]
    records = [path for path in paths if path.relative_to(store).parts[0] in ("vectors", "failures", "codes")]
    return len(paths), len(records), len(found) - len(paths), sum(path.stat().st_size for path in paths) / 1e6


def summarize(nights: list[Night], keep: int) -> None:
    """Compare the first nights with the last, and fit a line."""
    values = np.array([[getattr(night, column.name) for column in fields(Night)] for night in nights])
    settled = values[keep:]
    print(f"first  {row(Night(*settled[:10].mean(axis=0)))}")
    print(f"last   {row(Night(*values[-10:].mean(axis=0)))}")
    if len(settled) > 1:
        slopes = np.polyfit(np.arange(len(settled)), settled, 1)[0]
        shares = 100 * slopes / np.maximum(settled.mean(axis=0), 1e-9)
        print(f"slope  {'  '.join(f'{share:>8.2f}%' for share in shares)}")


def row(night: Night) -> str:
    """A night's figures, in columns."""
    return "  ".join(f"{getattr(night, column.name):>9.1f}" for column in fields(Night))


if __name__ == "__main__":
    main()
