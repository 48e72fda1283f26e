"""How well the rest of a playlist is found again from its first tracks, by whatever scores all tracks of a catalog.

No language model is asked: what is measured is what tokens say of the company that tracks keep. Tracks are rows of a
catalog, in the order in which they win ties: of two with the same score the lower row comes first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Doubles, Floats, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.modalities import MODALITIES

NDCG_DEPTH = 20

STEPS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""What a weight is multiplied by when better ones are sought; a weight of 0 becomes one of these."""

SWEEPS = 4
"""Times that every weight is tried, unless nothing gets better before."""

FIT_ROWS = 50_000
"""Rows among which targets are ranked while weights are fitted: all of a small catalog, a sample of a large one."""


@dataclass(frozen=True, eq=False)
class Continuation:
    """A playlist that is to be continued.

    Attributes:
        seeds: rows of the tracks that are known, each once.
        targets: rows of the tracks that are to be found, each once, none of them a seed; at least one.
    """

    seeds: RowIndices
    targets: RowIndices


@dataclass(frozen=True)
class ContinuationQuality:
    """How well playlists were continued; means over playlists.

    Attributes:
        playlists: how many there were.
        mrr: reciprocal of the rank of the first track found.
        hit_at_1: share of playlists of which one track is ranked first.
        hit_at_10: the same within the first ten.
        hit_at_100: the same within the first hundred.
        ndcg_at_20: discounted cumulative gain of the first twenty over that of the best ranking.
    """

    playlists: int
    mrr: float
    hit_at_1: float
    hit_at_10: float
    hit_at_100: float
    ndcg_at_20: float


class Scorer(Protocol):
    """Gives every row a score: the higher, the better it continues the seeds."""

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows, float64 (n,)."""


@dataclass(frozen=True, eq=False)
class TokenScorer:
    """Scores by equal tokens: the weighted mean over the modalities of the share of seeds that have a row's code.

    A seed without a modality says nothing in it, and neither does a row.

    Attributes:
        codes: int16 (n, 5), -1 for none.
        weights: of the modalities, in token order.
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
        vectors: modality to float16 or float32 (n, dim) of unit length, zero where a row has none.
        weights: modality to its weight.
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
        """Give the same to all."""
        return self.values


def token_parts(codes: CodeMatrix, seeds: CodeMatrix) -> Doubles:
    """Share of the seeds that have each row's code, by modality: float64 (n, 5); 0 where a row has none.

    Args:
        codes: int16 (n, 5), -1 for none.
        seeds: int16 (seeds, 5).
    """
    parts = np.zeros(codes.shape)
    for number in range(codes.shape[1]):
        known = seeds[:, number][seeds[:, number] != NONE]
        if not len(known):
            continue
        column = codes[:, number].astype(np.int64)
        # The last place stands for none: -1 is its index.
        shares = np.bincount(known, minlength=int(max(column.max(initial=0), known.max())) + 2) / len(known)
        shares[-1] = 0
        parts[:, number] = shares[column]
    return parts


def measure(scorer: Scorer, continuations: Iterable[Continuation]) -> ContinuationQuality:
    """Continue playlists, and measure how well."""
    ranks, gains = [], []
    for playlist in continuations:
        scores = scorer.scores(playlist.seeds).copy()
        scores[playlist.seeds] = -np.inf
        ranks.append(first_rank(scores, playlist.targets))
        gains.append(_ndcg(scores, playlist.targets))
    found = np.array(ranks, np.float64)
    if not ranks:
        return ContinuationQuality(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return ContinuationQuality(
        playlists=len(found),
        mrr=float((1 / found).mean()),
        hit_at_1=float((found <= 1).mean()),
        hit_at_10=float((found <= 10).mean()),
        hit_at_100=float((found <= 100).mean()),
        ndcg_at_20=float(np.mean(gains)),
    )


def first_rank(scores: Scores, targets: RowIndices) -> int:
    """Rank, from 1, of the target that is ranked highest."""
    best = targets[np.lexsort((targets, -scores[targets]))[0]]
    ties = np.flatnonzero(scores == scores[best])
    return 1 + int(np.count_nonzero(scores > scores[best])) + int(np.searchsorted(ties, best))


def fit_weights(
    codes: CodeMatrix, continuations: Sequence[Continuation], start: Sequence[float], seed: int = 0
) -> list[float]:
    """Find weights that continue playlists with the highest MRR, by trying one weight after the other.

    It begins from those given, from equal ones, and from each modality alone, and takes what comes out best.

    Args:
        codes: int16 (n, 5), -1 for none.
        continuations: playlists to learn from; measure on others.
        start: weights to begin from, in token order, one at least positive.
        seed: chooses the rows among which targets are ranked, where there are too many.

    Returns:
        Weights in token order, the largest 1.
    """
    sampled = [_sampled(codes, playlist, seed) for playlist in continuations]
    starts = [np.asarray(start, np.float64), np.ones(len(start)), *np.eye(len(start))]
    found = [_climb(sampled, weights / weights.max()) for weights in starts]
    weights = max(found, key=lambda reached: reached[1])[0]
    chosen: list[float] = (weights / weights.max()).tolist()
    return chosen


def _climb(sampled: Sequence["_Sampled"], weights: Scores) -> tuple[Scores, float]:
    """Change one weight after the other while the MRR grows: the weights, and the MRR."""
    best = _mrr(sampled, weights)
    for _ in range(SWEEPS):
        before = best
        for number in range(len(weights)):
            for value in [step * (weights[number] or 1.0) for step in STEPS]:
                tried = weights.copy()
                tried[number] = value
                if tried.any() and (found := _mrr(sampled, tried)) > best:
                    best, weights = found, tried
        if best <= before:
            break
    return weights, best


def by_modality(weights: Sequence[float]) -> dict[str, float]:
    """Weights by the name of their modality."""
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
    """What a playlist's tokens say of some rows: shares by modality, and which of the rows are targets."""

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
