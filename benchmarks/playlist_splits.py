"""Split real playlists into a part to train on and a part to continue, as ``tracktokens evaluate`` continues them.

    python benchmarks/playlist_splits.py ../shared/data OUT [--set both] [--fold 0] [--folds 5] [--seed 0]

``../shared/data`` is the folder of real data with ``make_catalog.py``. ``OUT`` gets ``tracks.parquet``, the whole
catalog, and ``train.parquet`` and ``test.parquet``, two playlists tables. Whole playlists are held out: the first
tracks of a test playlist are its seeds, and the rest of it is to be found. Each playlist is in the test part of one of
the folds, so that the folds together measure every playlist once.

| set | contents | playlists |
|---|---|---|
| ``classic_rock`` | songs that a radio station played within one hour | 2,370 |
| ``harisekhon`` | named playlists of one listener, of 2 to 9,635 entries | 283 |
| ``both`` | both sets | 2,653 |
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SETS = {"classic_rock": ["radio"], "harisekhon": ["spotify"], "both": ["radio", "spotify"]}
"""Set to the sources of its playlists: what precedes the colon in their ids."""

FOLDS = 5


@dataclass(frozen=True)
class Split:
    """Two disjoint parts of a playlists table.

    Attributes:
        train: playlists to learn from.
        test: playlists to continue.
    """

    train: pa.Table
    test: pa.Table

    def write(self, folder: Path) -> None:
        """Write ``train.parquet`` and ``test.parquet``."""
        pq.write_table(self.train, folder / "train.parquet")
        pq.write_table(self.test, folder / "test.parquet")


def make_catalog(data: Path, folder: Path) -> pa.Table:
    """Write the catalog of the real data to a folder, unless it is there, and return its playlists table."""
    path = folder / "playlists.parquet"
    if not path.exists():
        subprocess.run([sys.executable, str(data / "make_catalog.py"), str(folder)], check=True)
    return pq.read_table(path)


def of_set(playlists: pa.Table, name: str) -> pa.Table:
    """Select the playlists of one of :data:`SETS`."""
    source = pc.list_element(pc.split_pattern(playlists["playlist_id"], ":"), 0)
    return playlists.filter(pc.is_in(source, value_set=pa.array(SETS[name])))


def split(playlists: pa.Table, *, fold: int = 0, folds: int = FOLDS, seed: int = 0) -> Split:
    """Hold one of several random folds of the playlists out.

    Args:
        playlists: a playlists table.
        fold: fold that is the test part, from 0.
        folds: number of folds; their sizes differ by at most 1.
        seed: seed of the folds.
    """
    of_fold = np.random.default_rng(seed).permutation(np.arange(playlists.num_rows) % folds)
    held_out = pa.array(of_fold == fold)
    return Split(playlists.filter(pc.invert(held_out)), playlists.filter(held_out))


def main() -> None:
    """Write one split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", choices=SETS, default="both", dest="name")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    playlists = of_set(make_catalog(args.data, args.out), args.name)
    parts = split(playlists, fold=args.fold, folds=args.folds, seed=args.seed)
    parts.write(args.out)
    print(f"{parts.train.num_rows} playlists to train on, {parts.test.num_rows} to continue")


if __name__ == "__main__":
    main()
