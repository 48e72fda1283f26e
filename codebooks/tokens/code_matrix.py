"""Which tracks have the same tokens: group, pack and divide the rows of a code matrix.

A code matrix is int16 of shape (n, 5): a row a track, a column a modality in token order, -1 where a track lacks it.
"""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Counts, Integers, RowIndices, Words
from tracktokens.codebooks.numerics.hashing import splitmix64
from tracktokens.schemas.modalities import MODALITIES

NONE = -1
"""Stands in a code matrix for a missing modality."""

WILDCARD = -2
"""Stands in a query for a modality of which nothing was written, which is something else than ``none``."""


@dataclass(frozen=True, eq=False)
class TupleGroups:
    """The sets of equal rows of a code matrix, numbered in the rows' order: first code, then the second, and so on.

    Attributes:
        numbers: int64 (n,), the set of each row.
        sizes: int64 (sets,), rows in each set.
        first_rows: int64 (sets,), the first row of each set.
    """

    numbers: RowIndices
    sizes: Counts
    first_rows: RowIndices


def check_codes(codes: CodeMatrix) -> None:
    """Raise a ValueError unless this is a code matrix."""
    if codes.dtype != np.int16 or codes.ndim != 2 or codes.shape[1] != len(MODALITIES):
        raise ValueError(
            f"a code matrix is int16 of shape (n, {len(MODALITIES)}), not {codes.dtype} of shape {codes.shape}"
        )
    if codes.size and codes.min() < NONE:
        raise ValueError(f"code {codes.min()} is neither {NONE} for none nor a row number")


def equal_rows(codes: CodeMatrix) -> TupleGroups:
    """Find the sets of equal rows of int16 (n, columns).

    NumPy sorts int16 by radix: sorting column by column takes half the time of sorting packed keys.
    """
    columns = [np.ascontiguousarray(column) for column in codes.T]
    order = np.lexsort(columns[::-1]) if columns else np.arange(len(codes))
    starts = np.zeros(len(codes), bool)
    starts[:1] = True
    for column in columns:
        arranged = column[order]
        starts[1:] |= arranged[1:] != arranged[:-1]
    numbers = np.empty(len(codes), np.int64)
    numbers[order] = np.cumsum(starts) - 1
    places = np.flatnonzero(starts)
    return TupleGroups(numbers, np.diff(np.append(places, len(codes))), order[places])


def pack_tuples(codes: CodeMatrix) -> Words:
    """Pack the rows of a code matrix into uint64 (n, 2). Their numeric order is the rows' order.

    The first word holds the first code, the second word the other four, 16 bits each.
    """
    check_codes(codes)
    shifted = (codes.astype(np.int64) + 1).astype(np.uint64)
    words = np.zeros((len(codes), 2), np.uint64)
    words[:, 0] = shifted[:, 0]
    for column in shifted[:, 1:].T:
        words[:, 1] = words[:, 1] << np.uint64(16) | column
    return words


def tuple_buckets(codes: CodeMatrix, buckets: int) -> Integers:
    """Bucket of each row, int64 (n,) below ``buckets``, by a hash of its codes: equal rows come together.

    It mixes the packed words as SplitMix64 does (Steele et al., OOPSLA 2014).
    """
    words = pack_tuples(codes)
    mixed = splitmix64(splitmix64(words[:, 0]) ^ words[:, 1])
    return (mixed % np.uint64(buckets)).astype(np.int64)
