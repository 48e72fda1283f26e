"""How good codebooks are and what they cost, beside scikit-learn's minibatches and faiss, in one run.

    python benchmarks/bench_codebooks.py                  262,144 points round 3,000 centres
    python benchmarks/bench_codebooks.py --store STORE    the metadata vectors of a store as well

Ours is all of ``fit_codebook``: preprocessing, merging of equal vectors, training and measuring. Inertia is measured
for all of them alike. Contestants take turns; time is by the clock and of the processor, which other processes disturb
less. Then the speed of ``assign`` beside a bare matrix product of the same shape.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
from sklearn.cluster import MiniBatchKMeans

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook, Floats, Preprocessing
from tracktokens.codebooks.fit import fit_codebook

CODES = 1024
DIM = 384
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="a store whose metadata vectors are used too")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    compare("262,144 points round 3,000 centres", clustered(), args.rounds)
    if args.store:
        compare("metadata of the store", stored(args.store), args.rounds)
    compare_assignment()


def clustered(count: int = 1 << 18, centres: int = 3000, seed: int = 0) -> Floats:
    """Points of unit length round centres whose sizes follow a power law, with noise that is correlated."""
    draw = np.random.default_rng(seed)
    middles = draw.standard_normal((centres, DIM), np.float32)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    sizes = np.arange(1, centres + 1) ** -0.8
    mixing = draw.standard_normal((64, DIM), np.float32) / np.float32(DIM**0.5)
    noise = draw.standard_normal((count, 64), np.float32) @ mixing / np.float32(8)
    points = middles[draw.choice(centres, count, p=sizes / sizes.sum())] + noise
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def stored(store: Path) -> Floats:
    parts = [pq.ParquetFile(path).read() for path in sorted(store.glob("vectors/metadata/*/bucket=*/*.parquet"))]
    flat = np.concatenate([part["vector"].combine_chunks().flatten().to_numpy() for part in parts])
    points = flat.reshape(-1, DIM).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def with_sklearn(points: Floats) -> Floats:
    settings = {"init": "k-means++", "batch_size": 4096, "max_iter": 5, "n_init": 1, "random_state": 0}
    return MiniBatchKMeans(CODES, **settings).fit(points).cluster_centers_.astype(np.float32)


def with_faiss(points: Floats) -> Floats:
    kmeans = faiss.Kmeans(points.shape[1], CODES, niter=20)
    kmeans.train(points)
    return np.array(kmeans.centroids)


def ours(points: Floats) -> Floats:
    vectors = points.astype(np.float16)
    return fit_codebook(vectors, modality="metadata", encoder_id="bench", reserved=CODES).codebook.centroids


def compare(label: str, points: Floats, rounds: int) -> None:
    contestants = {"scikit-learn MiniBatchKMeans": with_sklearn, "faiss.Kmeans(niter=20)": with_faiss, "ours": ours}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, train in contestants.items():
            wall, processor = time.perf_counter(), time.process_time()
            centroids = train(points)
            spent = time.perf_counter() - wall, time.process_time() - processor
            found[name].append((inertia(points, centroids), *spent))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    base = medians["scikit-learn MiniBatchKMeans"]
    print(
        f"\n{label}, {points.shape[0]} x {points.shape[1]}: inertia, seconds and seconds of processor, over the first"
    )
    for name, values in medians.items():
        ratios = ", ".join(f"{value:.5g} ({value / first:.3f})" for value, first in zip(values, base, strict=True))
        print(f"  {name:30} {ratios}", flush=True)


def inertia(points: Floats, centroids: Floats) -> float:
    distances, _ = faiss.knn(points, np.ascontiguousarray(centroids), 1)
    return float(distances.astype(np.float64).mean())


def compare_assignment(count: int = 1 << 17) -> None:
    draw = np.random.default_rng(1)
    points, centroids = draw.standard_normal((count, DIM), np.float32), draw.standard_normal((CODES, DIM), np.float32)
    book = Codebook("metadata", "bench", Preprocessing(unit_length=False), centroids, CODES)
    ratios = []
    for _ in range(ROUNDS):
        product = timed(lambda: [points[start : start + 16384] @ centroids.T for start in range(0, count, 16384)])
        ratios.append(product / timed(lambda: assign(book, points)))
    print(f"\nassign over a bare matrix product, {count} x {DIM} by {CODES}: {statistics.median(ratios):.2f}")


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
