"""Quality of the rankings of turns of conversations, as the evaluator of the Music-CRS challenge measures them.

Each turn has a ranking of at most :data:`DEPTH` distinct tracks, and one gold track or several. Means are over the
conversations of each turn number, and then over the turn numbers, so that each number counts alike. Definitions:
``nlp4musa/music-crs-evaluator``, ``metrics.py`` and ``evaluate_devset.py``; nDCG by Järvelin and Kekäläinen (2002).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.numerics.arrays import Counts, Doubles, Integers, Mask, RowIndices

DEPTH = 20
"""Ranks that count."""

CUTS = (1, 10, 20)
"""Ranks that nDCG and Hit include."""

METRICS = (*(f"ndcg@{cut}" for cut in CUTS), *(f"hit@{cut}" for cut in CUTS), "mrr")
"""Columns of :func:`turn_values`."""

RESAMPLES = 1000
"""Bootstrap samples of an interval."""

INTERVAL = (2.5, 97.5)
"""Percentiles of the bounds of an interval."""


@dataclass(frozen=True)
class Estimate:
    """A mean with the bounds of its 95 % bootstrap interval over conversations."""

    mean: float
    low: float
    high: float


def found_ranks(ranking: RowIndices, gold: RowIndices) -> Mask:
    """Mark the ranks with a gold track: bool (DEPTH,), False from the end of the ranking on.

    Example:
        >>> import numpy as np
        >>> found_ranks(np.array([4, 7, 1]), np.array([1])).nonzero()[0].tolist()
        [2]
    """
    found = np.zeros(DEPTH, bool)
    first = ranking[:DEPTH]
    found[: len(first)] = np.isin(first, gold)
    return found


def turn_values(found: Mask, golds: Counts) -> Doubles:
    """Compute :data:`METRICS` of turns: float64 (turns, metrics).

    Args:
        found: bool (turns, DEPTH), see :func:`found_ranks`.
        golds: int64 (turns,), number of gold tracks, at least 1.

    Example:
        >>> import numpy as np
        >>> found = np.zeros((1, DEPTH), bool)
        >>> found[0, 2] = True
        >>> values = turn_values(found, np.array([1]))[0]
        >>> dict(zip(METRICS, values.round(3).tolist()))
        {'ndcg@1': 0.0, 'ndcg@10': 0.5, 'ndcg@20': 0.5, 'hit@1': 0.0, 'hit@10': 1.0, 'hit@20': 1.0, 'mrr': 0.333}
    """
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    ideal = np.cumsum(discounts)
    gains = [found[:, :cut] @ discounts[:cut] / ideal[np.minimum(golds, cut) - 1] for cut in CUTS]
    hits = [found[:, :cut].any(axis=1) for cut in CUTS]
    reciprocal = np.where(found.any(axis=1), 1 / (1 + found.argmax(axis=1)), 0.0)
    return np.column_stack([*gains, *hits, reciprocal]).astype(np.float64)


def estimate_means(values: Doubles, conversations: Integers, turns: Integers, seed: int) -> list[Estimate]:
    """Average values over conversations per turn, then over turns, with bootstrap intervals.

    A bootstrap sample draws whole conversations, since the turns of one depend on each other (percentile method: Efron
    and Tibshirani, 1993). Equal seeds draw equal samples, so systems are compared on the same ones.

    Args:
        values: float64 (n, metrics).
        conversations: int64 (n,), number of each value's conversation.
        turns: int64 (n,), number of its turn; turns of other numbers than those here do not count.
        seed: seed of the samples.

    Example:
        >>> import numpy as np
        >>> values = np.array([[1.0], [0.0], [1.0]])
        >>> estimate_means(values, np.array([0, 1, 0]), np.array([1, 1, 2]), seed=0)[0].mean
        0.75
    """
    names, rows = np.unique(conversations, return_inverse=True)
    numbers, columns = np.unique(turns, return_inverse=True)
    sums = np.zeros((len(names), len(numbers), values.shape[1]))
    counts = np.zeros((len(names), len(numbers)))
    np.add.at(sums, (rows, columns), values)
    np.add.at(counts, (rows, columns), 1)
    samples = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    means = _means_over_turns(np.ones((1, len(names))), sums, counts)[0]
    low, high = np.percentile(_means_over_turns(samples, sums, counts), INTERVAL, axis=0)
    return [Estimate(*bounds) for bounds in zip(means.tolist(), low.tolist(), high.tolist(), strict=True)]


def catalog_diversity(rankings: Iterable[RowIndices], tracks: int) -> float:
    """Compute the share of a catalog of ``tracks`` tracks that is in any ranking.

    Example:
        >>> import numpy as np
        >>> catalog_diversity([np.array([3, 1]), np.array([3])], tracks=8)
        0.25
    """
    distinct = {row for ranking in rankings for row in ranking.tolist()}
    return len(distinct) / tracks if tracks else 0.0


def distinct_ngrams(texts: Iterable[str], length: int) -> float | None:
    """Compute the distinct n-grams of words of some texts, divided by all; None without any n-gram.

    Words are separated by white space. With length 2 this is distinct-2 (Li et al., 2016, arXiv 1510.03055), with
    length 1 the evaluator's lexical diversity.

    Example:
        >>> distinct_ngrams(["a song for you", "a song"], 2)
        0.75
    """
    ngrams = [ngram for text in texts for ngram in _ngrams(text.split(), length)]
    return len(set(ngrams)) / len(ngrams) if ngrams else None


def _ngrams(words: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(length)), strict=False)


def _means_over_turns(weights: Doubles | Integers, sums: Doubles, counts: Doubles) -> Doubles:
    """Average sums (conversations, turns, metrics) with weights (samples, conversations): (samples, metrics)."""
    totals = weights @ counts
    per_turn = np.tensordot(weights, sums, axes=1) / np.maximum(totals, 1)[:, :, np.newaxis]
    means: Doubles = per_turn.sum(axis=1) / (totals > 0).sum(axis=1, keepdims=True)
    return means
