"""Continuation of playlists: how high scorers rank the rest of a playlist, given its first tracks.

No language model is involved: the metric measures how well tokens represent which tracks are played together. Tracks
are rows of a catalog; of two tracks with the same score the lower row comes first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Doubles, Floats, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.modalities import MODALITIES

NDCG_DEPTH = 20
"""Ranks that NDCG includes."""

STEPS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Factors of a weight that the search for better weights tries; a weight of 0 is replaced by them."""

SWEEPS = 4
"""Largest number of passes over the weights; the search stops when a pass brings no improvement."""

FIT_ROWS = 50_000
"""Rows among which targets are ranked while fitting weights: a sample of a larger catalog."""


@dataclass(frozen=True, eq=False)
class Continuation:
    """A playlist to continue.

    Attributes:
        seeds: distinct rows of the known tracks.
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
        ndcg_at_20: discounted cumulative gain of the first twenty, divided by that of the best ranking.
    """

    playlists: int
    mrr: float
    hit_at_1: float
    hit_at_10: float
    hit_at_100: float
    ndcg_at_20: float


class Scorer(Protocol):
    """Scores every row: the higher, the better it continues the seeds."""

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows, float64 (n,)."""


@dataclass(frozen=True, eq=False)
class TokenScorer:
    """Scores by equal tokens: the weighted sum over the modalities of the share of seeds with the row's code.

    Seeds and rows that lack a modality do not count in it.

    Attributes:
        codes: int16 (n, M), -1 for none.
        weights: one per modality in token order.
    """

    codes: CodeMatrix
    weights: Sequence[float]

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows."""
        parts = token_parts(self.codes, self.codes[seeds])
        return parts @ np.asarray(self.weights, np.float64)


