"""Run the main job on a catalog of precomputed embeddings: time of each stage, and peak memory.

    python benchmarks/bench_precomputed.py [--tracks 1000000] [--workers 2] [--folder FOLDER]

Five tables of float32 vectors (playlist 128, tags, metadata and lyrics 384, audio 512 dimensions) are written once
to FOLDER, and tokenized three times: first, again unchanged, and with one vector in a hundred changed. For comparison,
the tables are read once and their vectors written as float16.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO, LYRICS, METADATA, PLAYLIST, TAGS

DIMS = {PLAYLIST: 128, TAGS: 384, METADATA: 384, LYRICS: 384, AUDIO: 512}
CENTRES = 3000
PART_ROWS = 1 << 16
CHANGED = 100
GIB = 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the tables are kept; a temporary folder when not given")
    parser.add_argument("--job", nargs=2, metavar=("CATALOG", "STORE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        run(Path(args.job[0]), args.job[1], args.workers)
    elif args.folder:
        compare(args.folder, args.tracks, args.workers)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), args.tracks, args.workers)


def compare(folder: Path, tracks: int, workers: int) -> None:
    """Write the catalog unless it exists, and measure."""
    catalog = folder / f"catalog-{tracks}"
    if not catalog.exists():
        make_catalog(catalog, tracks)
    print(f"read and write once: {read_and_write(catalog, folder / 'copy.parquet'):.1f} s", flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as store:
        for label in ("first run", "second run"):
            measured_run(label, __file__, [str(catalog), f"{store}/store"], workers)
        changed = make_changed(catalog, folder / f"changed-{tracks}")
        measured_run(f"one vector in {CHANGED} changed", __file__, [str(changed), f"{store}/store"], workers)


def make_catalog(folder: Path, tracks: int) -> None:
    """Write tracks and clustered vectors."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    ids = pa.array(np.char.add("track-", np.arange(tracks).astype(str)))
    titles = pa.array(np.char.add("song ", (np.arange(tracks) // 2).astype(str)))
    pq.write_table(pa.table({"track_id": ids, "title": titles}), folder / "tracks.parquet")
    for modality, dim in DIMS.items():
        centres = draw.standard_normal((CENTRES, dim), np.float32)
        with pq.ParquetWriter(folder / f"{modality}.parquet", vectors_schema(dim)) as writer:
            for start in range(0, tracks, PART_ROWS):
                part = ids[start : start + PART_ROWS]
                vectors = draw.standard_normal((len(part), dim), np.float32)
                vectors += centres[draw.integers(0, CENTRES, len(part))]
                writer.write_batch(vectors_batch(part, vectors))


def make_changed(catalog: Path, folder: Path) -> Path:
    """Copy a catalog with one vector in ``CHANGED`` negated."""
    if folder.exists():
        return folder
    folder.mkdir()
    (folder / "tracks.parquet").write_bytes((catalog / "tracks.parquet").read_bytes())
    for modality, dim in DIMS.items():
        with pq.ParquetWriter(folder / f"{modality}.parquet", vectors_schema(dim)) as writer:
            for batch in pq.ParquetFile(catalog / f"{modality}.parquet").iter_batches(PART_ROWS):
                vectors = batch["vector"].flatten().to_numpy().reshape(-1, dim).copy()
                vectors[::CHANGED] *= -1
                writer.write_batch(vectors_batch(batch["track_id"], vectors))
    return folder


def vectors_schema(dim: int) -> pa.Schema:
    return pa.schema([("track_id", pa.string()), ("vector", pa.list_(pa.float32(), dim))])


def vectors_batch(ids: pa.Array, vectors: np.ndarray) -> pa.RecordBatch:
    dim = vectors.shape[1]
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)
    return pa.record_batch([ids, lists], schema=vectors_schema(dim))


def read_and_write(catalog: Path, copy: Path) -> float:
    """Measure I/O alone: read every table, and write its vectors as float16."""
    start = time.perf_counter()
    for modality in DIMS:
        table = pq.ParquetFile(catalog / f"{modality}.parquet")
        schema = pa.schema([("vector", pa.float16())])
        with pq.ParquetWriter(copy, schema, compression="none", use_dictionary=False) as writer:
            for batch in table.iter_batches(PART_ROWS, columns=["vector"]):
                writer.write_batch(pa.record_batch([pc.cast(batch["vector"].flatten(), pa.float16())], schema=schema))
    copy.unlink()
    return time.perf_counter() - start


def measured_run(label: str, script: str, job: list[str], workers: int) -> float:
    """Run a job in its own process, measure the memory of it and its workers, and return its seconds."""
    command = [sys.executable, script, "--job", *job, "--workers", str(workers)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with peak_memory(process.pid) as peak:
        said = process.stdout.read()
        status = process.wait()
    if status:
        raise SystemExit(f"{label} failed")
    spent = time.perf_counter() - start
    memory = f"peak {max(peak) / GIB:.2f} GiB in all processes"
    print(f"{label}, {workers} workers: {spent:.1f} s with start; {said.strip()}; {memory}", flush=True)
    return spent


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """Sample the memory of a process and its descendants every half second; shared pages count once."""
    samples, stop = [0], threading.Event()

    def sample() -> None:
        while not stop.wait(0.5):
            samples.append(sum(proportional_bytes(each) for each in family(pid)))

    thread = threading.Thread(target=sample)
    thread.start()
    yield samples
    stop.set()
    thread.join()


def family(pid: int) -> list[int]:
    """List a process and its descendants."""
    members = [pid]
    for member in members:
        for task in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                members += [int(child) for child in task.read_text().split()]
            except OSError:  # it ended meanwhile
                continue
    return members


def proportional_bytes(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def run(catalog: Path, store: str, workers: int) -> None:
    """Tokenize a catalog and print the time of each stage."""
    embeddings = {m: PrecomputedConfig(path=str(catalog / f"{m}.parquet"), version=f"bench-{m}") for m in DIMS}
    source = CatalogSource(tracks=str(catalog / "tracks.parquet"), embeddings=embeddings, encoders={})
    outcome = RunJob(source=source, store=store).run(PipelineRunner(workers))
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in outcome.seconds.items())
    print(f"{sum(outcome.seconds.values()):.1f} s ({stages}), {sum(outcome.catalog.encoded.values())} vectors stored")


if __name__ == "__main__":
    main()
