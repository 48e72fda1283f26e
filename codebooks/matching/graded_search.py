"""Graded search: posting lists in order of their code's similarity, until the remaining rows cannot score enough."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.matching.inverted_index import BLOCK_ROWS, InvertedIndex
from tracktokens.codebooks.matching.top_k import BestRows
from tracktokens.codebooks.numerics.arrays import CodeColumns, Mask, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE

FIRST_ROWS = 1 << 12
"""Rows of the first part; each later part has twice as many. The first part finds a score to beat."""

ROUNDING = 1e-9
"""Bound on the difference between sums in different orders."""


def search_graded(
    columns: CodeColumns,
    postings: InvertedIndex,
    similarities: Sequence[Scores],
    shares: Scores,
    best: BestRows,
    allowed: Mask | None,
) -> None:
    """Add to ``best`` the rows with the largest sums of shares times similarities; rows with a sum of 0 are left out.

    The modality of the largest share leads: its codes are read in order of similarity, and the search ends when the
    other modalities cannot make up for a lower one. The others are added one by one. A row is dropped as soon as the
    remaining modalities cannot lift it to the worst row that is kept.

    Args:
        columns: int16 (M, n), contiguous, -1 for none.
        postings: posting lists of the columns.
        similarities: per column float64 (codes + 1,), similarity of each code, not negative; ``none`` is last.
        shares: float64 (M,), factors of the similarities; columns with 0 are skipped.
        best: result, modified.
        allowed: bool (n,), rows that may be found; all by default.
    """
    order = [int(column) for column in np.argsort(-shares, kind="stable") if shares[column] > 0]
    tables = [similarities[column] * shares[column] for column in order]
    remaining = _remaining([float(table.max()) for table in tables])
    for bound, rows in _parts(postings, order[0], tables[0]) if order else ():
        if best.closed_to(bound + remaining[0] + ROUNDING, 0):
            return
        candidates = (rows if allowed is None else rows.take(np.flatnonzero(allowed.take(rows)))).astype(np.int64)
        scores = np.zeros(len(candidates))
        for column, table, more in zip(order, tables, remaining, strict=True):
            scores += table.take(columns[column].take(candidates), mode="wrap")  # wraps -1, none, to the last entry
            candidates, scores = _keep_reachable(candidates, scores, more, best.worst - ROUNDING)
        ascending = np.argsort(candidates)
        best.add(candidates.take(ascending), scores.take(ascending))


def _remaining(most: list[float]) -> list[float]:
    """Sum, for each column, the largest scores of the columns after it."""
    return [sum(most[index + 1 :]) for index in range(len(most))]


def _parts(postings: InvertedIndex, modality: int, table: Scores) -> Iterator[tuple[float, npt.NDArray[np.int32]]]:
    """Yield all rows, those with the best code first: the score of each part's best code, and the part."""
    chunks: list[npt.NDArray[np.int32]] = []
    bound, size, wanted = 0.0, 0, FIRST_ROWS
    for index in np.argsort(-table, kind="stable").tolist():
        for chunk in postings.chunks(modality, index if index < len(table) - 1 else NONE):
            bound = bound if chunks else float(table[index])
            chunks.append(chunk)
            size += len(chunk)
            if size >= wanted:
                yield bound, np.concatenate(chunks)
                chunks, size, wanted = [], 0, min(2 * wanted, BLOCK_ROWS)
    if chunks:
        yield bound, np.concatenate(chunks)


def _keep_reachable(rows: RowIndices, scores: Scores, more: float, worst: float) -> tuple[RowIndices, Scores]:
    """Keep the rows that reach the score ``worst``, above 0, if the remaining columns add ``more``."""
    highest = scores + more
    kept = np.flatnonzero((highest >= worst) & (highest > 0))
    return (rows, scores) if len(kept) == len(rows) else (rows.take(kept), scores.take(kept))
