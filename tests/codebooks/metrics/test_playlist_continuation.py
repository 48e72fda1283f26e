"""Continuation of playlists."""

import math

import numpy as np
import pytest

from tracktokens.codebooks.metrics.playlist_continuation import (
    Continuation,
    first_rank,
    measure,
    outcomes,
    summarize,
)
from tracktokens.codebooks.metrics.rival_scorers import FixedScorer


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_of_equal_scores_the_lower_row_comes_first() -> None:
    scores = np.array([1.0, 3, 3, 3, 2])
    assert first_rank(scores, rows(3)) == 3
    assert first_rank(scores, rows(4, 2)) == 2
    assert first_rank(scores, rows(0)) == 5


def test_measures_are_those_worked_out_by_hand() -> None:
    scorer = FixedScorer(np.arange(200, 0, -1).astype(float))  # row 0 is best
    found = measure(scorer, [Continuation(rows(0), rows(1, 3)), Continuation(rows(5), rows(150))])
    # Ranks: rows 1 and 3 are first and third once the seed is out; row 150 is 150th, since row 5 is out.
    assert found.playlists == 2
    assert found.mrr == pytest.approx((1 + 1 / 150) / 2)
    assert (found.hit_at_1, found.hit_at_10, found.hit_at_100) == (0.5, 0.5, 0.5)
    assert (found.recall_at_1, found.recall_at_10, found.recall_at_20) == (0.25, 0.5, 0.5)
    gain = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert found.ndcg_at_20 == pytest.approx(gain / 2)


def test_nothing_to_continue_measures_as_zero() -> None:
    assert measure(FixedScorer(np.zeros(3)), []).playlists == 0


def test_standard_errors_are_those_of_the_means() -> None:
    scorer = FixedScorer(np.arange(200, 0, -1).astype(float))
    found = measure(
        scorer, [Continuation(rows(0), rows(1)), Continuation(rows(0), rows(2)), Continuation(rows(0), rows(4))]
    )
    # Reciprocal ranks 1, 1/2, 1/4: their standard deviation, divided by the root of 3.
    assert found.standard_errors["mrr"] == pytest.approx(np.std([1, 1 / 2, 1 / 4], ddof=1) / math.sqrt(3))
    assert found.standard_errors["hit_at_1"] == pytest.approx(math.sqrt(1 / 3 / 3))
    assert measure(scorer, [Continuation(rows(0), rows(1))]).standard_errors["mrr"] == 0


def test_ties_count_the_rows_with_the_score_of_the_best_target() -> None:
    scorer = FixedScorer(np.array([9.0, 3, 3, 3, 1, 3]))
    found = measure(scorer, [Continuation(rows(1), rows(3, 4)), Continuation(rows(0), rows(4))])
    # Rows 2, 3 and 5 have the score of row 3, the seed does not count; row 4 is alone.
    assert (found.mean_ties, found.median_ties) == (2, 2)


def test_parts_with_scorers_of_their_own_are_averaged_together() -> None:
    up, down = FixedScorer(np.arange(3.0)), FixedScorer(-np.arange(3.0))
    one, other = Continuation(rows(0), rows(1)), Continuation(rows(2), rows(0))
    found = summarize([outcomes(up, [one]), outcomes(down, [other]), outcomes(up, [])])
    assert (found.playlists, found.mrr) == (2, pytest.approx((1 / 2 + 1) / 2))
