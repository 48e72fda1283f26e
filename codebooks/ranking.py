"""The best rows out of many, with one rule for ties: of two rows with the same score the lower one comes first."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


class BestRows:
    """Keeps the ``k`` best of the rows that it is given, part by part, the best first.

    Attributes:
        rows: int64 (found,), at most ``k``.
        scores: float64 (found,), falling.
    """

    def __init__(self, k: int) -> None:
        self.rows: Rows = np.zeros(0, np.int64)
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

    def add(self, rows: Rows, scores: Scores) -> None:
        """Add rows that were not added before, int64 (n,), with their scores, float64 (n,)."""
        if len(self.rows) == self._k:
            tied = (scores == self.scores[-1]) & (rows < self.rows[-1])
            hopeful = np.flatnonzero((scores > self.scores[-1]) | tied)
            rows, scores = rows.take(hopeful), scores.take(hopeful)
        rows, scores = np.concatenate([self.rows, rows]), np.concatenate([self.scores, scores])
        best = _first(rows, scores, self._k)
        order = np.lexsort((rows[best], -scores[best]))
        self.rows, self.scores = rows[best][order], scores[best][order]


def _first(rows: Rows, scores: Scores, k: int) -> npt.NDArray[np.int64]:
    """Places of the ``k`` best, in any order."""
    if len(rows) <= k:
        return np.arange(len(rows))
    last = -np.partition(-scores, k - 1)[k - 1]
    above, tied = np.flatnonzero(scores > last), np.flatnonzero(scores == last)
    left = k - len(above)
    return np.concatenate([above, tied[np.argpartition(rows[tied], left - 1)[:left]]])
