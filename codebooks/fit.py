"""Learn a codebook from vectors: weighted k-means on their distinct rows, the same result whatever their order.

Points are rounded to float16, the precision in which vectors are stored, so that two points are either the same or
apart by more than rounding. Equal points become one point with a weight.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.assign import BLOCK_ROWS, nearest_centroids
from tracktokens.codebooks.codebook import Codebook, Floats, Preprocessing, Vectors

DISTINCT_PER_CENTROID = 2
"""Distinct vectors that there must be for every learned centroid: a code that one vector alone has says nothing about
likeness. With fewer vectors than twice the reserved codes, the last codes stay without a centroid."""

CONSTANT_BELOW = 1e-6
"""A dimension whose standard deviation is below this part of its mean's size is constant up to float32 rounding."""

MAX_REPAIRS = 20
"""Rounds of reseeding after which codes that still have no point are left out. Usually none is needed."""


@dataclass(frozen=True)
class TrainingMetrics:
    """How a training went.

    Attributes:
        vectors: rows of the input.
        distinct_vectors: rows that differ after preprocessing and rounding to float16.
        learned_centroids: centroids of the codebook, each nearest to at least one vector.
        iterations: k-means iterations; fewer than asked for where it converged.
        reseeded_centroids: times that a centroid without a vector was moved to a badly served one.
        inertia: mean squared distance of a vector to its centroid, in preprocessed space.
        explained_variance: 1 - inertia / variance, 1 where all vectors are equal or there are none.
        largest_cluster: vectors of the commonest code, which is code 0.
        smallest_cluster: vectors of the rarest code, which is the last.
    """

    vectors: int
    distinct_vectors: int
    learned_centroids: int
    iterations: int
    reseeded_centroids: int
    inertia: float
    explained_variance: float
    largest_cluster: int
    smallest_cluster: int


@dataclass(frozen=True, eq=False)
class Fit:
    """A codebook and how its training went."""

    codebook: Codebook
    metrics: TrainingMetrics


@dataclass(frozen=True, eq=False)
class Points:
    """Distinct training points in an order that depends on their values alone.

    Attributes:
        values: float32 (n, dim), preprocessed, no two rows equal.
        counts: int64 (n,), how many training vectors a row stands for.
    """

    values: Floats
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Trained:
    """Centroids, float32 (k, dim), with the k-means iterations and the reseeded centroids that led to them."""

    centroids: Floats
    iterations: int
    reseeded: int


def fit_codebook(
    vectors: Vectors,
    *,
    modality: str,
    encoder_id: str,
    reserved: int,
    seed: int = 0,
    iterations: int = 25,
    standardize: bool = False,
    threads: int | None = None,
) -> Fit:
    """Learn at most ``reserved`` centroids from float16 or float32 vectors of shape (n, dim).

    The codebook depends on the set of vectors with their multiplicities, on ``seed`` and on ``iterations``; not on the
    order of rows. Codes are numbered by falling cluster size: code 0 is the commonest.

    Args:
        vectors: training vectors; none at all give a codebook without centroids.
        modality: one of ``schemas.modalities.MODALITIES``.
        encoder_id: the encoder that made the vectors.
        reserved: codes that the vocabulary sets aside; see ``DISTINCT_PER_CENTROID`` for how many are learned.
        seed: of the k-means++ initialisation (Arthur and Vassilvitskii, SODA 2007), 0 or more.
        iterations: most k-means iterations.
        standardize: bring every dimension to mean 0 and variance 1, for features of different units, in place of
            scaling vectors to unit length.
        threads: CPU threads; by default as many as faiss takes.

    Raises:
        ValueError: an argument is out of range.
        DataRefusedError: a vector is not finite.
    """
    _check_arguments(vectors, seed, iterations)
    with _faiss_threads(threads):
        preprocessing = standardization(vectors) if standardize else Preprocessing(unit_length=True)
        points = training_points(vectors, preprocessing)
        trained = _train(points, learned_size(len(points.values), reserved), seed, iterations)
        centroids, metrics = _number_codes(points, trained)
    return Fit(Codebook(modality, encoder_id, preprocessing, centroids, reserved), metrics)


