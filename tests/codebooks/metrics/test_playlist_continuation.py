"""Continuation of playlists."""

import math

import numpy as np
import pytest

from tracktokens.codebooks.metrics.playlist_continuation import (
    Continuation,
    FixedScorer,
    TokenScorer,
    VectorScorer,
    first_rank,
    fit_weights,
    measure,
    token_parts,
)


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


CODES = np.array(
    [
        [0, 0, 0, 0, -1],
        [0, 1, 0, -1, -1],
        [1, 1, -1, 0, 2],
        [1, 0, 0, 0, 2],
    ],
    np.int16,
)


def test_parts_are_the_shares_of_seeds_with_a_code_and_ignore_none() -> None:
    np.testing.assert_array_equal(
        token_parts(CODES, CODES[[0, 2]]),
        [
            [0.5, 0.5, 1, 1, 0],
            [0.5, 0.5, 1, 0, 0],
            [0.5, 0.5, 0, 1, 1],
            [0.5, 0.5, 1, 1, 1],
        ],
    )


def test_token_scores_are_weighted_sums() -> None:
    scores = TokenScorer(CODES, [25, 5, 5, 1, 1]).scores(rows(0, 2))
    np.testing.assert_allclose(scores, [21, 20, 17, 22])


def test_vector_scores_are_weighted_mean_cosines() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    scores = VectorScorer({"audio": vectors, "tags": vectors[:, ::-1]}, {"audio": 2.0, "tags": 0.0}).scores(rows(0, 1))
    np.testing.assert_allclose(scores, [1, 1, 1.4], rtol=1e-6)


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
    gain = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert found.ndcg_at_20 == pytest.approx(gain / 2)


def test_nothing_to_continue_measures_as_zero() -> None:
    assert measure(FixedScorer(np.zeros(3)), []).playlists == 0


@pytest.fixture(scope="module")
def telling() -> tuple[np.ndarray, list[Continuation]]:
    """Playlists with one tags code each, and uninformative playlist codes."""
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 10, (500, 5)).astype(np.int16)
    playlists = []
    for number in range(400):
        tracks = np.flatnonzero(codes[:, 1] == number % 10)
        chosen = draw.permutation(tracks)[:10]
        playlists.append(Continuation(chosen[:5], chosen[5:]))
    return codes, playlists


def test_weights_go_to_the_informative_modality(telling: tuple[np.ndarray, list[Continuation]]) -> None:
    codes, playlists = telling
    weights = fit_weights(codes, playlists[:300], [25, 5, 5, 1, 1])
    assert max(weights) == 1
    assert weights[1] > 0.5
    fitted, usual = TokenScorer(codes, weights), TokenScorer(codes, [25, 5, 5, 1, 1])
    assert measure(fitted, playlists[300:]).mrr > measure(usual, playlists[300:]).mrr


def test_the_same_playlists_give_the_same_weights(telling: tuple[np.ndarray, list[Continuation]]) -> None:
    codes, playlists = telling
    assert fit_weights(codes, playlists[:10], [1] * 5) == fit_weights(codes, playlists[:10], [1] * 5)
