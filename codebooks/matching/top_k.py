"""Selection of the best rows, with one rule for ties: of two rows with the same score the lower row comes first."""

import numpy as np

from tracktokens.codebooks.numerics.arrays import RowIndices, Scores


class BestRows:
    """Accumulator of the ``k`` best rows, best first.

    Attributes:
        rows: int64 (found,), at most ``k``.
        scores: float64 (found,), in descending order.

    Example:
        >>> import numpy as np
        >>> best = BestRows(2)
        >>> best.add(np.array([0, 1, 2]), np.array([0.5, 0.2, 0.5]))
        >>> best.add(np.array([3, 4]), np.array([0.1, 0.9]))
        >>> best.rows.tolist(), best.scores.tolist()
        ([4, 0], [0.9, 0.5])
    """

    def __init__(self, k: int) -> None:
        self.rows: RowIndices = np.zeros(0, np.int64)
        self.scores: Scores = np.zeros(0)
        self._k = k

    @property
    def worst(self) -> float:
        """Lowest score that is kept; -inf while there are fewer than ``k`` rows."""
        return float(self.scores[-1]) if len(self.rows) == self._k else -np.inf

    def closed_to(self, score: float, row: int) -> bool:
        """Return True if no row from ``row`` on can enter, given that none of them scores more than ``score``."""
        if len(self.rows) < self._k:
            return False
        return (self.scores[-1], -self.rows[-1]) > (score, -row)

    def add(self, rows: RowIndices, scores: Scores) -> None:
        """Add new rows, int64 (n,) in ascending order, with their scores, float64 (n,)."""
        if len(self.rows) == self._k:
            tied = (scores == self.scores[-1]) & (rows < self.rows[-1])
            candidates = np.flatnonzero((scores > self.scores[-1]) | tied)
            rows, scores = rows.take(candidates), scores.take(candidates)
        best = _best(scores, self._k)
        rows = np.concatenate([self.rows, rows.take(best)])
        scores = np.concatenate([self.scores, scores.take(best)])
        order = np.lexsort((rows, -scores))[: self._k]
        self.rows, self.scores = rows.take(order), scores.take(order)


def _best(scores: Scores, k: int) -> RowIndices:
    """Indices of the ``k`` best scores, the first of tied ones, in any order."""
    if len(scores) <= k:
        return np.arange(len(scores))
    last = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > last)
    return np.concatenate([above, np.flatnonzero(scores == last)[: k - len(above)]])
