"""A perfect model ranks each track by the track's own tokens; only ties keep it from rank 1."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
from tracktokens.codebooks.metrics.oracle import (
    OracleAccumulator,
    expected_hit,
    expected_reciprocal_rank,
    tie_sizes,
)
from tracktokens.codebooks.tokens.code_matrix import tuple_buckets


def reached(ties, popularity=None):
    gathered = OracleAccumulator()
    gathered.update(np.array(ties, np.int64), None if popularity is None else np.array(popularity, np.float64))
    return gathered.finalize()


def scores(codes, weights, none_is_a_token):
    """Score of every track (column) for each track's own tokens (row); slow and simple."""
    table = np.zeros((len(codes), len(codes)))
    for query, written in enumerate(codes):
        counted = [m for m in range(5) if none_is_a_token or written[m] >= 0]
        whole = sum(weights[m] for m in counted)
        for track, has in enumerate(codes):
            table[query, track] = sum(weights[m] for m in counted if written[m] == has[m]) / whole if whole else 0
    return table


def ranked(codes, weights, none_is_a_token, k):
    """Mean reciprocal rank and hit rate of each track by sorting all scores, averaged over ties."""
    reciprocal, hits = [], []
    for own, row in enumerate(scores(codes, weights, none_is_a_token)):
        in_order = np.sort(row)[::-1]
        places = 1 + np.flatnonzero(in_order == row[own])
        reciprocal.append(np.mean(1 / places))
        hits.append(np.mean(places <= k))
    return np.mean(reciprocal), np.mean(hits)


@pytest.mark.parametrize("none_is_a_token", [True, False])
@pytest.mark.parametrize("weights", [MATCHING_WEIGHTS, (1, 1, 1, 1, 1), (0, 3, 0, 0.5, 2), (7, 0, 0, 0, 0)])
def test_the_oracle_agrees_with_ranking_the_catalog_by_all_scores(weights, none_is_a_token):
    codes = np.random.default_rng(3).integers(-1, 2, (120, 5)).astype(np.int16)
    oracle = reached(tie_sizes(codes, weights, none_is_a_token=none_is_a_token)).every_track
    assert (oracle.mrr, oracle.hit_at_1) == pytest.approx(ranked(codes, weights, none_is_a_token, 1))
    assert oracle.hit_at_10 == pytest.approx(ranked(codes, weights, none_is_a_token, 10)[1])


def test_three_tracks_with_the_same_tokens_and_one_with_its_own():
    oracle = reached(tie_sizes(np.array([[1] * 5, [1] * 5, [2] * 5, [1] * 5], np.int16)))
    assert oracle.tracks == 4
    # One of three places: (1 + 1/2 + 1/3) / 3 for each of the three.
    assert oracle.every_track.mrr == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)
    assert oracle.every_track.hit_at_1 == pytest.approx((3 * 1 / 3 + 1) / 4)
    assert oracle.every_track.hit_at_10 == 1
    assert oracle.by_popularity.mrr is None


def test_popular_tracks_count_more():
    oracle = reached([1, 2], popularity=[1, 3])
    assert oracle.by_popularity.mrr == pytest.approx((1 * 1 + 3 * 0.75) / 4)
    assert oracle.by_popularity.hit_at_1 == pytest.approx((1 * 1 + 3 * 0.5) / 4)
    assert oracle.every_track.mrr == pytest.approx((1 + 0.75) / 2)


def test_more_than_ten_ties_do_not_all_fit_into_ten_places():
    np.testing.assert_allclose(expected_hit(np.array([1, 10, 12, 40]), 10), [1, 1, 10 / 12, 0.25])


def test_expected_reciprocal_ranks_are_harmonic_numbers_over_ties():
    ties = np.array([1, 2, 3, 1000, 1_000_000])
    expected = [np.mean(1 / np.arange(1, size + 1)) for size in ties]
    np.testing.assert_allclose(expected_reciprocal_rank(ties), expected, rtol=1e-12)
    assert expected_reciprocal_rank(ties)[0] == 1


def test_none_is_a_token_that_only_none_equals():
    bare, full, other = [1, 1, 1, -1, 1], [1, 1, 1, 4, 1], [1, 1, 1, 5, 1]
    codes = np.array([bare, full, other, bare], np.int16)
    np.testing.assert_array_equal(tie_sizes(codes), [2, 1, 1, 2])
    # Without none as a token, the bare track ties with all others, but they do not tie with it.
    np.testing.assert_array_equal(tie_sizes(codes, none_is_a_token=False), [4, 1, 1, 4])


def test_tracks_without_tokens_tie_with_each_other_or_with_the_whole_catalog():
    codes = np.array([[-1] * 5, [-1] * 5, [1] * 5], np.int16)
    np.testing.assert_array_equal(tie_sizes(codes), [2, 2, 1])
    np.testing.assert_array_equal(tie_sizes(codes, none_is_a_token=False), [3, 3, 1])


def test_a_modality_without_weight_does_not_tell_tracks_apart():
    codes = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 2]], np.int16)
    np.testing.assert_array_equal(tie_sizes(codes), [1, 1])
    np.testing.assert_array_equal(tie_sizes(codes, (25, 5, 5, 1, 0)), [2, 2])


def test_parts_that_are_divided_by_tuple_merge_to_the_whole_in_any_order():
    rng = np.random.default_rng(4)
    codes = rng.integers(-1, 2, (2000, 5)).astype(np.int16)
    popularity = rng.lognormal(0, 3, 2000)
    whole = reached(tie_sizes(codes), popularity)
    buckets = tuple_buckets(codes, 8)
    for _ in range(3):
        merged = OracleAccumulator()
        for bucket in rng.permutation(8):
            rows = buckets == bucket
            part = OracleAccumulator()
            part.update(tie_sizes(codes[rows]), popularity[rows])
            merged.merge(part)
        assert merged.finalize() == whole


def test_no_tracks_reach_nothing_and_it_is_json_all_the_same():
    oracle = reached(tie_sizes(np.zeros((0, 5), np.int16)), [])
    assert (oracle.tracks, oracle.every_track.mrr, oracle.by_popularity.hit_at_10) == (0, None, None)
    json.dumps(asdict(oracle), allow_nan=False)


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (0, 0, 0, 0, 0), (1, 1, 1, 1, -1), (1, 1, 1, 1, np.nan)])
def test_what_are_no_weights_is_refused(weights):
    with pytest.raises(ValueError, match="5 weights"):
        tie_sizes(np.zeros((1, 5), np.int16), weights)


@pytest.mark.parametrize("popularity", [[-1.0], [np.nan], [np.inf], [1.0, 2.0]])
def test_a_popularity_that_is_none_is_refused(popularity):
    with pytest.raises(ValueError, match=r"negative or NaN|finite|shape"):
        reached([1], popularity)
