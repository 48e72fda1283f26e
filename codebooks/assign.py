"""Give vectors their codes: the nearest centroid, how far it is, and how much further the second is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.codebook import Codebook, Floats, Vectors

BLOCK_ROWS = 16_384
"""Vectors that are preprocessed and compared at a time: bounds the float32 copies of float16 input."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """Codes of n vectors.

    Attributes:
        codes: int16 (n,), row number of the nearest centroid; of equally near ones the first.
        distances: float32 (n,), squared L2 distance to that centroid in preprocessed space, not negative.
        margins: float32 (n,), squared distance to the second nearest centroid minus the first, not negative;
            NaN where the codebook has one centroid.
    """

    codes: npt.NDArray[np.int16]
    distances: Floats
    margins: Floats


def assign(codebook: Codebook, vectors: Vectors) -> Assignment:
    """Find the nearest centroid of each float16 or float32 vector of shape (n, dim).

    A vector gets the same distances whatever other vectors come with it.

    Raises:
        ValueError: the codebook has no centroids, or the vectors are not (n, dim).
        DataRefusedError: a vector is not finite.
    """
    if codebook.size == 0:
        raise ValueError(f"the {codebook.modality} codebook has no centroids: it was trained without vectors")
    if vectors.ndim != 2 or vectors.shape[1] != codebook.dim:
        raise ValueError(
            f"vectors of shape {vectors.shape} do not fit the {codebook.modality} codebook of {codebook.dim} dimensions"
        )
    # At least one block, so that no vectors at all give empty arrays of the right types.
    starts = range(0, max(len(vectors), 1), BLOCK_ROWS)
    return _concatenate([_assign_block(codebook, vectors[start : start + BLOCK_ROWS]) for start in starts])


def nearest_centroids(centroids: Floats, points: Floats) -> Assignment:
    """Find the nearest of the centroids, float32 (k, dim), for points that are preprocessed, float32 (n, dim)."""
    import faiss

    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids)
    distances, codes = index.search(points, min(2, len(centroids)))
    # The search takes |x|^2 - 2xc + |c|^2 from a matrix product: a small difference of large numbers, whose last bits
    # depend on the shape of the batch. The two candidates' distances are taken again from the differences.
    index.compute_distance_subset(  # type: ignore[attr-defined]  # faiss's stubs leave it out
        len(points), faiss.swig_ptr(points), codes.shape[1], faiss.swig_ptr(distances), faiss.swig_ptr(codes)
    )
    if len(centroids) == 1:
        return Assignment(codes[:, 0].astype(np.int16), distances[:, 0], np.full(len(points), np.nan, np.float32))
    return _order_candidates(distances, codes)


def _order_candidates(distances: Floats, codes: npt.NDArray[np.int64]) -> Assignment:
    """Put the nearer of two candidates first, the smaller code where both are equally near."""
    tied = distances[:, 0] == distances[:, 1]
    swap = (distances[:, 1] < distances[:, 0]) | (tied & (codes[:, 1] < codes[:, 0]))
    return Assignment(
        codes=np.where(swap, codes[:, 1], codes[:, 0]).astype(np.int16),
        distances=distances.min(axis=1),
        margins=np.abs(distances[:, 1] - distances[:, 0]),
    )


def _assign_block(codebook: Codebook, vectors: Vectors) -> Assignment:
    return nearest_centroids(codebook.centroids, codebook.preprocessing.apply(vectors))


def _concatenate(blocks: list[Assignment]) -> Assignment:
    return Assignment(
        codes=np.concatenate([block.codes for block in blocks]),
        distances=np.concatenate([block.distances for block in blocks]),
        margins=np.concatenate([block.margins for block in blocks]),
    )
