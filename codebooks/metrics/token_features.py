"""Features of rows from tokens, given the tokens of some seeds, and the scorer that weighs them.

Each class computes float64 (n, features): one feature per column of the code matrix, and further ones after them. The
score of a row is the weighted sum, rounded, so that rows with equal features tie however a sum is computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tracktokens.codebooks.matching.code_similarity import CodeSimilarity
from tracktokens.codebooks.metrics.code_affinity import CodeAffinity
from tracktokens.codebooks.numerics.arrays import CodeMatrix, Codes, Doubles, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE

DIGITS = 9
"""Decimals of a score."""

PLAYLISTS_WEIGHT = 0.5
"""Default weight of the logarithm of a row's playlists, beside affinities with weight 1."""


class Features(Protocol):
    """Features of all rows."""

    def features(self, seeds: RowIndices) -> Doubles:
        """Compute the features of all rows, float64 (n, features)."""


@dataclass(frozen=True, eq=False)
class WeightedScorer:
    """Scores by the weighted sum of features.

    Attributes:
        of: the features.
        weights: one per feature.
    """

    of: Features
    weights: Sequence[float]

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows."""
        return weighted(self.of.features(seeds), np.asarray(self.weights, np.float64))


def weighted(features: Doubles, weights: Scores) -> Scores:
    """Sum weighted features (n, features) to scores (n,), rounded to :data:`DIGITS`."""
    scores: Scores = np.round(features @ weights, DIGITS)
    return scores


@dataclass(frozen=True, eq=False)
class EqualCodes:
    """The share of the seeds with the row's code, of those that have the modality; 0 if the row has none.

    With the weights 25, 5, 5, 1, 1 this is TalkPlay's score (arXiv 2502.13713), averaged over the seeds.

    Attributes:
        codes: int16 (n, M), -1 for none.

    Example:
        >>> import numpy as np
        >>> codes = np.array([[1, 2], [1, 3], [1, -1]], np.int16)
        >>> EqualCodes(codes).features(np.array([0, 1])).tolist()
        [[1.0, 0.5], [1.0, 0.5], [1.0, 0.0]]
    """

    codes: CodeMatrix

    def features(self, seeds: RowIndices) -> Doubles:
        """Compute one feature per modality."""
        return _by_column(self.codes, seeds, [_shares] * self.codes.shape[1])


@dataclass(frozen=True, eq=False)
class SimilarCodes:
    """The mean similarity of the row's code to those of the seeds, as graded matching computes it.

    Attributes:
        codes: int16 (n, M), -1 for none.
        similarities: one per modality.
    """

    codes: CodeMatrix
    similarities: Sequence[CodeSimilarity]

    def features(self, seeds: RowIndices) -> Doubles:
        """Compute one feature per modality."""
        return _by_column(self.codes, seeds, [_MeanSimilarity(similarity) for similarity in self.similarities])


@dataclass(frozen=True, eq=False)
class CodeAffinities:
    """The lift of the row's codes in playlists that hold the seeds' codes, and the number of playlists with the row.

    The features are the logarithms of the :class:`.CodeAffinity` of each modality, averaged over the seeds, 0 if the
    row has no code, and last the logarithm of 1 + the row's playlists. With weights 1 their sum is a naive Bayes model
    of the next track.

    Attributes:
        codes: int16 (n, M), -1 for none.
        affinities: one per modality.
        playlists: float64 (n,), number of training playlists that hold each row.
    """

    codes: CodeMatrix
    affinities: Sequence[CodeAffinity]
    playlists: Doubles

    @property
    def weights(self) -> list[float]:
        """Weights that continue playlists well in all sets that were tried."""
        return [1.0] * self.codes.shape[1] + [PLAYLISTS_WEIGHT]

    def features(self, seeds: RowIndices) -> Doubles:
        """Compute one feature per modality, and the one of the playlists."""
        tokens = _by_column(self.codes, seeds, [affinity.log_lifts for affinity in self.affinities])
        return np.column_stack([tokens, np.log1p(self.playlists)])


class _ScoreCodes(Protocol):
    def __call__(self, seeds: Codes, /) -> Scores:
        """Score each code, given the codes of some seeds, at least one: float64 (codes,)."""


@dataclass(frozen=True, eq=False)
class _MeanSimilarity:
    similarity: CodeSimilarity

    def __call__(self, seeds: Codes, /) -> Scores:
        mean: Scores = np.mean([self.similarity.to(int(code))[:-1] for code in seeds], axis=0)
        return mean


def _shares(seeds: Codes, /) -> Scores:
    return np.bincount(seeds) / len(seeds)


def _by_column(codes: CodeMatrix, seeds: RowIndices, score: Sequence[_ScoreCodes]) -> Doubles:
    """Score the codes of each column by those of the seeds; 0 for rows without a code, and codes without a score."""
    features = np.zeros(codes.shape)
    for number, column in enumerate(codes.T):
        known = column[seeds][column[seeds] != NONE]
        if len(known):
            by_code = np.zeros(int(column.max()) + 2)  # the last entry is for none, whose index is -1
            scores = score[number](known)[: len(by_code) - 1]
            by_code[: len(scores)] = scores
            features[:, number] = by_code[column]
    return features
