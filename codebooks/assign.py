"""Assign codes to vectors: the nearest centroid, the distance to it, and the margin to the second nearest."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.numerics.arrays import Codes, Floats, Integers, Vectors
from tracktokens.codebooks.numerics.blocks import map_blocks
from tracktokens.codebooks.numerics.centroid_products import CentroidProducts

TABLE_VALUES = 1 << 20
"""Products of points and centroids per block and thread: 4 MiB, which stay in the cache."""

MIN_BLOCK_ROWS, MAX_BLOCK_ROWS = 64, 4096

UNIT_ROUNDOFF = 2.0**-24
"""Largest relative error of one float32 operation."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """Codes of n vectors.

    Attributes:
        codes: int16 (n,), row number of the nearest centroid; the lowest of equally near ones.
        distances: float32 (n,), squared L2 distance to that centroid in preprocessed space, not negative.
        margins: float32 (n,), squared distance to the second nearest centroid minus ``distances``, not negative;
            NaN if the codebook has one centroid.
    """

    codes: Codes
    distances: Floats
    margins: Floats

    @classmethod
    def concatenate(cls, parts: Sequence["Assignment"]) -> "Assignment":
        """Concatenate the assignments of blocks of vectors; there may be none."""
        empty = np.zeros(0, np.float32)
        return cls(
            codes=np.concatenate([np.zeros(0, np.int16), *(part.codes for part in parts)]),
            distances=np.concatenate([empty, *(part.distances for part in parts)]),
            margins=np.concatenate([empty, *(part.margins for part in parts)]),
        )


def assign(codebook: Codebook, vectors: Vectors, before: Sequence[Codebook] = ()) -> Assignment:
    """Find the nearest centroid of each float16 or float32 vector of shape (n, dim).

    A residual level has the centroids of what the levels before it leave: of a preprocessed vector minus the nearest
    centroid of each of them (residual quantization: Juang and Gray, 1982).

    The result for a vector depends neither on the other vectors nor on the number of threads.

    Example:
        >>> import numpy as np
        >>> centroids = np.array([[0, 0], [4, 0]], np.float32)
        >>> codebook = Codebook("audio", "encoder", Preprocessing(unit_length=False), centroids, codebook_size=2)
        >>> assignment = assign(codebook, np.array([[1, 0], [5, 0]], np.float32))
        >>> assignment.codes.tolist(), assignment.distances.tolist(), assignment.margins.tolist()
        ([0, 1], [1.0, 1.0], [8.0, 24.0])

    Args:
        codebook: codebook of the codes.
        vectors: not modified.
        before: codebooks of the levels before that of the codebook, by level.

    Raises:
        ValueError: the codebook has no centroids or another level, or the vectors do not have the shape (n, dim).
        InvalidDataError: a vector is not finite.
    """
    if codebook.num_centroids == 0:
        raise ValueError(f"the {codebook.name} codebook has no centroids: it was trained without vectors")
    if codebook.level != len(before) + 1:
        raise ValueError(f"the {codebook.name} codebook needs those of all levels before it, not {len(before)}")
    if vectors.ndim != 2 or vectors.shape[1] != codebook.dim:
        raise ValueError(
            f"vectors of shape {vectors.shape} do not fit the {codebook.modality} codebook of {codebook.dim} dimensions"
        )
    return _search([book.centroids for book in (*before, codebook)], vectors, codebook.preprocessing)


def residuals(codebook: Codebook, vectors: Vectors, before: Sequence[Codebook] = ()) -> Floats:
    """Return what a codebook leaves of vectors of shape (n, dim), after the levels before it.

    Returns:
        float32 (n, components): preprocessed vectors minus their nearest centroid of each level.
    """
    points = codebook.preprocessing.apply(vectors)
    for book in (*before, codebook):
        points -= book.centroids[nearest_centroids(book.centroids, points).codes]
    return points


def nearest_centroids(centroids: Floats, points: Vectors) -> Assignment:
    """Find the nearest centroid, of float32 (k, dim), of each preprocessed point, float16 or float32 (n, dim)."""
    return _search([centroids], points, Preprocessing(unit_length=False))


def _search(levels: Sequence[Floats], vectors: Vectors, preprocessing: Preprocessing) -> Assignment:
    """Search the last of some levels of centroids, after the nearest centroids of the others are subtracted."""
    block_rows = max(MIN_BLOCK_ROWS, min(MAX_BLOCK_ROWS, TABLE_VALUES // max(map(len, levels))))
    searches = [_ExactSearch(centroids) for centroids in levels]
    buffers = _Buffers(block_rows, levels)

    def work(block: slice) -> Assignment:
        rows = block.stop - block.start
        points = preprocessing.apply(vectors[block], buffers.points[:rows])
        for centroids, search, table in zip(levels[:-1], searches, buffers.tables, strict=False):
            points -= centroids[search(points, table[:rows]).codes]
        return searches[-1](points, buffers.tables[-1][:rows])

    return Assignment.concatenate(map_blocks(work, len(vectors), block_rows))


class _Buffers(threading.local):
    """Arrays for one block, per thread. Allocating them for every block takes a tenth of the whole search."""

    def __init__(self, rows: int, levels: Sequence[Floats]) -> None:
        self.points = np.empty((rows, levels[0].shape[1]), np.float32)
        self.tables = [np.empty((rows, len(centroids)), np.float32) for centroids in levels]


class _ExactSearch:
    """Exact search for the two nearest centroids, as if every distance were computed from the differences.

    A matrix product computes xc - |c|^2 / 2 for all centroids, which falls as the distance grows. These are small
    differences of large numbers, and their last bits depend on the shape of the batch. So they only choose candidates:
    the two best, and all that rounding may have put behind them. Distances to candidates are computed from differences.
    """

    def __init__(self, centroids: Floats) -> None:
        import faiss

        codes, dim = centroids.shape
        self._multiply = CentroidProducts(centroids)
        self._index = faiss.IndexFlatL2(dim)
        self._index.add(centroids)
        self._codes = codes
        self._longest = float(np.sqrt(self._multiply.squares.max()))
        # A sum of dim products, or of dim squared differences, has an error of at most dim roundoffs of |x||c|.
        self._rounding = 2 * (dim + 4) * UNIT_ROUNDOFF

    def __call__(self, points: Floats, table: Floats) -> Assignment:
        """Search for points (n, dim). ``table`` (n, codes) is working memory; both are contiguous."""
        self._multiply(points, table)
        candidates, values = _take_largest(table, min(2, self._codes))
        assignment = self._compare(points, candidates)
        lengths = np.sqrt(np.einsum("ij,ij->i", points, points))
        limits = values[:, -1] - self._rounding * (lengths + self._longest) ** 2
        unclear = np.flatnonzero(table.max(axis=1) >= limits)
        if len(unclear):
            np.put_along_axis(table, candidates, values, axis=1)
            again = self._compare(points[unclear], _columns_from(table[unclear], limits[unclear]))
            assignment.codes[unclear], assignment.distances[unclear] = again.codes, again.distances
            assignment.margins[unclear] = again.margins
        return assignment

    def _compare(self, points: Floats, candidates: Integers) -> Assignment:
        """Find the two nearest of each point's candidates, int64 (n, candidates), by exact distances."""
        import faiss

        candidates = np.sort(candidates, axis=1)  # the first of equally near candidates has the lowest code
        distances = np.empty(candidates.shape, np.float32)
        self._index.compute_distance_subset(  # type: ignore[attr-defined]  # missing in faiss's stubs
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
    """Remove the largest values of each row, largest first, leaving minus infinity: their columns and values."""
    rows = np.arange(len(table))
    columns = np.empty((len(table), count), np.int64)
    values = np.empty((len(table), count), np.float32)
    for rank in range(count):
        columns[:, rank] = table.argmax(axis=1)
        values[:, rank] = table[rows, columns[:, rank]]
        table[rows, columns[:, rank]] = -np.inf
    return columns, values


def _columns_from(table: Floats, limits: Floats) -> Integers:
    """Columns whose value reaches its row's limit, the same number per row: shorter rows are filled with others."""
    reached = table >= limits[:, np.newaxis]
    width = int(reached.sum(axis=1).max())
    return np.ascontiguousarray(np.argsort(~reached, axis=1, kind="stable")[:, :width])
