"""Learn a codebook from vectors: preprocessing, weighted k-means on the distinct points, and codes by falling size."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from tracktokens.codebooks.assign import Assignment
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.numerics.arrays import Counts, Floats, Vectors
from tracktokens.codebooks.training.kmeans import Trained, learn_centroids
from tracktokens.codebooks.training.points import Points, training_points
from tracktokens.codebooks.training.whitening import learn_whitening


@dataclass(frozen=True)
class TrainingMetrics:
    """How a training went.

    Attributes:
        vectors: rows of the input.
        distinct_vectors: rows that differ after preprocessing and rounding to float16.
        learned_centroids: centroids of the codebook. Each is nearest to at least one vector, unless more were given to
            start from than there are distinct vectors.
        iterations: k-means iterations, on samples of growing size and at last on all vectors.
        moved_centroids: times that a centroid was moved to where it gains more, or from where it had no vector.
        inertia: mean squared distance of a vector to its centroid, in preprocessed space.
        variance: mean squared distance of a vector to the mean of all.
        explained_variance: 1 - inertia / variance, 1 where all vectors are equal or there are none.
        largest_cluster: vectors of the commonest code.
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
    """A codebook and how its training went."""

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
    """Learn min(``reserved``, distinct vectors) centroids from float16 or float32 vectors of shape (n, dim).

    The codebook depends on the set of vectors with their multiplicities, on ``seed``, ``preprocessing`` and ``start``;
    not on the order of rows or the number of threads. Codes are numbered by falling cluster size: code 0 is the
    commonest. With ``start``, code i is what became of its row i.

    Millions of vectors may be given. Besides the input, this takes a float16 copy of the distinct points, 100 bytes a
    vector, 16 MiB a thread, and at most 320 MiB for merging cells.

    Args:
        vectors: training vectors; none at all give a codebook without centroids, or with those of ``start``.
        modality: one of ``schemas.modalities.MODALITIES``.
        encoder_id: the encoder that made the vectors.
        codebook_size: codes that the vocabulary sets aside.
        seed: chooses the vectors that k-means begins with, 0 or more.
        standardize: learn a whitening (``whitening``), for features of different units, in place of scaling vectors to
            unit length.
        preprocessing: one to use in place of either, such as an earlier codebook's, to stay in its space.
        start: float32 (at most reserved, components), centroids to go on from, in preprocessed space. A row that no
            vector is nearest to is put elsewhere; where there are too few distinct vectors for that, it stays.
        threads: CPU threads; by default as many as faiss takes.

    Raises:
        ValueError: an argument is out of range, or arguments do not fit each other.
        InvalidDataError: a vector is not finite, or a preprocessed value too large for float16.
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
                f"start has the shape {start.shape}, and preprocessed vectors have {components} dimensions"
            )
        before = Codebook(
            modality, encoder_id, preprocessing, start, codebook_size
        )  # refuses what does not fit, in time
        points = training_points(vectors, preprocessing, seed)
        trained = _train(points, before)
        return Fit(replace(before, centroids=trained.centroids), _measure(points, trained))


def _check_arguments(
    vectors: Vectors, seed: int, standardize: bool, preprocessing: Preprocessing | None, start: Floats | None
) -> None:
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(f"vectors of shape (n, dim) are needed, not {vectors.shape}")
    if seed < 0:
        raise ValueError(f"seed {seed} is not 0 or more")
    if standardize and preprocessing is not None:
        raise ValueError("a preprocessing is given and to be learned (standardize): leave one of them out")
    if standardize and start is not None:
        raise ValueError("centroids to start from need the preprocessing that they were learned with")


def _train(points: Points, before: Codebook) -> Trained:
    size = max(before.num_centroids, min(before.codebook_size, len(points)))
    if len(points) == 0:
        return Trained(before.centroids, Assignment.concatenate([]), iterations=0, moved=0)
    if before.num_centroids:
        return learn_centroids(points, size, before.centroids)
    return _by_size(learn_centroids(points, size), points)


def _by_size(trained: Trained, points: Points) -> Trained:
    """Number codes by falling cluster size."""
    order = np.argsort(-_sizes(points, trained), kind="stable")
    codes = np.argsort(order).astype(np.int16)[trained.nearest.codes]
    return replace(trained, centroids=trained.centroids[order], nearest=replace(trained.nearest, codes=codes))


def _sizes(points: Points, trained: Trained) -> Counts:
    """Training vectors of each code."""
    sizes = np.bincount(trained.nearest.codes, weights=points.counts, minlength=len(trained.centroids))
    return sizes.astype(np.int64)


def _measure(points: Points, trained: Trained) -> TrainingMetrics:
    distances, sizes = trained.nearest.distances.astype(np.float64), _sizes(points, trained)
    inertia = float(np.average(distances, weights=points.counts)) if len(points) else 0.0
    variance = points.variance()
    return TrainingMetrics(
        vectors=int(points.counts.sum()),
        distinct_vectors=len(points),
        learned_centroids=len(trained.centroids),
        iterations=trained.iterations,
        moved_centroids=trained.moved,
        inertia=inertia,
        variance=variance,
        explained_variance=1.0 - inertia / variance if variance > 0 else 1.0,
        largest_cluster=int(sizes.max(initial=0)),
        smallest_cluster=int(sizes.min()) if len(sizes) else 0,
    )


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
