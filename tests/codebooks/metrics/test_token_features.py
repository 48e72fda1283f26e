"""Features of tracks from the tokens of seeds."""

import numpy as np
from scipy.sparse import csr_matrix

from tracktokens.codebooks.matching.code_similarity import CodeSimilarity
from tracktokens.codebooks.matching.token_index import Matching, TokenIndex
from tracktokens.codebooks.metrics.code_affinity import learn_affinities
from tracktokens.codebooks.metrics.token_features import CodeAffinities, EqualCodes, SimilarCodes, WeightedScorer


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


def test_equal_codes_are_the_shares_of_seeds_with_a_code_and_ignore_none() -> None:
    np.testing.assert_array_equal(
        EqualCodes(CODES).features(rows(0, 2)),
        [
            [0.5, 0.5, 1, 1, 0],
            [0.5, 0.5, 1, 0, 0],
            [0.5, 0.5, 0, 1, 1],
            [0.5, 0.5, 1, 1, 1],
        ],
    )


def test_scores_are_weighted_sums() -> None:
    scores = WeightedScorer(EqualCodes(CODES), [25, 5, 5, 1, 1]).scores(rows(0, 2))
    np.testing.assert_allclose(scores, [21, 20, 17, 22])


def test_sums_that_are_equal_on_paper_tie() -> None:
    codes = np.zeros((3, 3), np.int16)
    codes[0, 2], codes[1, :2] = 1, 1
    scores = WeightedScorer(EqualCodes(codes), [0.1, 0.2, 0.3]).scores(rows(2))
    assert scores[0] == scores[1]


def test_similar_codes_of_one_seed_rank_as_graded_matching_does() -> None:
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 30, (300, 5)).astype(np.int16)
    spaces = [CodeSimilarity(draw.standard_normal((30, 2)).astype(np.float32)) for _ in range(5)]
    scores = WeightedScorer(SimilarCodes(codes, spaces), [25, 5, 5, 1, 1]).scores(rows(7))
    matches = TokenIndex(codes, spaces).match(codes[7], 300, Matching(graded=True))
    np.testing.assert_allclose(scores[matches.rows] / 37, matches.scores, atol=1e-9)
    assert np.count_nonzero(scores) == len(matches.rows)


def test_any_number_of_columns_has_features() -> None:
    codes = np.array([[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 0]], np.int16)
    playlists = csr_matrix(np.ones((1, 2)))
    affinity = CodeAffinities(codes, learn_affinities(codes.T, playlists, np.ones(2)), np.ones(2))
    assert affinity.features(rows(0)).shape == (2, 8)
    assert len(affinity.weights) == 8
    assert EqualCodes(codes).features(rows(0)).shape == (2, 7)


def test_the_last_feature_of_affinity_is_the_logarithm_of_the_playlists() -> None:
    affinity = CodeAffinities(
        CODES, learn_affinities(CODES.T, csr_matrix((0, 4)), np.zeros(4)), np.array([0, 1, 3, 7.0])
    )
    np.testing.assert_allclose(affinity.features(rows(0))[:, -1], np.log([1, 2, 4, 8]))