def learned_size(distinct: int, reserved: int) -> int:
    """Return how many centroids are learned from a number of distinct vectors."""
    return min(reserved, max(1, distinct // DISTINCT_PER_CENTROID)) if distinct else 0


def standardization(vectors: Vectors) -> Preprocessing:
    """Measure mean and deviation of each dimension, so that features of different units weigh the same.

    A dimension that is constant in training gets scale 0: nothing says what a deviation in it is worth.
    """
    if len(vectors) == 0:
        return Preprocessing(unit_length=False)
    # Sums run over sorted rows: floating point addition depends on its order.
    rows, counts = _distinct_rows(Preprocessing(unit_length=False).apply(vectors))
    mean = _weighted_mean(rows, counts)
    deviation = np.sqrt(_weighted_mean((rows - mean) ** 2, counts))
    varies = deviation > CONSTANT_BELOW * np.abs(mean)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
    return Preprocessing(unit_length=False, mean=mean.astype(np.float32), scale=scale.astype(np.float32))


def training_points(vectors: Vectors, preprocessing: Preprocessing) -> Points:
    """Preprocess vectors of shape (n, dim), round them to float16 and merge equal rows."""
    rounded = np.empty(vectors.shape, np.float16)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        rounded[block] = preprocessing.apply(vectors[block])
    rows, counts = _distinct_rows(rounded)
    return Points(rows.astype(np.float32), counts)


def fill_empty_clusters(points: Points, centroids: Floats, seed: int) -> tuple[Floats, int]:
    """Move centroids that no point is nearest to onto the points that are farthest from theirs.

    faiss splits a large cluster for each empty one, and does so after the last iteration as well, without a look at
    whether the halves found points. Each round here moves the empty ones and runs one more iteration.

    Returns:
        The centroids and how many moves were made.
    """
    moved = 0
    for _ in range(MAX_REPAIRS):
        nearest = nearest_centroids(centroids, points.values)
        empty = np.flatnonzero(np.bincount(nearest.codes, minlength=len(centroids)) == 0)
        if len(empty) == 0:
            break
        centroids = centroids.copy()
        farthest = np.argsort(-nearest.distances, kind="stable")[: len(empty)]
        centroids[empty] = points.values[farthest]
        centroids = _kmeans(points, len(centroids), seed, iterations=1, start=centroids).centroids
        moved += len(empty)
    return centroids, moved


def _check_arguments(vectors: Vectors, seed: int, iterations: int) -> None:
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(f"vectors of shape (n, dim) are needed, not {vectors.shape}")
    if not 0 <= seed < 2**31:  # faiss takes the clock for a negative seed
        raise ValueError(f"seed {seed} is not between 0 and {2**31 - 1}")
    if iterations < 1:
        raise ValueError(f"{iterations} iterations: at least one is needed")


def _train(points: Points, size: int, seed: int, iterations: int) -> Trained:
    if size == 0:
        return Trained(np.zeros((0, points.values.shape[1]), np.float32), 0, 0)
    trained = _kmeans(points, size, seed, iterations)
    centroids, reseeded = fill_empty_clusters(points, trained.centroids, seed)
    return Trained(centroids, trained.iterations, reseeded)


def _kmeans(points: Points, size: int, seed: int, iterations: int, start: Floats | None = None) -> Trained:
    import faiss

    kmeans = faiss.Kmeans(
        points.values.shape[1],
        size,
        niter=iterations,
        seed=seed,
        init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        min_points_per_centroid=1,  # below it, faiss warns on stderr
        max_points_per_centroid=len(points.values),  # above it, faiss trains on a subsample
    )
    kmeans.train(points.values, weights=points.counts.astype(np.float32), init_centroids=start)
    centroids: Floats = np.array(kmeans.centroids)
    return Trained(centroids, len(kmeans.iteration_stats or ()), 0)


def _number_codes(points: Points, trained: Trained) -> tuple[Floats, TrainingMetrics]:
    """Order centroids by falling cluster size and measure the training."""
    centroids = trained.centroids
    sizes, inertia = np.zeros(0, np.int64), 0.0
    if len(centroids):
        nearest = nearest_centroids(centroids, points.values)
        sizes = np.bincount(nearest.codes, weights=points.counts, minlength=len(centroids)).astype(np.int64)
        inertia = float(np.average(nearest.distances.astype(np.float64), weights=points.counts))
        order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
        centroids, sizes = centroids[order], sizes[order]
    return centroids, TrainingMetrics(
        vectors=int(points.counts.sum()),
        distinct_vectors=len(points.values),
        learned_centroids=len(centroids),
        iterations=trained.iterations,
        reseeded_centroids=trained.reseeded,
        inertia=inertia,
        explained_variance=_explained(inertia, _variance(points)),
        largest_cluster=int(sizes.max(initial=0)),
        smallest_cluster=int(sizes[-1]) if len(sizes) else 0,
    )


def _explained(inertia: float, variance: float) -> float:
    return 1.0 - inertia / variance if variance > 0 else 1.0


def _variance(points: Points) -> float:
    """Mean squared distance of a vector to the mean of all."""
    if len(points.values) < 2:
        return 0.0
    mean = _weighted_mean(points.values, points.counts).astype(np.float32)
    return float(np.average(nearest_centroids(mean[np.newaxis], points.values).distances, weights=points.counts))


def _weighted_mean(rows: Vectors | npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    # einsum adds in the order of rows. A matrix product would add in an order that depends on the number of threads.
    mean: npt.NDArray[np.float64] = np.einsum("i,ij->j", counts.astype(np.float64), rows) / counts.sum()
    return mean


def _distinct_rows(rows: Vectors) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Sort rows by their bytes and merge equal ones: the distinct rows and how often each occurs."""
    if len(rows) == 0:
        return rows, np.zeros(0, np.int64)
    rows = _without_minus_zero(rows)
    row_bytes = np.dtype((np.void, rows.shape[1] * rows.itemsize))
    order = np.argsort(rows.view(row_bytes).ravel())
    ordered = rows[order]
    keys = ordered.view(row_bytes).ravel()
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    return ordered[starts], np.diff(np.append(starts, len(rows)))


def _without_minus_zero(rows: Vectors) -> Vectors:
    """Write -0.0 as 0.0, which is equal and has other bytes. On bits, as NumPy is slow to add float16."""
    cleared = rows.copy()
    bits = cleared.view(f"u{rows.itemsize}")
    bits[bits == 1 << (8 * rows.itemsize - 1)] = 0
    return cleared


@contextmanager
def _faiss_threads(threads: int | None) -> Iterator[None]:
    """Run faiss on a number of threads, and give back the number it had."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads or before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
