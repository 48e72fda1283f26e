"""Compare a refresh with the first run on a catalog of precomputed embeddings: wall time and peak memory.

    python benchmarks/bench_refresh.py [--tracks 1000000] [--workers 2] [--refresh-workers 1 2] [--folder FOLDER]

The catalog of ``bench_precomputed.py`` in part files of 16,384 rows is tokenized. Then one row in a hundred is edited,
and as many are added and removed. It is refreshed from the same store three times: unchanged, with the changes spread
over all part files, and with the changed rows in separate part files, as an appending pipeline writes them.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_precomputed import CENTRES, DIMS, measured_run, vectors_batch, vectors_schema
from result_table import Result, record

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.runner import PipelineRunner

PART_ROWS = 1 << 14
CHANGED = 100
"""One row in this many is edited, one removed, and one added."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--refresh-workers", type=int, nargs="+", default=[1], help="worker processes of each refresh")
    parser.add_argument("--folder", type=Path, help="folder for the catalogs (default: a temporary folder)")
    parser.add_argument("--job", nargs=3, metavar=("JOB", "CATALOG", "STORE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        work(*args.job, args.workers)
    elif args.folder:
        compare(args.folder, args)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), args)


def compare(folder: Path, args: argparse.Namespace) -> None:
    """Write the catalogs and measure."""
    tracks = args.tracks
    catalogs = {name: folder / f"{name}-{tracks}" for name in ("first", "spread", "apart")}
    makers: dict[str, Callable[[Path, int, Path], None]] = {"first": first, "spread": spread, "apart": apart}
    for name, path in catalogs.items():
        if not path.exists():
            makers[name](path, tracks, catalogs["first"])
    with tempfile.TemporaryDirectory(dir=folder) as stores:
        store, current = f"{stores}/store", Path(stores) / "catalog"
        current.symlink_to(catalogs["first"].resolve())
        base = measured_run("first run", __file__, ["run", str(current), store], args.workers)
        for name, label in (("first", "nothing changed"), ("spread", "1 % spread"), ("apart", "1 % apart")):
            current.unlink()
            current.symlink_to(catalogs[name].resolve())  # same path: paths identify the files
            for workers in args.refresh_workers:
                copy = f"{stores}/copy"
                shutil.copytree(store, copy, copy_function=link, ignore=shutil.ignore_patterns("writer.lock"))
                spent = measured_run(label, __file__, ["refresh", str(current), copy], workers)
                row = f"{tracks:,} tracks, {label}" + (f", {workers} workers" if workers > 1 else "")
                record(Result("refresh", row, spent, base, "s", "the first run", f"{spent / base:.1%} of it"))
                shutil.rmtree(copy)


def link(source: str, target: str) -> None:
    """Hard-link a store's file: files of a store are replaced, never changed."""
    Path(target).hardlink_to(source)


def first(folder: Path, tracks: int, _: Path) -> None:
    """Write tracks and clustered vectors."""
    write(folder, np.arange(tracks), lambda modality, rows: make_vectors(modality, rows, edited=False))


def spread(folder: Path, tracks: int, _: Path) -> None:
    """Write the whole catalog again, with one row in a hundred edited, one removed, and as many added at the end."""
    rows = np.arange(tracks + tracks // CHANGED)
    write(folder, rows[rows % CHANGED != 1], lambda modality, rows: make_vectors(modality, rows, edited=True))


def apart(folder: Path, tracks: int, before: Path) -> None:
    """Write the changed rows into part files that sort before the old ones and take precedence."""
    rows = np.arange(tracks + tracks // CHANGED)
    left = rows[rows % CHANGED != 1]
    write_tracks(folder, left)
    changed = left[(left % CHANGED == 0) | (left >= tracks)]
    for modality in DIMS:
        shutil.copytree(before / modality, folder / modality)
        write_vectors(folder / modality / "a-changed.parquet", modality, changed, make_vectors(modality, changed, True))


def write(folder: Path, rows: np.ndarray, make: Callable[[str, np.ndarray], np.ndarray]) -> None:
    write_tracks(folder, rows)
    for modality in DIMS:
        (folder / modality).mkdir()
        for number, start in enumerate(range(0, len(rows), PART_ROWS)):
            part = rows[start : start + PART_ROWS]
            write_vectors(folder / modality / f"part-{number:04d}.parquet", modality, part, make(modality, part))


def write_tracks(folder: Path, rows: np.ndarray) -> None:
    folder.mkdir(parents=True)
    titles = pa.array(np.char.add("song ", (rows // 2).astype(str)))
    pq.write_table(pa.table({"track_id": names(rows), "title": titles}), folder / "tracks.parquet")


def write_vectors(path: Path, modality: str, rows: np.ndarray, vectors: np.ndarray) -> None:
    batch = vectors_batch(names(rows), vectors)
    pq.write_table(pa.Table.from_batches([batch], vectors_schema(DIMS[modality])), path)


def names(rows: np.ndarray) -> pa.Array:
    return pa.array(np.char.add("track-", rows.astype(str)))


def make_vectors(modality: str, rows: np.ndarray, edited: bool) -> np.ndarray:
    """Return vectors that depend on the row number only; if edited, one row in a hundred is negated."""
    dim = DIMS[modality]
    centres = np.random.default_rng(dim).standard_normal((CENTRES, dim), np.float32)
    vectors = np.empty((len(rows), dim), np.float32)
    for block in np.unique(rows // PART_ROWS):
        draw = np.random.default_rng((dim, int(block)))
        made = draw.standard_normal((PART_ROWS, dim), np.float32) + centres[draw.integers(0, CENTRES, PART_ROWS)]
        mine = rows // PART_ROWS == block
        vectors[mine] = made[rows[mine] % PART_ROWS]
    if edited:
        vectors[rows % CHANGED == 0] *= -1
    return vectors


def work(job: str, catalog: str, store: str, workers: int) -> None:
    """Tokenize or refresh a catalog, and print the time of each stage."""
    embeddings = {m: PrecomputedConfig(path=f"{catalog}/{m}", version=f"bench-{m}") for m in DIMS}
    source = CatalogSource(tracks=f"{catalog}/tracks.parquet", embeddings=embeddings, encoders={})
    jobs = {"run": RunJob(source=source, store=store), "refresh": RefreshJob(source=source, store=store)}
    outcome = jobs[job].run(PipelineRunner(workers))
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in outcome.seconds.items())
    stored = sum(outcome.catalog.encoded.values()) if outcome.published else 0
    print(f"{sum(outcome.seconds.values()):.1f} s ({stages}), {stored} vectors stored")


if __name__ == "__main__":
    main()
