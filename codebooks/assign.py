"""Give vectors their codes: the nearest centroid, how far it is, and how much further the second is."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.numerics.arrays import Codes, Floats, Integers, Vectors
from tracktokens.codebooks.numerics.blocks import map_blocks
from tracktokens.codebooks.numerics.centroid_products import CentroidProducts

TABLE_VALUES = 1 << 20
"""Products of points and centroids that a thread makes at a time: 4 MiB, which stay in the cache."""

MIN_BLOCK_ROWS, MAX_BLOCK_ROWS = 64, 4096

UNIT_ROUNDOFF = 2.0**-24
"""Largest relative error of one float32 operation."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """Codes of n vectors.

    Attributes:
        codes: int16 (n,), row number of the nearest centroid; of equally near ones the first.
        distances: float32 (n,), squared L2 distance to that centroid in preprocessed space, not negative.
        margins: float32 (n,), squared distance to the second nearest centroid minus the first, not negative;
            NaN where the codebook has one centroid.
    """

    codes: Codes
    distances: Floats
    margins: Floats

    @classmethod
    def concatenate(cls, parts: Sequence["Assignment"]) -> "Assignment":
        """Put blocks of vectors one after another; no blocks are no vectors."""
        nothing = np.zeros(0, np.float32)
        return cls(
            codes=np.concatenate([np.zeros(0, np.int16), *(part.codes for part in parts)]),
            distances=np.concatenate([nothing, *(part.distances for part in parts)]),
            margins=np.concatenate([nothing, *(part.margins for part in parts)]),
        )


def assign(codebook: Codebook, vectors: Vectors) -> Assignment:
    """Find the nearest centroid of each float16 or float32 vector of shape (n, dim).

    A vector gets the same numbers whatever other vectors come with it, on any number of threads.

    Raises:
        ValueError: the codebook has no centroids, or the vectors are not (n, dim).
        InvalidDataError: a vector is not finite.
    """
    if codebook.num_centroids == 0:
        raise ValueError(f"the {codebook.modality} codebook has no centroids: it was trained without vectors")
    if vectors.ndim != 2 or vectors.shape[1] != codebook.dim:
        raise ValueError(
            f"vectors of shape {vectors.shape} do not fit the {codebook.modality} codebook of {codebook.dim} dimensions"
        )
    return _search(codebook.centroids, vectors, codebook.preprocessing)


def nearest_centroids(centroids: Floats, points: Vectors) -> Assignment:
    """Find the nearest of the centroids, float32 (k, dim), for points that are preprocessed, (n, dim)."""
    return _search(centroids, points, Preprocessing(unit_length=False))


def _search(centroids: Floats, vectors: Vectors, preprocessing: Preprocessing) -> Assignment:
    block_rows = max(MIN_BLOCK_ROWS, min(MAX_BLOCK_ROWS, TABLE_VALUES // len(centroids)))
    search, buffers = _ExactSearch(centroids), _Buffers(block_rows, *centroids.shape)

    def work(block: slice) -> Assignment:
        rows = block.stop - block.start
        points = preprocessing.apply(vectors[block], buffers.points[:rows])
        return search(points, buffers.table[:rows])

    return Assignment.concatenate(map_blocks(work, len(vectors), block_rows))


class _Buffers(threading.local):
    """Each thread's arrays for one block. To take new memory for every block costs a tenth of the whole search."""

    def __init__(self, rows: int, codes: int, dim: int) -> None:
        self.points = np.empty((rows, dim), np.float32)
        self.table = np.empty((rows, codes), np.float32)


class _ExactSearch:
    """Finds the two nearest centroids of points as if every distance were taken from the differences.

    A matrix product gives xc - |c|^2 / 2, which falls as the distance grows, for all centroids: small differences of
    large numbers, whose last bits depend on the shape of the batch. So it only chooses the candidates: the two best,
    and all that rounding may have put behind them. Their distances are taken again from the differences.
    """

    def __init__(self, centroids: Floats) -> None:
        import faiss

        codes, dim = centroids.shape
        self._multiply = CentroidProducts(centroids)
        self._index = faiss.IndexFlatL2(dim)
        self._index.add(centroids)
        self._codes = codes
        self._longest = float(np.sqrt(self._multiply.squares.max()))
        # A sum of dim products errs by at most dim roundoffs of |x||c|, and so does one of dim squared differences.
        self._rounding = 2 * (dim + 4) * UNIT_ROUNDOFF

    def __call__(self, points: Floats, table: Floats) -> Assignment:
        """Search for points (n, dim), with a table (n, codes) to work in; both contiguous."""
        self._multiply(points, table)
        candidates, values = _take_largest(table, min(2, self._codes))
        found = self._compare(points, candidates)
        lengths = np.sqrt(np.einsum("ij,ij->i", points, points))
        limits = values[:, -1] - self._rounding * (lengths + self._longest) ** 2
        unclear = np.flatnonzero(table.max(axis=1) >= limits)
        if len(unclear):
            np.put_along_axis(table, candidates, values, axis=1)
            again = self._compare(points[unclear], _columns_from(table[unclear], limits[unclear]))
            found.codes[unclear], found.distances[unclear] = again.codes, again.distances
            found.margins[unclear] = again.margins
        return found

    def _compare(self, points: Floats, candidates: Integers) -> Assignment:
        """Take the two nearest of each point's candidates, int64 (n, candidates), by their exact distances."""
        import faiss

        candidates = np.sort(candidates, axis=1)  # so that of equally near ones the first has the smallest code
        distances = np.empty(candidates.shape, np.float32)
        self._index.compute_distance_subset(  # type: ignore[attr-defined]  # faiss's stubs leave it out
            len(points),
            faiss.swig_ptr(points),
            candidates.shape[1],
            faiss.swig_ptr(distances),
            faiss.swig_ptr(candidates),
        )
        rows, first = np.arange(len(points)), distances.argmin(axis=1)
        nearest = distances[rows, first]
        distances[rows, first] = np.inf
        margins = distances.min(axis=1) - nearest if self._codes > 1 else np.full(len(points), np.nan, np.float32)
        return Assignment(candidates[rows, first].astype(np.int16), nearest, margins)


def _take_largest(table: Floats, count: int) -> tuple[Integers, Floats]:
    """Take the largest values out of each row, largest first, and leave minus infinity there: columns and values."""
    rows = np.arange(len(table))
    columns = np.empty((len(table), count), np.int64)
    values = np.empty((len(table), count), np.float32)
    for rank in range(count):
        columns[:, rank] = table.argmax(axis=1)
        values[:, rank] = table[rows, columns[:, rank]]
        table[rows, columns[:, rank]] = -np.inf
    return columns, values


def _columns_from(table: Floats, limits: Floats) -> Integers:
    """The columns whose value reaches its row's limit, as many of every row: after a row's own come others."""
    reached = table >= limits[:, np.newaxis]
    width = int(reached.sum(axis=1).max())
    return np.ascontiguousarray(np.argsort(~reached, axis=1, kind="stable")[:, :width])
