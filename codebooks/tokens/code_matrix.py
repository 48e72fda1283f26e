"""Rows of a code matrix: group equal rows, pack rows into words, and divide them into buckets.

A code matrix is int16 (n, M): one row per track, one column per token in token order, the first ones of the modalities,
-1 where a track lacks one.
"""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Counts, Integers, RowIndices, Words
from tracktokens.codebooks.numerics.hashing import splitmix64
from tracktokens.schemas.modalities import MODALITIES

NONE = -1
"""Value in a code matrix for a modality that the track lacks."""

WILDCARD = -2
"""Value in a query for a modality that was not written. A written ``none`` is :data:`NONE`."""

CODES_PER_WORD = 4
"""Codes of 16 bits in a 64-bit word."""


@dataclass(frozen=True, eq=False)
class TupleGroups:
    """Groups of equal rows of a code matrix, numbered in the order of the rows: by first code, then second, and so on.

    Attributes:
        numbers: int64 (n,), the group of each row.
        sizes: int64 (groups,), rows per group.
        first_rows: int64 (groups,), the first row of each group.
    """

    numbers: RowIndices
    sizes: Counts
    first_rows: RowIndices


def check_codes(codes: CodeMatrix) -> None:
    """Raise a ValueError unless ``codes`` is a code matrix: int16 (n, M), no value below -1."""
    if codes.dtype != np.int16 or codes.ndim != 2 or codes.shape[1] < len(MODALITIES):
        raise ValueError(
            f"a code matrix is int16 of shape (n, {len(MODALITIES)}), or with columns of further tokens, not "
            f"{codes.dtype} of shape {codes.shape}"
        )
    if codes.size and codes.min() < NONE:
        raise ValueError(f"code {codes.min()} is below {NONE}: a code is a row number, or {NONE} for none")


def equal_rows(codes: CodeMatrix) -> TupleGroups:
    """Group equal rows of int16 (n, columns).

    NumPy sorts int16 by radix: sorting column by column takes half the time of sorting packed keys.

    Example:
        >>> import numpy as np
        >>> groups = equal_rows(np.array([[1, 2], [0, 9], [1, 2]], np.int16))
        >>> groups.numbers.tolist(), groups.sizes.tolist(), groups.first_rows.tolist()
        ([1, 0, 1], [1, 2], [1, 0])
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
    bounds = np.flatnonzero(starts)
    return TupleGroups(numbers, np.diff(np.append(bounds, len(codes))), order[bounds])


def pack_tuples(codes: CodeMatrix) -> Words:
    """Pack the rows of a code matrix into uint64 (n, words). The order of the words is the order of the rows.

    The first word holds the first code plus 1; each further word holds the next four codes plus 1, 16 bits each. Five
    codes take two words.

    Example:
        >>> import numpy as np
        >>> [[hex(word) for word in row] for row in pack_tuples(np.array([[4, -1, 0, 1, 2]], np.int16))]
        [['0x5', '0x100020003']]

    Raises:
        ValueError: ``codes`` is not a code matrix.
    """
    check_codes(codes)
    shifted = (codes.astype(np.int64) + 1).astype(np.uint64)
    starts = range(1 - CODES_PER_WORD, codes.shape[1], CODES_PER_WORD)
    words = np.zeros((len(codes), len(starts)), np.uint64)
    for word, start in zip(words.T, starts, strict=True):
        for column in shifted[:, max(start, 0) : start + CODES_PER_WORD].T:
            word[:] = word << np.uint64(16) | column
    return words


def tuple_buckets(codes: CodeMatrix, buckets: int) -> Integers:
    """Return the bucket of each row, int64 (n,) below ``buckets``. Equal rows share a bucket.

    The bucket is a hash of the packed words: each word is combined with the hash of those before by XOR and SplitMix64.

    Raises:
        ValueError: ``codes`` is not a code matrix.
    """
    hashes = np.zeros(len(codes), np.uint64)
    for word in pack_tuples(codes).T:
        hashes = splitmix64(hashes ^ word)
    return (hashes % np.uint64(buckets)).astype(np.int64)
