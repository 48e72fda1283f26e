"""The best rows out of many, with one rule for ties: of two rows with the same score the lower one comes first."""

import numpy as np

from tracktokens.codebooks.numerics.arrays import RowIndices, Scores


class BestRows:
    """Keeps the ``k`` best of the rows that it is given, part by part, the best first.

    Attributes:
        rows: int64 (found,), at most ``k``.
        scores: float64 (found,), falling.
    """

    def __init__(self, k: int) -> None:
        self.rows: RowIndices = np.zeros(0, np.int64)
        self.scores: Scores = np.zeros(0)
        self._k = k

    @property
    def worst(self) -> float:
        """Score that a row must reach to have a chance; -inf as long as there are fewer than ``k``."""
        return float(self.scores[-1]) if len(self.rows) == self._k else -np.inf

    def closed_to(self, score: float, row: int) -> bool:
        """Whether no row from this one on can still come in, if none has a higher score than this."""
        if len(self.rows) < self._k:
            return False
        return (self.scores[-1], -self.rows[-1]) > (score, -row)

    def add(self, rows: RowIndices, scores: Scores) -> None:
        """Add rows that were not added before, int64 (n,) and rising, with their scores, float64 (n,)."""
        if len(self.rows) == self._k:
            tied = (scores == self.scores[-1]) & (rows < self.rows[-1])
            hopeful = np.flatnonzero((scores > self.scores[-1]) | tied)
            rows, scores = rows.take(hopeful), scores.take(hopeful)
        best = _best(scores, self._k)
        rows = np.concatenate([self.rows, rows.take(best)])
        scores = np.concatenate([self.scores, scores.take(best)])
        order = np.lexsort((rows, -scores))[: self._k]
        self.rows, self.scores = rows.take(order), scores.take(order)


def _best(scores: Scores, k: int) -> RowIndices:
    """Places of the ``k`` best, the first ones of those that tie, in any order."""
    if len(scores) <= k:
        return np.arange(len(scores))
    last = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > last)
    return np.concatenate([above, np.flatnonzero(scores == last)[: k - len(above)]])
