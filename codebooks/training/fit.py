"""Train a codebook: preprocessing, weighted k-means on the distinct points, and codes by descending cluster size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tracktokens.codebooks.assign import Assignment, residuals
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.numerics.arrays import Counts, Floats, Vectors
from tracktokens.codebooks.training.kmeans import Clustering, learn_centroids
from tracktokens.codebooks.training.points import Points, training_points
from tracktokens.codebooks.training.whitening import learn_whitening


@dataclass(frozen=True)
class TrainingMetrics:
    """Metrics of a training.

    Attributes:
        vectors: rows of the input.
        distinct_vectors: rows that are distinct after preprocessing and rounding to float16.
        learned_centroids: centroids of the codebook. Each is nearest to at least one vector, unless ``start`` has more
            rows than there are distinct vectors.
        iterations: k-means iterations, on samples of growing size and finally on all vectors.
        moved_centroids: number of moves of a centroid into another cluster, or away from where it had no vector.
        inertia: mean squared distance of a vector to its centroid, in preprocessed space.
        variance: mean squared distance of a vector to the mean of all vectors.
        explained_variance: 1 - inertia / variance; 1 if all vectors are equal or there are none.
        largest_cluster: vectors of the most frequent code.
        smallest_cluster: vectors of the rarest code.
    """

    vectors: int
    distinct_vectors: int
    learned_centroids: int
    iterations: int
    moved_centroids: int
    inertia: float
    variance: float
    explained_variance: float
    largest_cluster: int
    smallest_cluster: int


@dataclass(frozen=True, eq=False)
class Fit:
    """A codebook and the metrics of its training."""

    codebook: Codebook
    metrics: TrainingMetrics


def fit_codebook(
    vectors: Vectors,
    *,
    modality: str,
    encoder_id: str,
    codebook_size: int,
    seed: int = 0,
    standardize: bool = False,
    preprocessing: Preprocessing | None = None,
    start: Floats | None = None,
    threads: int | None = None,
) -> Fit:
    """Learn min(``codebook_size``, distinct vectors) centroids from float16 or float32 vectors of shape (n, dim).

    The codebook depends on the vectors with their multiplicities, on ``seed``, ``preprocessing`` and ``start``, but not
    on the order of rows or the number of threads. Codes are numbered by descending cluster size: code 0 is the most
    frequent. With ``start``, code i continues row i of it.

    The input may have millions of vectors. Besides the input, this takes a float16 copy of the distinct points, 100
    bytes per vector, 16 MiB per thread, and at most 320 MiB for merging cells.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[1, 0], [0, 1], [2, 0]], np.float32)
        >>> fit = fit_codebook(vectors, modality="audio", encoder_id="encoder", codebook_size=4)
        >>> fit.codebook.centroids.tolist()  # unit vectors, the most frequent first
        [[1.0, 0.0], [0.0, 1.0]]
        >>> fit.metrics.largest_cluster, fit.metrics.inertia
        (2, 0.0)

    Args:
        vectors: training vectors; without any the codebook has the centroids of ``start``, or none.
        modality: one of ``schemas.modalities.MODALITIES``.
        encoder_id: encoder that made the vectors.
        codebook_size: codes of the modality in the vocabulary.
        seed: chooses the vectors that k-means begins with, 0 or more.
        standardize: learn a whitening (``whitening``), for features with different units, instead of scaling vectors to
            unit length.
        preprocessing: preprocessing to use instead of either, such as that of an earlier codebook, to stay in its
            space.
        start: float32 (at most ``codebook_size``, components), centroids to continue from, in preprocessed space. A row
            that is nearest to no vector is moved; if there are too few distinct vectors, it stays.
        threads: CPU threads; by default those of faiss.

    Raises:
        ValueError: an argument is out of range, or arguments contradict each other.
        InvalidDataError: a vector is not finite, or a preprocessed value is too large for float16.
    """
    _check_arguments(vectors, seed, standardize, preprocessing, start)
    with _faiss_threads(threads):
        if preprocessing is None:
            preprocessing = learn_whitening(vectors, seed) if standardize else Preprocessing(unit_length=True)
        components = preprocessing.components(vectors.shape[1])
        if start is None or len(start) == 0:
            start = np.zeros((0, components), np.float32)
        if start.shape[1:] != (components,):
            raise ValueError(
                f"start has the shape {start.shape}, but preprocessed vectors have {components} dimensions"
            )
        # Checks the arguments before the work begins.
        initial = Codebook(modality, encoder_id, preprocessing, start, codebook_size)
        points = training_points(vectors, preprocessing, seed)
        clustering = _train(points, initial)
        return Fit(replace(initial, centroids=clustering.centroids), _measure(points, clustering))


ROUNDING = 2.0**-10
"""Residuals up to this fraction of the largest centroid are rounding errors: training points are float16."""


def fit_level(vectors: Vectors, before: Sequence[Codebook], **settings: Any) -> Fit:
    """Learn the codebook of the level after some levels: of the vectors themselves, or of what the levels leave.

    Args:
        vectors: float16 or float32 (n, dim).
        before: codebooks of the levels before, by level; none for the first level.
        settings: keyword arguments of :func:`fit_codebook`. A residual level ignores ``standardize`` and
            ``preprocessing``: its points are in the preprocessed space of the levels before, and are not scaled.
            Where the levels leave rounding errors only, they leave nothing: vectors that equal a centroid of their own
            have the same code of the next level.
    """
    if not before:
        return fit_codebook(vectors, **settings)
    left = residuals(before[-1], vectors, before[:-1])
    rounding = ROUNDING * np.linalg.norm(before[0].centroids, axis=1).max()
    left[np.linalg.norm(left, axis=1) <= rounding] = 0
    space = {"standardize": False, "preprocessing": Preprocessing(unit_length=False)}
    fit = fit_codebook(left, **{**settings, **space})
    codebook = replace(fit.codebook, preprocessing=before[0].preprocessing, level=len(before) + 1)
    return replace(fit, codebook=codebook)


def _check_arguments(
    vectors: Vectors, seed: int, standardize: bool, preprocessing: Preprocessing | None, start: Floats | None
) -> None:
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(f"vectors must have the shape (n, dim), not {vectors.shape}")
    if seed < 0:
        raise ValueError(f"seed {seed} is negative: it must be 0 or more")
    if standardize and preprocessing is not None:
        raise ValueError("standardize learns a preprocessing: pass either standardize or preprocessing")
    if standardize and start is not None:
        raise ValueError("start needs the preprocessing of its centroids: pass preprocessing instead of standardize")


def _train(points: Points, initial: Codebook) -> Clustering:
    size = max(initial.num_centroids, min(initial.codebook_size, len(points)))
    if len(points) == 0:
        return Clustering(initial.centroids, Assignment.concatenate([]), iterations=0, moved=0)
    if initial.num_centroids:
        return learn_centroids(points, size, initial.centroids)
    return _sort_by_size(learn_centroids(points, size), points)


def _sort_by_size(clustering: Clustering, points: Points) -> Clustering:
    """Number codes by descending cluster size."""
    order = np.argsort(-_sizes(points, clustering), kind="stable")
    codes = np.argsort(order).astype(np.int16)[clustering.nearest.codes]
    return replace(clustering, centroids=clustering.centroids[order], nearest=replace(clustering.nearest, codes=codes))


def _sizes(points: Points, clustering: Clustering) -> Counts:
    """Count the training vectors of each code."""
    sizes = np.bincount(clustering.nearest.codes, weights=points.counts, minlength=len(clustering.centroids))
    return sizes.astype(np.int64)


def _measure(points: Points, clustering: Clustering) -> TrainingMetrics:
    distances, sizes = clustering.nearest.distances.astype(np.float64), _sizes(points, clustering)
    inertia = float(np.average(distances, weights=points.counts)) if len(points) else 0.0
    variance = points.variance()
    return TrainingMetrics(
        vectors=int(points.counts.sum()),
        distinct_vectors=len(points),
        learned_centroids=len(clustering.centroids),
        iterations=clustering.iterations,
        moved_centroids=clustering.moved,
        inertia=inertia,
        variance=variance,
        explained_variance=1.0 - inertia / variance if variance > 0 else 1.0,
        largest_cluster=int(sizes.max(initial=0)),
        smallest_cluster=int(sizes.min()) if len(sizes) else 0,
    )


@contextmanager
def _faiss_threads(threads: int | None) -> Iterator[None]:
    """Set faiss's number of threads, and restore it on exit."""
    import faiss

    previous = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads or previous)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(previous)
