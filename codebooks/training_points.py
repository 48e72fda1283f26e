"""The points that k-means learns from: distinct vectors with weights, in an order that depends on their values alone.

Points are rounded to float16, the precision in which vectors are stored, so that two points are either the same or
apart by more than rounding. Equal points become one point with a weight. They stay in float16, and are converted block
by block where they are used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.assign import BLOCK_ROWS
from tracktokens.codebooks.codebook import Floats, Preprocessing, Vectors

AnyFloats = TypeVar("AnyFloats", npt.NDArray[np.float16], npt.NDArray[np.float32])


@dataclass(frozen=True, eq=False)
class Points:
    """Distinct training points.

    Attributes:
        values: float16 (n, dim), preprocessed, no two rows equal.
        counts: int64 (n,), how many training vectors a row stands for.
    """

    values: npt.NDArray[np.float16]
    counts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, rows: npt.NDArray[np.int64]) -> "Points":
        """Some of the points."""
        return Points(self.values[rows], self.counts[rows])

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Convert block by block: where it stands, and its points as float32."""
        for start in range(0, len(self), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            yield block, self.values[block].astype(np.float32)


def training_points(vectors: Vectors, preprocessing: Preprocessing) -> Points:
    """Preprocess vectors of shape (n, dim), round them to float16 and merge equal rows."""
    rounded: npt.NDArray[np.float16] | None = None
    for start in range(0, max(len(vectors), 1), BLOCK_ROWS):
        points = preprocessing.apply(vectors[start : start + BLOCK_ROWS])
        if rounded is None:
            rounded = np.empty((len(vectors), points.shape[1]), np.float16)
        rounded[start : start + BLOCK_ROWS] = points
    assert rounded is not None  # noqa: S101 - there is always a first block
    return Points(*distinct_rows(rounded))


def distinct_rows(rows: AnyFloats) -> tuple[AnyFloats, npt.NDArray[np.int64]]:
    """Sort rows by their bytes and merge equal ones: the distinct rows and how often each occurs."""
    if len(rows) == 0:
        return rows, np.zeros(0, np.int64)
    rows = _without_minus_zero(rows)
    row_bytes = np.dtype((np.void, rows.shape[1] * rows.itemsize))
    order = np.argsort(rows.view(row_bytes).ravel())
    ordered = rows[order]
    keys = ordered.view(row_bytes).ravel()
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    if len(starts) == len(rows):
        return ordered, np.ones(len(rows), np.int64)
    return ordered[starts], np.diff(np.append(starts, len(rows)))


def weighted_mean(rows: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Mean of rows that occur so often, added in their order: a matrix product's order depends on the threads."""
    mean: npt.NDArray[np.float64] = np.einsum("i,ij->j", counts.astype(np.float64), rows) / counts.sum()
    return mean


def _without_minus_zero(rows: AnyFloats) -> AnyFloats:
    """Write -0.0 as 0.0, which is equal and has other bytes. On bits, as NumPy is slow to add float16."""
    cleared: AnyFloats = np.array(rows, order="C")
    bits = cleared.view(f"u{rows.itemsize}")
    bits[bits == 1 << (8 * rows.itemsize - 1)] = 0
    return cleared
