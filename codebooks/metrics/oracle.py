"""How well a perfect language model could recommend with a token table: the upper bound that its tokens set.

The model names a track by writing the track's own five tokens. The catalog is then ranked in exact mode: a track scores
the sum of the weights of the modalities whose codes are equal, divided by the sum of all weights that count. Nothing
scores more than the wanted track, which scores 1, so its rank depends on nothing but how many tracks score 1 too. They
come in random order.

Of the weights it only matters which are 0: those modalities do not tell tracks apart. Renormalising weights over the
modalities that the written tokens have is division by one number for a whole ranking, and does not change it.

``none``. The model also writes ``<|lyrics_none|>`` for a track without lyrics, and what is written can be matched. So
``none`` is a token like all others here: it is equal to ``none`` and to nothing else. A matcher may instead leave what
is ``none`` in the written tokens out of the score; then a track with few modalities also ties with all tracks that have
its codes and more besides. ``none_is_a_token=False`` gives that matcher's bound, which is lower.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS, checked_weights
from tracktokens.codebooks.numerics.arrays import CodeMatrix, Counts, Doubles, Weights
from tracktokens.codebooks.numerics.weighted_mean import WeightedMean
from tracktokens.codebooks.tokens.code_matrix import NONE, check_codes, equal_rows


@dataclass(frozen=True)
class ExpectedRanks:
    """How high the wanted track is expected to rank, as means over tracks; None without tracks.

    Attributes:
        mrr: mean of 1 / rank.
        hit_at_1: probability that it is first.
        hit_at_10: probability that it is among the first ten.
    """

    mrr: float | None
    hit_at_1: float | None
    hit_at_10: float | None


@dataclass(frozen=True)
class Oracle:
    """What a perfect language model could reach.

    Attributes:
        tracks: tracks that were wanted, each once.
        every_track: means in which every track counts the same.
        by_popularity: means in which a track counts as much as it is popular; all None where that is not known.
    """

    tracks: int
    every_track: ExpectedRanks
    by_popularity: ExpectedRanks


class OracleAccumulator:
    """Gathers :class:`Oracle` from the tie sizes of tracks."""

    def __init__(self) -> None:
        self._tracks = 0
        self._every_track = _RankMeans()
        self._by_popularity = _RankMeans()

    def update(self, ties: Counts, popularity: Weights | None = None) -> None:
        """Add tracks.

        Args:
            ties: int64 (n,), tracks that tie with each, itself included; see :func:`tie_sizes`.
            popularity: float64 (n,), not negative; in every update or in none.

        Raises:
            ValueError: shapes differ, or a popularity is negative or not finite.
        """
        self._tracks += len(ties)
        self._every_track.add(ties)
        if popularity is not None:
            self._by_popularity.add(ties, popularity)

    def merge(self, other: "OracleAccumulator") -> None:
        """Add what another accumulator was given."""
        self._tracks += other._tracks
        self._every_track.merge(other._every_track)
        self._by_popularity.merge(other._by_popularity)

    def finalize(self) -> Oracle:
        """Take the means over everything that was added."""
        return Oracle(self._tracks, self._every_track.value(), self._by_popularity.value())


class _RankMeans:
    """The means of :class:`ExpectedRanks`."""

    def __init__(self) -> None:
        self._means = (WeightedMean(), WeightedMean(), WeightedMean())

    def add(self, ties: Counts, weights: Weights | None = None) -> None:
        values = (expected_reciprocal_rank(ties), expected_hit(ties, 1), expected_hit(ties, 10))
        for mean, value in zip(self._means, values, strict=True):
            mean.add(value, weights)

    def merge(self, other: "_RankMeans") -> None:
        for mean, more in zip(self._means, other._means, strict=True):
            mean.merge(more)

    def value(self) -> ExpectedRanks:
        return ExpectedRanks(*(mean.value() for mean in self._means))


def tie_sizes(
    codes: CodeMatrix, weights: Sequence[float] = MATCHING_WEIGHTS, *, none_is_a_token: bool = True
) -> Counts:
    """Count for each track how many tracks score as much as itself when its own tokens are written, itself included.

    A part of the table may stand for all of it if no tracks of other parts tie with its own: with
    ``token_tuples.tuple_buckets`` where ``none`` is a token and no weight is 0. Otherwise the whole table is needed.

    Args:
        codes: int16 (n, 5), -1 for none.
        weights: of the five modalities, not negative, one at least positive.
        none_is_a_token: whether ``none`` equals ``none``, or what is ``none`` in the written tokens is left out.

    Returns:
        int64 (n,).

    Raises:
        ValueError: this is no code matrix, or these are no weights.
    """
    check_codes(codes)
    counted = codes[:, checked_weights(weights) > 0]
    if not none_is_a_token:
        return _ties_without_none(counted)
    sets = equal_rows(counted)
    return sets.sizes[sets.numbers]


def expected_reciprocal_rank(ties: Counts) -> Doubles:
    """Mean of 1 / rank over the places among the first ``ties``: H(ties) / ties, with the harmonic number H."""
    from scipy.special import digamma

    return (digamma(ties + 1.0) + np.euler_gamma) / ties  # type: ignore[no-any-return]


def expected_hit(ties: Counts, k: int) -> Doubles:
    """Share of the places among the first ``ties`` that are among the first ``k``."""
    return np.minimum(k / ties, 1.0)


def _ties_without_none(codes: CodeMatrix) -> Counts:
    """Count ties for the tracks of one pattern of modalities after the other; there are at most 32 patterns."""
    patterns = (codes != NONE) @ (1 << np.arange(codes.shape[1]))
    ties = np.zeros(len(codes), np.int64)
    for pattern in np.unique(patterns):
        # Only tracks that have all these modalities can equal the written tokens in all of them.
        rows = np.flatnonzero(patterns & pattern == pattern)
        columns = np.flatnonzero(pattern >> np.arange(codes.shape[1]) & 1)
        sets = equal_rows(codes[np.ix_(rows, columns)])
        own = patterns[rows] == pattern
        ties[rows[own]] = sets.sizes[sets.numbers[own]]
    return ties