@dataclass(frozen=True, eq=False)
class VectorScorer:
    """Scores by full vectors: the weighted sum over the modalities of a row's mean cosine to the seeds.

    Attributes:
        vectors: modality to float32 (n, dim) of unit length; zero for rows without the modality.
        weights: modality to weight.
    """

    vectors: Mapping[str, Floats]
    weights: Mapping[str, float]

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows."""
        total: Scores = sum(
            self.weights[modality] * (rows @ rows[seeds].mean(axis=0)).astype(np.float64)
            for modality, rows in self.vectors.items()
        )
        return total


@dataclass(frozen=True, eq=False)
class FixedScorer:
    """Scores that do not depend on the seeds, such as popularity.

    Attributes:
        values: float64 (n,).
    """

    values: Scores

    def scores(self, seeds: RowIndices) -> Scores:
        """Return the fixed scores."""
        return self.values


def token_parts(codes: CodeMatrix, seeds: CodeMatrix) -> Doubles:
    """Compute the share of the seeds with each row's code, per modality: float64 (n, M); 0 if the row has none.

    Example:
        >>> import numpy as np
        >>> seeds = np.array([[1, 2, -1, -1, -1], [1, 3, -1, -1, -1]], np.int16)
        >>> token_parts(np.array([[1, 2, 0, -1, -1]], np.int16), seeds).tolist()
        [[1.0, 0.5, 0.0, 0.0, 0.0]]

    Args:
        codes: int16 (n, M), -1 for none.
        seeds: int16 (seeds, M).
    """
    parts = np.zeros(codes.shape)
    for number in range(codes.shape[1]):
        known = seeds[:, number][seeds[:, number] != NONE]
        if not len(known):
            continue
        column = codes[:, number].astype(np.int64)
        # The last entry is for none, whose index is -1.
        shares = np.bincount(known, minlength=int(max(column.max(initial=0), known.max())) + 2) / len(known)
        shares[-1] = 0
        parts[:, number] = shares[column]
    return parts


def measure(scorer: Scorer, continuations: Iterable[Continuation]) -> ContinuationQuality:
    """Measure a scorer on playlists."""
    ranks, gains = [], []
    for playlist in continuations:
        scores = scorer.scores(playlist.seeds).copy()
        scores[playlist.seeds] = -np.inf
        ranks.append(first_rank(scores, playlist.targets))
        gains.append(_ndcg(scores, playlist.targets))
    best_ranks = np.array(ranks, np.float64)
    if not ranks:
        return ContinuationQuality(playlists=0, mrr=0.0, hit_at_1=0.0, hit_at_10=0.0, hit_at_100=0.0, ndcg_at_20=0.0)
    return ContinuationQuality(
        playlists=len(best_ranks),
        mrr=float((1 / best_ranks).mean()),
        hit_at_1=float((best_ranks <= 1).mean()),
        hit_at_10=float((best_ranks <= 10).mean()),
        hit_at_100=float((best_ranks <= 100).mean()),
        ndcg_at_20=float(np.mean(gains)),
    )


def first_rank(scores: Scores, targets: RowIndices) -> int:
    """Return the rank, from 1, of the best ranked target.

    Example:
        >>> import numpy as np
        >>> first_rank(np.array([0.1, 0.9, 0.5, 0.5]), np.array([0, 3]))
        3
    """
    best = targets[np.lexsort((targets, -scores[targets]))[0]]
    ties = np.flatnonzero(scores == scores[best])
    return 1 + int(np.count_nonzero(scores > scores[best])) + int(np.searchsorted(ties, best))


def fit_weights(
    codes: CodeMatrix, continuations: Sequence[Continuation], start: Sequence[float], seed: int = 0
) -> list[float]:
    """Search weights that continue playlists with the highest MRR, by coordinate ascent.

    It starts from ``start``, from equal weights, and from each modality alone, and returns the best result.

    Args:
        codes: int16 (n, M), -1 for none.
        continuations: playlists to fit on; measure on other playlists.
        start: initial weights in token order, at least one positive.
        seed: chooses the sample of rows among which targets are ranked.

    Returns:
        Weights in token order, the largest 1.
    """
    sampled = [_sampled(codes, playlist, seed) for playlist in continuations]
    starts = [np.asarray(start, np.float64), np.ones(len(start)), *np.eye(len(start))]
    results = [_climb(sampled, weights / weights.max()) for weights in starts]
    weights = max(results, key=lambda result: result[1])[0]
    best: list[float] = (weights / weights.max()).tolist()
    return best


def _climb(sampled: Sequence["_Sampled"], weights: Scores) -> tuple[Scores, float]:
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


def by_modality(weights: Sequence[float]) -> dict[str, float]:
    """Map the names of the modalities to their weights."""
    return dict(zip(MODALITIES, weights, strict=True))


def _ndcg(scores: Scores, targets: RowIndices) -> float:
    depth = min(NDCG_DEPTH, len(scores))
    limit = np.partition(scores, len(scores) - depth)[len(scores) - depth]
    candidates = np.flatnonzero(scores >= limit)
    top = candidates[np.lexsort((candidates, -scores[candidates]))[:depth]]
    discounts = 1 / np.log2(np.arange(2, depth + 2))
    gain = float(discounts[np.isin(top, targets)].sum())
    return gain / float(discounts[: min(len(targets), depth)].sum())


@dataclass(frozen=True, eq=False)
class _Sampled:
    """Sample of rows for one playlist: shares of equal tokens, float32 (rows, M), and the indices of the targets."""

    parts: Floats
    targets: RowIndices


def _sampled(codes: CodeMatrix, playlist: Continuation, seed: int) -> _Sampled:
    rows = np.arange(len(codes))
    if len(rows) > FIT_ROWS:
        rows = np.random.default_rng(seed).choice(len(codes), FIT_ROWS, replace=False)
    rows = np.setdiff1d(np.union1d(rows, playlist.targets), playlist.seeds)
    parts = token_parts(codes[rows], codes[playlist.seeds]).astype(np.float32)
    return _Sampled(parts, np.searchsorted(rows, playlist.targets))


def _mrr(sampled: Sequence[_Sampled], weights: Scores) -> float:
    ranks = [first_rank((one.parts @ weights.astype(np.float32)).astype(np.float64), one.targets) for one in sampled]
    return float((1 / np.array(ranks)).mean())
