"""Compare our fit of 1,024 codes with scikit-learn's mini-batches and faiss: inertia and time.

    python benchmarks/bench_codebooks.py [--store STORE] [--rounds 1]

Two sets of vectors: 262,144 x 384 synthetic ones, around 3,000 centres with power-law sizes; and, with ``--store``, the
metadata vectors of a store. All sides start from the same float16 vectors and convert them: ours also merges equal
ones. Inertia is the mean squared distance of all vectors, scaled to unit length, to their centroid. The last lines
compare ``assign`` with the bare product of the same float32 vectors and centroids.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from result_table import Result, record
from sklearn.cluster import MiniBatchKMeans

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.training.fit import fit_codebook
from tracktokens.transforms.store.records import as_matrix

CODES = 1024
DIM = 384
MADE_VECTORS, MADE_CENTRES, SIZE_EXPONENT = 262_144, 3_000, 0.8
PRODUCT_ROWS = 16_384
ASSIGN_ROUNDS = 5

Halves = npt.NDArray[np.float16]
Floats = npt.NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="a store with metadata vectors")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # faiss asks for more points, scikit-learn warns about threads
    sets = {"made": make_vectors()}
    if arguments.store:
        sets["metadata"] = read_vectors(arguments.store)
    for name, vectors in sets.items():
        compare(name, vectors, arguments.rounds)
        compare_assign(name, vectors)


def make_vectors(seed: int = 0) -> Halves:
    """Points of unit length whose noise is as large as the distances of the centres, and larger in some directions."""
    generator = np.random.default_rng(seed)
    shares = np.arange(1, MADE_CENTRES + 1) ** -SIZE_EXPONENT
    labels = generator.choice(MADE_CENTRES, MADE_VECTORS, p=shares / shares.sum())
    centres = generator.standard_normal((MADE_CENTRES, DIM), np.float32)
    mixing = generator.standard_normal((DIM, DIM)) / np.sqrt(np.arange(1, DIM + 1))[:, np.newaxis]
    mixing = (mixing * np.sqrt(DIM) / np.linalg.norm(mixing)).astype(np.float32)
    vectors = np.empty((MADE_VECTORS, DIM), np.float16)
    for start in range(0, MADE_VECTORS, PRODUCT_ROWS):
        block = slice(start, start + PRODUCT_ROWS)
        noise = generator.standard_normal((len(labels[block]), DIM), np.float32) @ mixing
        vectors[block] = unit_length(centres[labels[block]] + noise)
    return vectors


def read_vectors(store: Path) -> Halves:
    """Read all metadata vectors of a store."""
    paths = sorted(store.glob("vectors/metadata/*/bucket=*/*.parquet"))
    return np.concatenate([as_matrix(pq.read_table(path)["vector"].combine_chunks()) for path in paths])


def compare(name: str, vectors: Halves, rounds: int) -> None:
    sides: dict[str, Callable[[Halves, int], Floats]] = {"ours": ours, "scikit-learn": mini_batches, "faiss": lloyd}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    inertias: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sorted(sides, reverse=number % 2 == 1):  # so that none always follows the same
            start = time.perf_counter()
            centroids = sides[side](vectors, number)
            seconds[side].append(time.perf_counter() - start)
            inertias[side].append(inertia(centroids, vectors))
    print(f"{name}: {len(vectors):,} x {vectors.shape[1]} vectors, {CODES} codes, median of {rounds}")
    for side in sides:
        ratios = [ours / theirs for ours, theirs in zip(seconds["ours"], seconds[side], strict=True)]
        quality = [ours / theirs for ours, theirs in zip(inertias["ours"], inertias[side], strict=True)]
        print(
            f"  {side:12s} inertia {statistics.median(inertias[side]):.4f}, {statistics.median(seconds[side]):5.1f} s; "
            f"ours is {statistics.median(quality):.3f} of its inertia in {statistics.median(ratios):.2f} of its time",
            flush=True,
        )
        if side != "ours":
            times = (statistics.median(seconds[name]) for name in ("ours", side))
            note = f"our inertia is {statistics.median(quality):.3f} of its inertia"
            record(Result("codebooks", f"{CODES} codes on {len(vectors):,} vectors", *times, "s", side, note))


def ours(vectors: Halves, seed: int) -> Floats:
    return fit_codebook(vectors, modality="metadata", encoder_id="", codebook_size=CODES, seed=seed).codebook.centroids


def mini_batches(vectors: Halves, seed: int) -> Floats:
    model = MiniBatchKMeans(CODES, init="k-means++", batch_size=4096, max_iter=5, n_init=1, random_state=seed)
    return model.fit(unit_length(vectors)).cluster_centers_


def lloyd(vectors: Halves, seed: int) -> Floats:
    model = faiss.Kmeans(vectors.shape[1], CODES, niter=20, seed=seed, min_points_per_centroid=1)
    model.train(unit_length(vectors))
    return model.centroids


def unit_length(vectors: npt.NDArray[np.floating]) -> Floats:
    points = vectors.astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def inertia(centroids: Floats, vectors: Halves) -> float:
    """Mean squared distance to the nearest centroid, computed alike for all sides."""
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(np.ascontiguousarray(centroids, np.float32))
    blocks = (vectors[start : start + PRODUCT_ROWS] for start in range(0, len(vectors), PRODUCT_ROWS))
    return sum(index.search(unit_length(block), 1)[0].sum(dtype=float) for block in blocks) / len(vectors)


def compare_assign(name: str, vectors: Halves) -> None:
    """Time the assignment of stored vectors and the matrix product that it needs at least."""
    centroids = unit_length(vectors[:CODES])
    codebook = Codebook("metadata", "", Preprocessing(unit_length=True), centroids, CODES)
    points, products, times = unit_length(vectors), [], []
    for _ in range(ASSIGN_ROUNDS):
        start = time.perf_counter()
        for row in range(0, len(points), PRODUCT_ROWS):
            points[row : row + PRODUCT_ROWS] @ centroids.T
        middle = time.perf_counter()
        assign(codebook, vectors)
        products.append(middle - start)
        times.append(time.perf_counter() - middle)
    work = f"assign {len(vectors):,} vectors"
    record(Result("codebooks", work, min(times), min(products), "s", "the bare product of vectors and centroids"))


if __name__ == "__main__":
    main()
