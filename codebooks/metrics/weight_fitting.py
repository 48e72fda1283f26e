"""Weights of features that continue playlists best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.metrics.playlist_continuation import Continuation, first_rank
from tracktokens.codebooks.metrics.token_features import Features, weighted
from tracktokens.codebooks.numerics.arrays import Doubles, RowIndices, Scores

STEPS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Factors of a weight that the search for better weights tries; a weight of 0 is replaced by them."""

SWEEPS = 4
"""Largest number of passes over the weights; the search stops when a pass brings no improvement."""

FIT_ROWS = 5_000
"""Rows among which targets are ranked while fitting weights: a sample of a larger catalog."""


def fit_weights(
    of: Features, continuations: Sequence[Continuation], start: Sequence[float], seed: int = 0
) -> list[float]:
    """Search weights that continue playlists with the highest MRR, by coordinate ascent.

    It starts from ``start``, from equal weights, and from each feature alone, and returns the best result.

    Args:
        of: the features to weigh.
        continuations: playlists to fit on; measure on other playlists.
        start: initial weights, at least one positive.
        seed: chooses the sample of rows among which targets are ranked.

    Returns:
        Weights of the features, the largest 1.
    """
    sampled = [_sampled(of, playlist, seed) for playlist in continuations]
    starts = [np.asarray(start, np.float64), np.ones(len(start)), *np.eye(len(start))]
    results = [_climb(sampled, weights / weights.max()) for weights in starts]
    weights = max(results, key=lambda result: result[1])[0]
    best: list[float] = (weights / weights.max()).tolist()
    return best


@dataclass(frozen=True, eq=False)
class _Sampled:
    """Sample of rows for one playlist: features, float64 (rows, F), and the indices of the targets."""

    features: Doubles
    targets: RowIndices


def _sampled(of: Features, playlist: Continuation, seed: int) -> _Sampled:
    features = of.features(playlist.seeds)
    rows = np.arange(len(features))
    if len(rows) > FIT_ROWS:
        rows = np.random.default_rng(seed).choice(len(rows), FIT_ROWS, replace=False)
    rows = np.setdiff1d(np.union1d(rows, playlist.targets), playlist.seeds)
    return _Sampled(features[rows], np.searchsorted(rows, playlist.targets))


def _climb(sampled: Sequence[_Sampled], weights: Scores) -> tuple[Scores, float]:
    """Change one weight at a time while the MRR grows, and return the weights and the MRR."""
    best = _mrr(sampled, weights)
    for _ in range(SWEEPS):
        previous = best
        for number in range(len(weights)):
            for value in [step * (weights[number] or 1.0) for step in STEPS]:
                tried = weights.copy()
                tried[number] = value
                if tried.any() and (reached := _mrr(sampled, tried)) > best:
                    best, weights = reached, tried
        if best <= previous:
            break
    return weights, best


def _mrr(sampled: Sequence[_Sampled], weights: Scores) -> float:
    ranks = [first_rank(weighted(one.features, weights), one.targets) for one in sampled]
    return float((1 / np.array(ranks)).mean())
