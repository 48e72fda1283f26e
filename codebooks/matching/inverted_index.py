"""Posting lists of the rows with each code, and the exact search that reads them."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.matching.top_k import BestRows
from tracktokens.codebooks.numerics.arrays import CodeColumns, Codes, Mask, Query, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.modalities import MODALITIES

BLOCK_ROWS = 1 << 16
"""Rows per block: their columns and masks stay in the cache."""

COMMON_SHARE = 1 / 16
"""Share of the rows above which a code is searched in its column: reading it in order is faster than a long list."""

_MEMBERS = (np.arange(1 << len(MODALITIES))[:, np.newaxis] >> np.arange(len(MODALITIES)) & 1).astype(np.float64)
"""float64 (masks, modalities): 1 where bit m of the mask is set, which represents modality m."""

_MASK_TYPE = np.min_scalar_type((1 << len(MODALITIES)) - 1)
"""Smallest unsigned integer with a bit per modality."""

Masks: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
"""Unsigned integers (n,) with a bit per modality: bit m represents modality m."""


class InvertedIndex:
    """Posting lists: the rows with each code of each modality, in ascending order; ``none`` has a list too.

    Layout: per modality int32 (n,), rows in order of code, and int64 (codes + 2,), the start of each code's rows.
    """

    def __init__(self, columns: CodeColumns) -> None:
        """Sort the rows of int16 (M, n), contiguous. The array is not copied."""
        self._columns = columns
        self._rows = [np.argsort(column, kind="stable").astype(np.int32) for column in columns]
        self._starts = [_starts(column) for column in columns]

    @classmethod
    def of_lists(
        cls, columns: CodeColumns, rows: Sequence[npt.NDArray[np.int32]], starts: Sequence[RowIndices]
    ) -> "InvertedIndex":
        """Take sorted lists in the layout above, which are not copied: they may be memory-mapped."""
        index = cls.__new__(cls)
        index._columns, index._rows, index._starts = columns, list(rows), list(starts)
        return index

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
            shares: float64 (M,), score of an equal code; modalities with 0 are skipped.
            best: result, modified.
            allowed: bool (n,), rows that may be found; all by default.
        """
        sums = subset_sums(shares)
        order = self._order(query, sums)
        earlier = 0
        for number, modality in enumerate(order):
            # Rows that were in none of the earlier lists can only be equal in this modality and the later ones.
            bound = sums[sum(1 << later for later in order[number:])]
            for first, rows in self._parts(modality, int(query[modality])):
                if best.closed_to(bound, first):
                    break
                masks = self._masks(rows, query, order)
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
        """Order the modalities with a share by descending share, those with a common code last.

        Rows that only the list of a common code has score at most the shares of the common codes. Often that is too
        little by then, or the first block has enough of them.
        """
        shares = [float(sums[1 << modality]) for modality in range(len(MODALITIES))]
        counted = sorted((m for m, share in enumerate(shares) if share > 0), key=lambda m: -shares[m])
        return sorted(counted, key=lambda modality: self._is_common(modality, int(query[modality])))

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

    def _masks(self, rows: RowIndices | slice, query: Query, modalities: list[int]) -> Masks:
        """Compute a mask per row: bit m is set if its code in modality m is the query's."""
        size = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        masks = np.zeros(size, _MASK_TYPE)
        for modality in modalities:
            column = self._columns[modality]
            codes = column[rows] if isinstance(rows, slice) else column.take(rows)
            equal = (codes == query[modality]).view(np.uint8).astype(_MASK_TYPE, copy=False)
            masks |= np.left_shift(equal, modality, out=equal)
        return masks


def subset_sums(shares: Scores) -> Scores:
    """Sum the shares of each set of modalities, float64 (2**M,), by mask: bit m represents modality m.

    Sums are rounded to 12 digits: 0.1 + 0.2 and 0.3 are the same score.

    Example:
        >>> import numpy as np
        >>> subset_sums(np.array([0.5, 0.3, 0.2, 0.0, 0.0]))[:8].tolist()
        [0.0, 0.5, 0.3, 0.8, 0.2, 0.7, 0.5, 1.0]
    """
    return np.round(_MEMBERS @ shares, 12)


def _starts(column: Codes) -> RowIndices:
    counts = np.bincount(column.astype(np.int64) - NONE)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
