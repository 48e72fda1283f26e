"""Training points: distinct rows and their counts, in an order that depends only on their values and a seed.

The order is that of a 128-bit hash of a row's values. Rows with equal hashes are equal, and the first rows are a random
sample of all rows, the same for any order of the input.
"""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.numerics.arrays import Counts, Doubles, HalfVectors, RowIndices, Vectors, Words
from tracktokens.codebooks.numerics.blocks import map_blocks
from tracktokens.codebooks.numerics.hashing import mix64
from tracktokens.schemas.errors import InvalidDataError

BLOCK_ROWS = 1024
"""Rows per block of work."""

MINUS_ZERO = 0x8000
"""Bits of float16's -0.0, which is equal to 0.0."""


@dataclass(frozen=True, eq=False)
class Points:
    """Distinct training points, in order of their hash.

    Attributes:
        values: float16 (n, components), preprocessed, all rows distinct. Vectors are stored in this precision: points
            are either equal or further apart than rounding errors.
        counts: int64 (n,), number of training vectors per point.
    """

    values: HalfVectors
    counts: Counts

    def __len__(self) -> int:
        return len(self.values)

    def first(self, rows: int) -> "Points":
        """Return the first rows: a random sample."""
        return Points(self.values[:rows], self.counts[:rows])

    def variance(self) -> float:
        """Compute the mean squared distance of the training vectors to their mean; 0 without vectors."""
        if len(self) < 2:
            return 0.0
        origin = self.values[0].astype(np.float32)  # near the points: avoids small differences of large numbers

        def sums(block: slice) -> Doubles:
            values, weights = self.values[block] - origin, self.counts[block].astype(np.float32)
            squares = np.einsum("i,ij,ij->", weights, values, values)
            return np.append(np.einsum("i,ij->j", weights, values), squares).astype(np.float64)

        means = np.sum(map_blocks(sums, len(self), BLOCK_ROWS), axis=0) / self.counts.sum()
        return float(means[-1] - means[:-1] @ means[:-1])


def training_points(vectors: Vectors, preprocessing: Preprocessing, seed: int, most: int | None = None) -> Points:
    """Preprocess vectors of shape (n, dim), round them to float16 and merge equal rows.

    Takes 2 bytes per value of the points, 60 bytes per vector, and one block per thread.

    Example:
        >>> import numpy as np
        >>> points = training_points(np.array([[3, 4], [6, 8], [0, 1]], np.float32), Preprocessing(unit_length=True), 0)
        >>> sorted(zip(points.counts.tolist(), points.values.round(1).tolist()))
        [(1, [0.0, 1.0]), (2, [0.60009765625, 0.7998046875])]

    Args:
        vectors: float16 or float32.
        preprocessing: applied to the vectors.
        seed: seed of the points' order, 0 or more.
        most: largest number of points to return, a random sample; None returns all.

    Raises:
        InvalidDataError: a vector is not finite, or a value is too large for float16.
    """
    rows, counts = (part[:most] for part in distinct_rows(vectors, preprocessing, seed))
    values = np.empty((len(rows), preprocessing.components(vectors.shape[1])), np.float16)

    def fill(block: slice) -> None:
        values[block] = _rounded(vectors[rows[block]], preprocessing)

    map_blocks(fill, len(rows), BLOCK_ROWS)
    return Points(values, counts)


def distinct_rows(vectors: Vectors, preprocessing: Preprocessing, seed: int) -> tuple[RowIndices, Counts]:
    """Return the rows of vectors with distinct points, in order of the points' hash, and the count of each point."""
    if len(vectors) == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.int64)
    parts = map_blocks(lambda block: _hash(_rounded(vectors[block], preprocessing), seed), len(vectors), BLOCK_ROWS)
    hashes = np.concatenate(parts)
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    starts = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return order[starts], np.diff(np.append(starts, len(order)))


def _rounded(vectors: Vectors, preprocessing: Preprocessing) -> HalfVectors:
    try:
        with np.errstate(over="raise"):
            return preprocessing.apply(vectors).astype(np.float16)
    except FloatingPointError as error:
        raise InvalidDataError(
            f"a preprocessed value is larger than {np.finfo(np.float16).max}, the limit of float16"
        ) from error


def _hash(points: HalfVectors, seed: int) -> Words:
    """Hash each row to uint64 (n, 2): sums of the values' bits by random multipliers (Carter and Wegman, 1979), mixed.

    Two different rows collide with a probability of 2^-98.
    """
    multipliers = np.random.default_rng(seed).integers(0, 1 << 64, (2, points.shape[1]), np.uint64)
    bits = points.view(np.uint16).astype(np.uint64)
    bits[bits == MINUS_ZERO] = 0
    return np.stack([mix64(np.einsum("ij,j->i", bits, row)) for row in multipliers], axis=1)
