"""Upper bound of recommendation with a token table: the ranks that a perfect language model could reach.

The model names a track by writing all tokens of the track. The catalog is then ranked in exact mode: a track scores the
sum of the weights of the modalities with equal codes, divided by the sum of all weights that count. The wanted track
scores 1, and no track scores more. So its rank depends only on the number of tracks that also score 1, which are in
random order.

Of the weights it only matters which are 0: those modalities do not distinguish tracks. Renormalising weights over the
written modalities divides the scores of a ranking by one number, and does not change it.

``none``. The model also writes ``<|lyrics_none|>`` for a track without lyrics, and written tokens can be matched. So
``none`` is a token like all others here: it is equal to ``none`` and to nothing else. A matcher may instead leave
written ``none`` tokens out of the score. Then a track with few modalities also ties with all tracks that have its codes
and others besides. ``none_is_a_token=False`` computes the bound of that matcher, which is lower.
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
    """Expected rank of the wanted track, as means over tracks; None without tracks.

    Attributes:
        mrr: mean of 1 / rank.
        hit_at_1: probability that the track is first.
        hit_at_10: probability that the track is among the first ten.
    """

    mrr: float | None
    hit_at_1: float | None
    hit_at_10: float | None


@dataclass(frozen=True)
class Oracle:
    """Upper bound for a perfect language model.

    Attributes:
        tracks: wanted tracks, each once.
        every_track: means with equal weights.
        by_popularity: means weighted by popularity; all None if popularity is not known.
    """

    tracks: int
    every_track: ExpectedRanks
    by_popularity: ExpectedRanks


class OracleAccumulator:
    """Accumulator of :class:`Oracle` over the tie sizes of tracks."""

    def __init__(self) -> None:
        self._tracks = 0
        self._every_track = _RankMeans()
        self._by_popularity = _RankMeans()

    def update(self, ties: Counts, popularity: Weights | None = None) -> None:
        """Add tracks.

        Args:
            ties: int64 (n,), number of tracks that tie with each track, itself included; see :func:`tie_sizes`.
            popularity: float64 (n,), not negative; in every update or in none.

        Raises:
            ValueError: shapes differ, or a popularity is negative or not finite.
        """
        self._tracks += len(ties)
        self._every_track.add(ties)
        if popularity is not None:
            self._by_popularity.add(ties, popularity)

    def merge(self, other: "OracleAccumulator") -> None:
        """Add the tracks of another accumulator."""
        self._tracks += other._tracks
        self._every_track.merge(other._every_track)
        self._by_popularity.merge(other._by_popularity)

    def finalize(self) -> Oracle:
        """Compute the means over all tracks."""
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
    """Count, for each track, the tracks that also score 1 when its tokens are written, itself included.

    A part of the table is enough if no tracks of other parts tie with its tracks. Buckets by
    ``code_matrix.tuple_buckets`` have this property if ``none`` is a token and no weight is 0. In all other cases pass
    the whole table.

    Example:
        >>> import numpy as np
        >>> codes = np.array([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4, -1]], np.int16)
        >>> tie_sizes(codes).tolist(), tie_sizes(codes, none_is_a_token=False).tolist()
        ([2, 2, 1], [2, 2, 3])

    Args:
        codes: int16 (n, M), -1 for none.
        weights: one per modality in token order, none negative and at least one positive; further columns count.
        none_is_a_token: whether ``none`` equals ``none``; if not, written ``none`` tokens are left out of the score.

    Returns:
        int64 (n,).

    Raises:
        ValueError: ``codes`` is not a code matrix, or the weights are invalid.
    """
    check_codes(codes)
    positive = checked_weights(weights) > 0
    counted = codes[:, np.pad(positive, (0, codes.shape[1] - len(positive)), constant_values=True)]
    if not none_is_a_token:
        return _ties_without_none(counted)
    groups = equal_rows(counted)
    return groups.sizes[groups.numbers]


def expected_reciprocal_rank(ties: Counts) -> Doubles:
    """Compute the mean of 1 / rank over the ranks 1 to ``ties``: H(ties) / ties, with the harmonic number H.

    Example:
        >>> import numpy as np
        >>> expected_reciprocal_rank(np.array([1, 2])).round(6).tolist()
        [1.0, 0.75]
    """
    from scipy.special import digamma

    return (digamma(ties + 1.0) + np.euler_gamma) / ties  # type: ignore[no-any-return]


def expected_hit(ties: Counts, k: int) -> Doubles:
    """Compute the share of the ranks 1 to ``ties`` that are at most ``k``."""
    return np.minimum(k / ties, 1.0)


def _ties_without_none(codes: CodeMatrix) -> Counts:
    """Count ties separately for each pattern of present modalities; there are at most 2**M patterns."""
    patterns = (codes != NONE) @ (1 << np.arange(codes.shape[1]))
    ties = np.zeros(len(codes), np.int64)
    for pattern in np.unique(patterns):
        # Only tracks with all these modalities can equal the written tokens in all of them.
        rows = np.flatnonzero(patterns & pattern == pattern)
        columns = np.flatnonzero(pattern >> np.arange(codes.shape[1]) & 1)
        groups = equal_rows(codes[np.ix_(rows, columns)])
        own = patterns[rows] == pattern
        ties[rows[own]] = groups.sizes[groups.numbers[own]]
    return ties
