"""Distinctive terms."""

import math

import numpy as np
import pytest

from tracktokens.codebooks.metrics.log_odds import PRIOR_TERMS, distinctiveness


def test_the_score_is_the_log_odds_ratio_in_standard_deviations() -> None:
    inside, everywhere = np.array([6, 4]), np.array([10, 90])
    a, b = PRIOR_TERMS * 0.1, PRIOR_TERMS * 0.9
    odds_inside, odds_outside = (6 + a) / (4 + b), (4 + a) / (86 + b)
    expected = math.log(odds_inside / odds_outside) / math.sqrt(1 / (6 + a) + 1 / (4 + a))
    first, second = distinctiveness(inside, everywhere, 10, 100)
    assert first == pytest.approx(expected)
    assert second < 0


def test_terms_are_scored_alike_with_others_and_alone() -> None:
    inside, everywhere = np.array([6, 0, 4]), np.array([10, 30, 90])
    alone = distinctiveness(inside[[0, 2]], everywhere[[0, 2]], 10, 130)
    assert alone.tolist() == distinctiveness(inside, everywhere, 10, 130)[[0, 2]].tolist()


def test_a_term_as_common_inside_as_outside_scores_nothing() -> None:
    assert distinctiveness(np.array([5, 20, 25]), np.array([10, 40, 50]), 50, 100) == pytest.approx([0, 0, 0])


def test_many_tracks_with_a_term_say_more_than_two() -> None:
    inside = np.array([2, 200, 798])
    everywhere = np.array([2, 200, 9798])
    rare, common, _ = distinctiveness(inside, everywhere, 1000, 10000)
    assert common > rare > 0


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="more often in the group"):
        distinctiveness(np.array([2]), np.array([1]), 2, 1)
    with pytest.raises(ValueError, match="not of the same terms"):
        distinctiveness(np.array([1, 1]), np.array([1]), 2, 1)
    with pytest.raises(ValueError, match="more than those of the group"):
        distinctiveness(np.array([2]), np.array([2]), 1, 2)
