"""Time the tokenize job against a bare faiss and pyarrow loop, on 1,000,000 stored vectors of 384 dimensions.

Both read the same float16 Parquet files and write a Parquet file of keys and codes for each bucket. The job also
checks its inputs, joins them with stored codes, and computes distances and margins. Each side has its own process.

    python benchmarks/bench_tokenize.py [--vectors 1000000] [--rounds 3]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from result_table import Result, record

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.jobs.train import empty_codebook
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.modalities import METADATA, MODALITIES
from tracktokens.schemas.tables.catalog import TRACK_KEYS
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import write_bundle
from tracktokens.transforms.store.keys import sort_by_key
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.records import make_vector_records, write_vectors

DIM = 384
CODES = 1024
ENCODER = "benchmark"
CATALOG = "benchmark"


def main() -> None:
    """Run the benchmark, or one side of it in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", nargs=3, metavar=("SIDE", "STORE", "BUNDLE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        side, store, bundle = args.side
        {"job": run_job, "loop": run_loop}[side](store, bundle)
    else:
        compare(args.vectors, args.rounds)


def compare(vectors: int, rounds: int) -> None:
    """Time both in turn, after one round that is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_store(str(Path(folder) / "store"), vectors)
        store = Store.open(str(Path(folder) / "store"))
        loops, jobs, peaks = [], [], []
        for number in range(rounds + 1):
            loop_seconds, _ = timed("loop", store, bundle)
            job_seconds, peak = timed("job", store, bundle)
            if number:
                loops.append(loop_seconds)
                jobs.append(job_seconds)
                peaks.append(peak)
                print(f"loop {loop_seconds:.1f} s, job {job_seconds:.1f} s, peak {peak:.2f} GiB", flush=True)
    work, note = f"job, {vectors:,} vectors", f"peak memory {max(peaks):.2f} GiB"
    loop = "a loop of faiss and pyarrow"
    record(Result("tokenize", work, statistics.median(jobs), statistics.median(loops), "s", loop, note))


def timed(side: str, store: Store, bundle: str) -> tuple[float, float]:
    """Return the seconds of work in a fresh process, without its imports, and its peak memory in GiB."""
    shutil.rmtree(Path(store.root) / "codes", ignore_errors=True)
    command = [sys.executable, __file__, "--side", side, store.root, bundle]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seconds = float(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the {side} failed")
    return seconds, usage.ru_maxrss / (1 << 20)


def run_job(root: str, bundle: str) -> None:
    """Run the tokenize job in this process."""
    start = time.perf_counter()
    counts = TokenizeJob(root, bundle, CATALOG).run(PipelineRunner())
    seconds = time.perf_counter() - start
    assert sum(counts.values()) > 0, "nothing was assigned"
    print(seconds)


def run_loop(root: str, bundle: str) -> None:
    """Run the hand-written loop: read, search, write."""
    import faiss

    start = time.perf_counter()
    store = Store.open(root)
    index = faiss.IndexFlatL2(DIM)
    index.add(Codebook.from_bytes(Path(store.bundle(bundle).codebook(METADATA)).read_bytes()).centroids)
    out = Path(store.root, "codes")
    for bucket in range(store.buckets):
        keys, codes = [], []
        for path in sorted(Path(store.vectors(METADATA, ENCODER, bucket)).glob("*.parquet")):
            table = pq.read_table(path)
            vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, DIM).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            keys.append(table["key"].combine_chunks())
            codes.append(index.search(vectors, 1)[1][:, 0].astype(np.int16))
        out.mkdir(exist_ok=True)
        pq.write_table(
            pa.table({"key": pa.concat_arrays(keys), "code": np.concatenate(codes)}), out / f"{bucket}.parquet"
        )
    print(time.perf_counter() - start)


def make_store(root: str, count: int) -> str:
    """Write a store with a catalog, its metadata vectors and a bundle, without the jobs; return the bundle's id."""
    store = Store.open_or_create(root, count)
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((CODES, DIM), np.float32)
    share = count // store.buckets
    catalog = store.catalog(CATALOG)
    for bucket in range(store.buckets):
        keys = random_keys(share, bucket, store.buckets, generator)
        for start in range(0, share, 1 << 14):
            part = keys[start : start + (1 << 14)]
            noise = generator.standard_normal((len(part), DIM), np.float32)
            vectors = centres[generator.integers(0, CODES, len(part))] + noise
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            write_vectors(store, METADATA, ENCODER, bucket, make_vector_records(part, vectors.astype(np.float16)))
        tracks = np.arange(share, dtype=np.uint64)
        rows = pa.table([keys, tracks, np.ones(share, bool), np.ones(share, bool)], schema=TRACK_KEYS)
        files.write_batches(files.join(catalog.keys(METADATA, bucket), "part.parquet"), TRACK_KEYS, [sort_by_key(rows)])
    files.write_bytes(catalog.manifest, catalog_manifest(share * store.buckets).to_json().encode())
    codebooks = {column.name: empty_codebook(column, "") for column in TokenFormat.of(CODES).columns}
    unit = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    codebooks[METADATA] = Codebook(METADATA, ENCODER, Preprocessing(unit_length=True), unit, CODES)
    return write_bundle(store, Bundle.of(codebooks.values()), {modality: {} for modality in MODALITIES}).bundle_id


def random_keys(count: int, bucket: int, buckets: int, generator: np.random.Generator) -> pa.Array:
    """Draw random keys of one bucket."""
    raw = generator.integers(0, 256, (count, 16), np.uint8)
    prefix = (bucket << 16) // buckets + generator.integers(0, (1 << 16) // buckets, count)
    raw[:, 0], raw[:, 1] = prefix >> 8, prefix & 0xFF
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), count, [None, pa.py_buffer(raw.tobytes())])


def catalog_manifest(tracks: int) -> CatalogManifest:
    """Return the result that a scan of this catalog would have."""
    counts = dict.fromkeys(MODALITIES, 0) | {METADATA: tracks}
    return CatalogManifest(
        CATALOG, None, tracks, tracks, 0, {METADATA: ENCODER}, counts, counts, {}, {}, {}, {}, {}, []
    )


if __name__ == "__main__":
    main()
