"""Learn a codebook from vectors: preprocessing and weighted k-means, the same result whatever the order of the vectors.

Memory, beside the vectors themselves: two float16 copies of them while equal ones are found, one afterwards; see
``codebooks.kmeans`` for what k-means adds. A million vectors of 384 dimensions take 1.6 GB at most.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.codebook import MAX_CODES, Codebook, Floats, Preprocessing, Vectors
from tracktokens.codebooks.kmeans import Trained, go_on, k_means
from tracktokens.codebooks.training_points import Points, training_points
from tracktokens.codebooks.whitening import whitening


@dataclass(frozen=True)
class TrainingMetrics:
    """How a training went.

    Attributes:
        vectors: rows of the input.
        distinct_vectors: rows that differ after preprocessing and rounding to float16.
        learned_centroids: centroids of the codebook, each nearest to at least one vector.
        passes: passes over all vectors, beside those over samples.
        moved_centroids: times that a centroid that was hardly missed was moved to split a cluster.
        reseeded_centroids: times that a centroid without a vector was moved to a badly served one.
        inertia: mean squared distance of a vector to its centroid, in preprocessed space.
        variance: mean squared distance of a vector to the mean of all.
        explained_variance: 1 - inertia / variance, 1 where all vectors are equal or there are none.
        largest_cluster: vectors of the commonest code.
        smallest_cluster: vectors of the rarest code.
    """

    vectors: int
    distinct_vectors: int
    learned_centroids: int
    passes: int
    moved_centroids: int
    reseeded_centroids: int
    inertia: float
    variance: float
    explained_variance: float
    largest_cluster: int
    smallest_cluster: int


NOTHING_LEARNED = TrainingMetrics(0, 0, 0, 0, 0, 0, 0.0, 0.0, 1.0, 0, 0)
"""Metrics of a training without vectors."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A codebook and how its training went."""

    codebook: Codebook
    metrics: TrainingMetrics


def fit_codebook(
    vectors: Vectors,
    *,
    modality: str,
    encoder_id: str,
    reserved: int,
    seed: int = 0,
    standardize: bool = False,
    preprocessing: Preprocessing | None = None,
    start: Floats | None = None,
    threads: int | None = None,
) -> Fit:
    """Learn at most ``reserved`` centroids from float16 or float32 vectors of shape (n, dim).

    The codebook depends on the set of vectors with their multiplicities, on ``seed`` and, by rounding, on the number of
    threads; not on the order of rows. Codes are numbered by falling cluster size, or after those of ``start``.

    Args:
        vectors: training vectors; none at all give a codebook without centroids.
        modality: one of ``schemas.modalities.MODALITIES``.
        encoder_id: the encoder that made the vectors.
        reserved: codes that the vocabulary sets aside. With fewer distinct vectors than that, each gets a centroid.
        seed: of every random choice, 0 or more.
        standardize: take features of different units to few components on one scale, as ``codebooks.whitening`` does,
            in place of scaling vectors to unit length.
        preprocessing: takes the place of both: that of an older codebook, to stay in its space.
        start: centroids of an older codebook in the preprocessed space, float32 (codes, components). Code i goes on
            from row i.
        threads: CPU threads; by default as many as faiss takes.

    Raises:
        ValueError: an argument is out of range, or shapes do not fit.
        DataRefusedError: a vector is not finite.
    """
    _check_arguments(vectors, reserved, seed)
    with _faiss_threads(threads):
        chosen = preprocessing or (whitening(vectors) if standardize else Preprocessing(unit_length=True))
        points = training_points(vectors, chosen)
        if not len(points):
            empty = np.zeros((0, points.values.shape[1]), np.float32)
            return Fit(Codebook(modality, encoder_id, chosen, empty, reserved), NOTHING_LEARNED)
        trained = _train(points, learned_size(len(points), reserved), seed, start)
        centroids, metrics = _measure(points, trained, by_size=start is None)
    return Fit(Codebook(modality, encoder_id, chosen, centroids, reserved), metrics)


def learned_size(distinct: int, reserved: int) -> int:
    """Return how many centroids are learned from a number of distinct vectors."""
    return min(reserved, distinct)


def _check_arguments(vectors: Vectors, reserved: int, seed: int) -> None:
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(f"vectors of shape (n, dim) are needed, not {vectors.shape}")
    if not 1 <= reserved <= MAX_CODES:
        raise ValueError(f"{reserved} reserved codes: a modality can have 1 to {MAX_CODES}")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed {seed} is not between 0 and {2**31 - 1}")


def _train(points: Points, size: int, seed: int, start: Floats | None) -> Trained:
    components = points.values.shape[1]
    if start is None or not len(start):
        return k_means(points, size, seed)
    if start.shape[1] != components:
        raise ValueError(f"centroids to start from have {start.shape[1]} dimensions, the points {components}")
    return go_on(points, start, size, seed)


def _measure(points: Points, trained: Trained, by_size: bool) -> tuple[Floats, TrainingMetrics]:
    """Measure the training, and number the codes, by falling cluster size or as they are."""
    sizes, variance = trained.served.weights.astype(np.int64), _variance(points)
    inertia = float(np.average(trained.served.distances.astype(np.float64), weights=points.counts))
    order = np.argsort(-sizes, kind="stable") if by_size else np.arange(len(sizes))
    used = order[sizes[order] > 0]
    return trained.centroids[used], TrainingMetrics(
        vectors=int(points.counts.sum()),
        distinct_vectors=len(points),
        learned_centroids=len(used),
        passes=trained.passes,
        moved_centroids=trained.moved,
        reseeded_centroids=trained.reseeded,
        inertia=inertia,
        variance=variance,
        explained_variance=1.0 - inertia / variance if variance > 0 else 1.0,
        largest_cluster=int(sizes.max()),
        smallest_cluster=int(sizes[used].min()),
    )


def _variance(points: Points) -> float:
    """Mean squared distance of a vector to the mean of all."""
    if len(points) < 2:
        return 0.0
    total, squares = np.zeros(points.values.shape[1]), 0.0
    for block, values in points.blocks():
        counts = points.counts[block].astype(np.float64)
        total += np.einsum("i,ij->j", counts, values)
        squares += float(np.einsum("i,ij,ij->", counts, values, values))
    weight = float(points.counts.sum())
    return max(squares / weight - float((total / weight) @ (total / weight)), 0.0)


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
