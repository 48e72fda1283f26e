"""Posting lists of the rows with each code, and the exact search that reads them."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.matching.top_k import BestRows
from tracktokens.codebooks.numerics.arrays import CodeColumns, Codes, Doubles, Mask, Query, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE

BLOCK_ROWS = 1 << 16
"""Rows per block: their columns and masks stay in the cache."""

COMMON_SHARE = 1 / 16
"""Share of the rows above which a code is searched in its column: reading it in order is faster than a long list."""

Masks: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
"""Unsigned integers (n,) with a bit per column: bit m represents column m."""


class InvertedIndex:
    """Posting lists: the rows with each code of each column, in ascending order; ``none`` has a list too.

    Layout: per column int32 (n,), rows in order of code, and int64 (codes + 2,), the start of each code's rows.
    """

    def __init__(self, columns: CodeColumns, requires: Sequence[tuple[int, ...]] = ()) -> None:
        """Sort the rows.

        Args:
            columns: int16 (M, n), contiguous. The array is not copied.
            requires: per column those without which an equal code of it does not count; none by default.
        """
        rows = [np.argsort(column, kind="stable").astype(np.int32) for column in columns]
        self._take(columns, rows, [_starts(column) for column in columns], requires)

    @classmethod
    def of_lists(
        cls,
        columns: CodeColumns,
        rows: Sequence[npt.NDArray[np.int32]],
        starts: Sequence[RowIndices],
        requires: Sequence[tuple[int, ...]] = (),
    ) -> "InvertedIndex":
        """Take sorted lists in the layout above, which are not copied: they may be memory-mapped."""
        index = cls.__new__(cls)
        index._take(columns, rows, starts, requires)
        return index

    def _take(
        self,
        columns: CodeColumns,
        rows: Sequence[npt.NDArray[np.int32]],
        starts: Sequence[RowIndices],
        requires: Sequence[tuple[int, ...]],
    ) -> None:
        self._columns, self._rows, self._starts = columns, list(rows), list(starts)
        self._requires = tuple(requires) or ((),) * len(columns)
        self._mask_type = np.min_scalar_type((1 << len(columns)) - 1)

    @property
    def nbytes(self) -> int:
        """Bytes of the lists."""
        return sum(rows.nbytes + starts.nbytes for rows, starts in zip(self._rows, self._starts, strict=True))

    def search(
        self,
        query: Query,
        shares: Scores,
        best: BestRows,
        allowed: Mask | None,
    ) -> None:
        """Add to ``best`` the rows with an equal code, scored by the shares of all their equal codes.

        Args:
            query: int16 (M,).
            shares: float64 (M,), score of an equal code; columns with 0 are skipped. One with a share has required
                columns with a share, if it requires any.
            best: result, modified.
            allowed: bool (n,), rows that may be found; all by default.
        """
        sums = subset_sums(shares)
        counted = np.flatnonzero(shares > 0).tolist()
        order = self._order(query, sums)
        earlier = 0
        for number, modality in enumerate(order):
            # Rows that were in none of the earlier lists can only be equal in this column and the later ones.
            bound = sums[self._reachable(order[number:], counted)]
            for first, rows in self._parts(modality, int(query[modality])):
                if best.closed_to(bound, first):
                    break
                masks = self._masks(rows, query, counted)
                new = np.flatnonzero((masks & (earlier | 1 << modality)) == 1 << modality)
                new_rows = new + first if isinstance(rows, slice) else rows.take(new)
                if allowed is not None:
                    kept = allowed[new_rows]
                    new_rows, new = new_rows[kept], new[kept]
                best.add(new_rows, sums[masks[new]])
            earlier |= 1 << modality

    def chunks(self, modality: int, code: int) -> Iterator[npt.NDArray[np.int32]]:
        """Yield the rows with a code, in ascending order, in chunks; none for a code that no row has."""
        begin, end = self._bounds(modality, code)
        for first in range(begin, end, BLOCK_ROWS):
            yield self._rows[modality][first : min(first + BLOCK_ROWS, end)]

    def _order(self, query: Query, sums: Scores) -> list[int]:
        """Order the columns with a share by descending share, those with a common code last.

        Rows that only the list of a common code has score at most the shares of the common codes. Often that is too
        little by then, or the first block has enough of them. A column that requires others is left out: the rows for
        which it counts are in the lists of those.
        """
        shares = [float(sums[1 << column]) for column in range(len(self._columns))]
        read = (m for m, share in enumerate(shares) if share > 0 and not self._requires[m])
        by_share = sorted(read, key=lambda m: -shares[m])
        return sorted(by_share, key=lambda column: self._is_common(column, int(query[column])))

    def _reachable(self, read: list[int], counted: list[int]) -> int:
        """Return the mask of the columns that may be equal in a row that is only in the lists of some columns."""
        equal = {*read, *(c for c in counted if self._needed(c, counted) and self._needed(c, counted) <= set(read))}
        return sum(1 << column for column in equal)

    def _needed(self, column: int, counted: list[int]) -> set[int]:
        """Return the columns with a share and a list that a column requires."""
        return {other for other in self._requires[column] if other in counted and not self._requires[other]}

    def _is_common(self, modality: int, code: int) -> bool:
        begin, end = self._bounds(modality, code)
        return end - begin > COMMON_SHARE * self._columns.shape[1]

    def _bounds(self, modality: int, code: int) -> tuple[int, int]:
        starts = self._starts[modality]
        if code - NONE + 1 >= len(starts):
            return 0, 0
        return int(starts[code - NONE]), int(starts[code - NONE + 1])

    def _parts(self, modality: int, code: int) -> Iterator[tuple[int, RowIndices | slice]]:
        """Yield parts that together hold all rows with a code, in ascending order, each with its first row."""
        if self._is_common(modality, code):
            total = self._columns.shape[1]
            for first in range(0, total, BLOCK_ROWS):
                yield first, slice(first, min(first + BLOCK_ROWS, total))
        else:
            for chunk in self.chunks(modality, code):
                yield int(chunk[0]), chunk.astype(np.int64)

    def _masks(self, rows: RowIndices | slice, query: Query, counted: list[int]) -> Masks:
        """Compute a mask per row: bit m is set if its code in column m is the query's, and column m counts."""
        size = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        masks = np.zeros(size, self._mask_type)
        for number in counted:
            column = self._columns[number]
            codes = column[rows] if isinstance(rows, slice) else column.take(rows)
            equal = (codes == query[number]).view(np.uint8).astype(self._mask_type, copy=False)
            required = sum(1 << other for other in self._requires[number] if other in counted)
            if required:
                equal[masks & required != required] = 0
            masks |= np.left_shift(equal, number, out=equal)
        return masks


def subset_sums(shares: Scores) -> Scores:
    """Sum the shares of each set of columns, float64 (2**M,), by mask: bit m represents column m.

    Sums are rounded to 12 digits: 0.1 + 0.2 and 0.3 are the same score.

    Example:
        >>> import numpy as np
        >>> subset_sums(np.array([0.5, 0.3, 0.2, 0.0, 0.0]))[:8].tolist()
        [0.0, 0.5, 0.3, 0.8, 0.2, 0.7, 0.5, 1.0]
    """
    return np.round(_members(len(shares)) @ shares, 12)


@cache
def _members(columns: int) -> Doubles:
    """Return float64 (masks, columns): 1 where bit m of the mask is set, which represents column m."""
    return (np.arange(1 << columns)[:, np.newaxis] >> np.arange(columns) & 1).astype(np.float64)


def _starts(column: Codes) -> RowIndices:
    counts = np.bincount(column.astype(np.int64) - NONE)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
