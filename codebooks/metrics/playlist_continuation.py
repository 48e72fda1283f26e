"""Continuation of playlists: how high scorers rank the rest of a playlist, given its first tracks.

No language model is involved: the metric measures how well tokens represent which tracks are played together. Tracks
are rows of a catalog; of two tracks with the same score the lower row comes first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tracktokens.codebooks.numerics.arrays import Doubles, Mask, RowIndices, Scores

DEPTH = 20
"""Ranks that NDCG and the deepest recall include."""

_NAMES = (
    "mrr",
    "hit_at_1",
    "hit_at_10",
    "hit_at_100",
    "recall_at_1",
    "recall_at_10",
    "recall_at_20",
    "ndcg_at_20",
    "mean_ties",
)
"""Means of :class:`ContinuationQuality`, in the order in which :func:`_values` computes them."""


@dataclass(frozen=True, eq=False)
class Continuation:
    """A playlist to continue.

    Attributes:
        seeds: distinct rows of the known tracks, in order.
        targets: distinct rows of the tracks to find, at least one, none of them a seed.
    """

    seeds: RowIndices
    targets: RowIndices


@dataclass(frozen=True)
class ContinuationQuality:
    """Quality of continuations, as means over playlists.

    Attributes:
        playlists: number of playlists.
        mrr: reciprocal rank of the best ranked target.
        hit_at_1: share of playlists with a target on the first rank.
        hit_at_10: share of playlists with a target among the first ten.
        hit_at_100: share of playlists with a target among the first hundred.
        recall_at_1: share of the targets of a playlist on the first rank.
        recall_at_10: share of the targets among the first ten.
        recall_at_20: share of the targets among the first twenty.
        ndcg_at_20: discounted cumulative gain of the first twenty, divided by that of the best ranking.
        mean_ties: rows with the score of the best ranked target, itself included: 1 if its score decides alone.
        median_ties: the median of these.
        standard_errors: name of each mean to its standard error, over playlists; 0 for fewer than two playlists.
    """

    playlists: int
    mrr: float
    hit_at_1: float
    hit_at_10: float
    hit_at_100: float
    recall_at_1: float
    recall_at_10: float
    recall_at_20: float
    ndcg_at_20: float
    mean_ties: float
    median_ties: float
    standard_errors: dict[str, float]


class Scorer(Protocol):
    """Scores every row: the higher, the better it continues the seeds."""

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows, float64 (n,)."""


def measure(scorer: Scorer, continuations: Iterable[Continuation]) -> ContinuationQuality:
    """Measure a scorer on playlists."""
    return summarize([outcomes(scorer, continuations)])


def outcomes(scorer: Scorer, continuations: Iterable[Continuation]) -> Doubles:
    """Continue playlists: float64 (playlists, values), for :func:`summarize`."""
    rows = [_values(scorer.scores(playlist.seeds).copy(), playlist) for playlist in continuations]
    return np.array(rows, np.float64).reshape(len(rows), len(_NAMES))


def summarize(parts: Sequence[Doubles]) -> ContinuationQuality:
    """Average the outcomes of disjoint sets of playlists, of which each may have a scorer of its own."""
    values = np.concatenate(parts)
    count = len(values)
    errors = values.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.zeros(len(_NAMES))
    means = values.mean(axis=0) if count else np.zeros(len(_NAMES))
    return ContinuationQuality(
        playlists=count,
        **dict(zip(_NAMES, means.tolist(), strict=True)),
        median_ties=float(np.median(values[:, -1])) if count else 0.0,
        standard_errors=dict(zip(_NAMES, errors.tolist(), strict=True)),
    )


def first_rank(scores: Scores, targets: RowIndices) -> int:
    """Return the rank, from 1, of the best ranked target.

    Example:
        >>> import numpy as np
        >>> first_rank(np.array([0.1, 0.9, 0.5, 0.5]), np.array([0, 3]))
        3
    """
    return _rank_and_ties(scores, targets)[0]


def _values(scores: Scores, playlist: Continuation) -> list[float]:
    scores[playlist.seeds] = -np.inf
    rank, ties = _rank_and_ties(scores, playlist.targets)
    found = np.isin(_best_rows(scores), playlist.targets)
    recalls = [float(found[:depth].sum() / len(playlist.targets)) for depth in (1, 10, 20)]
    hits = [float(rank <= depth) for depth in (1, 10, 100)]
    return [1 / rank, *hits, *recalls, _ndcg(found, len(playlist.targets)), float(ties)]


def _rank_and_ties(scores: Scores, targets: RowIndices) -> tuple[int, int]:
    """Return the rank of the best ranked target, and the number of rows with its score."""
    best = targets[np.lexsort((targets, -scores[targets]))[0]]
    ties = np.flatnonzero(scores == scores[best])
    return 1 + int(np.count_nonzero(scores > scores[best])) + int(np.searchsorted(ties, best)), len(ties)


def _best_rows(scores: Scores) -> RowIndices:
    """Find the rows of the first ranks, best first."""
    depth = min(DEPTH, len(scores))
    limit = np.partition(scores, len(scores) - depth)[len(scores) - depth]
    candidates = np.flatnonzero(scores >= limit)
    best: RowIndices = candidates[np.lexsort((candidates, -scores[candidates]))[:depth]]
    return best


def _ndcg(found: Mask, targets: int) -> float:
    """Compute NDCG from bool (ranks,), whether a target is on each rank, and the number of targets."""
    discounts = 1 / np.log2(np.arange(2, len(found) + 2))
    return float(discounts[found].sum() / discounts[: min(targets, len(found))].sum())
