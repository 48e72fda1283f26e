"""The graded search: lists of rows in order of how similar their code is, until what is left cannot score enough."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.matching.inverted_index import BLOCK_ROWS, InvertedIndex
from tracktokens.codebooks.matching.top_k import BestRows
from tracktokens.codebooks.numerics.arrays import CodeColumns, Mask, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE

FIRST_ROWS = 1 << 12
"""Rows of the first part that is looked at; each later one has twice as many. The first find a score to beat."""

ROUNDING = 1e-9
"""What sums in another order may differ by."""


def search_graded(
    columns: CodeColumns,
    postings: InvertedIndex,
    similarities: Sequence[Scores],
    shares: Scores,
    best: BestRows,
    allowed: Mask | None,
) -> None:
    """Add to ``best`` the rows with the largest sums of shares times similarities; rows with a sum of 0 are left out.

    The modality of the largest share leads: its codes are taken the most similar first, and the search ends where the
    others cannot make up for it. They are added one by one, and a row drops out as soon as those left do not lift it to
    the worst that is kept.

    Args:
        columns: int16 (5, n), contiguous, -1 for none.
        postings: their lists.
        similarities: for each column float64 (codes + 1,), that of each code, not negative; none comes last.
        shares: float64 (5,), by which similarities are multiplied; columns with 0 are left alone.
        best: what was found.
        allowed: bool (n,), rows that count; all where it is None.
    """
    order = [int(column) for column in np.argsort(-shares, kind="stable") if shares[column] > 0]
    tables = [similarities[column] * shares[column] for column in order]
    left = _left([float(table.max()) for table in tables])
    for bound, rows in _parts(postings, order[0], tables[0]) if order else ():
        if best.closed_to(bound + left[0] + ROUNDING, 0):
            return
        found = (rows if allowed is None else rows.take(np.flatnonzero(allowed.take(rows)))).astype(np.int64)
        scores = np.zeros(len(found))
        for column, table, more in zip(order, tables, left, strict=True):
            scores += table.take(columns[column].take(found), mode="wrap")  # which finds none, -1, at the end
            found, scores = _hopeful(found, scores, more, best.worst - ROUNDING)
        rising = np.argsort(found)
        best.add(found.take(rising), scores.take(rising))


def _left(most: list[float]) -> list[float]:
    """What the columns after each can add at most."""
    return [sum(most[place + 1 :]) for place in range(len(most))]


def _parts(postings: InvertedIndex, modality: int, table: Scores) -> Iterator[tuple[float, npt.NDArray[np.int32]]]:
    """All rows, those with the best code first, each part with what its best code adds."""
    pieces: list[npt.NDArray[np.int32]] = []
    bound, size, wanted = 0.0, 0, FIRST_ROWS
    for place in np.argsort(-table, kind="stable").tolist():
        for piece in postings.pieces(modality, place if place < len(table) - 1 else NONE):
            bound = bound if pieces else float(table[place])
            pieces.append(piece)
            size += len(piece)
            if size >= wanted:
                yield bound, np.concatenate(pieces)
                pieces, size, wanted = [], 0, min(2 * wanted, BLOCK_ROWS)
    if pieces:
        yield bound, np.concatenate(pieces)


def _hopeful(rows: RowIndices, scores: Scores, more: float, worst: float) -> tuple[RowIndices, Scores]:
    """The rows that reach a score if the columns left add as much as they can."""
    lifted = scores + more
    hopeful = np.flatnonzero((lifted >= worst) & (lifted > 0))
    return (rows, scores) if len(hopeful) == len(rows) else (rows.take(hopeful), scores.take(hopeful))
