"""Metrics of turns, against hand-made values and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from tracktokens.codebooks.metrics.turn_ranking import (
    DEPTH,
    METRICS,
    catalog_diversity,
    distinct_ngrams,
    estimate_means,
    found_ranks,
    turn_values,
)


def test_ndcg_is_that_of_scikit_learn_for_one_gold_track_and_for_several() -> None:
    draw = np.random.default_rng(0)
    for golds in (1, 2, 5, 30):
        ranking, gold = draw.permutation(60), draw.choice(60, golds, replace=False)
        relevant = np.isin(np.arange(60), gold)
        scores = np.empty(60)
        scores[ranking] = np.arange(60, 0, -1)
        values = dict(zip(METRICS, turn_values(found_ranks(ranking, gold)[None], np.array([golds]))[0], strict=True))
        for cut in (1, 10, 20):
            assert values[f"ndcg@{cut}"] == pytest.approx(ndcg_score([relevant], [scores], k=cut))
            assert values[f"hit@{cut}"] == relevant[ranking[:cut]].any()
        first = np.flatnonzero(relevant[ranking[:DEPTH]])
        assert values["mrr"] == (1 / (1 + first[0]) if len(first) else 0)


def test_ranks_after_the_twentieth_do_not_count() -> None:
    assert not found_ranks(np.arange(40), np.array([DEPTH])).any()
    assert found_ranks(np.arange(40), np.array([DEPTH - 1])).argmax() == DEPTH - 1


def test_each_turn_number_counts_alike_however_many_conversations_have_it() -> None:
    values = np.array([[0.0], [0.0], [0.0], [1.0]])
    [estimate] = estimate_means(values, np.array([0, 1, 2, 2]), np.array([1, 1, 1, 2]), seed=0)
    assert estimate.mean == 0.5


def test_an_interval_is_that_of_resampled_conversations() -> None:
    draw = np.random.default_rng(1)
    conversations, turns = np.repeat(np.arange(40), 3), np.tile([1, 2, 3], 40)
    values = (draw.random((120, 1)) + np.repeat(draw.random((40, 1)), 3, axis=0)) / 2
    per_conversation = values.reshape(40, 3).mean(axis=1)
    samples = [per_conversation[draw.integers(0, 40, 40)].mean() for _ in range(4000)]
    [estimate] = estimate_means(values, conversations, turns, seed=0)
    assert estimate.mean == pytest.approx(values.mean())
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(samples, [2.5, 97.5])), abs=0.01)
    assert [estimate] == estimate_means(values, conversations, turns, seed=0)
    assert [estimate] != estimate_means(values, conversations, turns, seed=1)


def test_one_conversation_has_an_interval_without_width() -> None:
    [estimate] = estimate_means(np.array([[0.25]]), np.array([7]), np.array([3]), seed=0)
    assert (estimate.mean, estimate.low, estimate.high) == (0.25, 0.25, 0.25)


def test_diversities_of_nothing() -> None:
    assert catalog_diversity([], 0) == 0
    assert distinct_ngrams(["", "word"], 2) is None
    assert distinct_ngrams(["to be or not to be"], 2) == 4 / 5
    assert distinct_ngrams(["a b", "b a"], 1) == 0.5
