"""Matching gives the same tracks, in the same order, as scoring every track."""

import math

import numpy as np
import pytest

from tracktokens.codebooks.matching import graded_search, inverted_index
from tracktokens.codebooks.matching.code_similarity import CodeSimilarity
from tracktokens.codebooks.matching.token_index import Matching, TokenIndex

NOTHING = -2


def written(*codes):
    return np.array(codes, np.int16)


def table(*rows):
    return np.array(rows, np.int16)


def plain_ranking(codes, query, how, k, similarity, allowed=None):
    """Score the rows one by one, by a dictionary of similarities; slow and simple."""
    places = [m for m in range(5) if query[m] != NOTHING and (how.none_is_a_token or query[m] != -1)]
    whole = sum(how.weights[m] for m in places)
    scored = []
    for row, has in enumerate(codes.tolist()):
        score = sum(how.weights[m] * similarity(m, query[m], has[m]) for m in places) / whole if whole else 0.0
        if score > 1e-12 and (allowed is None or allowed[row]):
            scored.append((-round(score, 9), row))
    return [(row, -score) for score, row in sorted(scored)[:k]]


def equal(modality, left, right):
    return float(left == right)


def assert_same(found, expected):
    assert found.rows.tolist() == [row for row, _ in expected]
    assert found.scores.tolist() == pytest.approx([score for _, score in expected], abs=1e-6)
    np.testing.assert_allclose(found.similarities @ found.shares, found.scores, atol=1e-12)


def test_the_score_of_a_track_with_all_tokens_is_never_above_1():
    draw = np.random.default_rng(9)
    index = TokenIndex(table([0, 1, 2, 3, 0]), [CodeSimilarity(CENTROIDS)] * 5)
    for graded in (False, True):
        for _ in range(50):
            how = Matching(tuple(draw.random(5)), graded=graded)
            assert 1 - 1e-12 < index.match(written(0, 1, 2, 3, 0), matching=how).scores[0] <= 1


def test_a_track_scores_the_weights_of_its_equal_codes_over_those_that_were_written():
    index = TokenIndex(table([3, 0, 0, 0, 7], [3, 0, 0, 0, 1], [2, 0, 0, 0, 7], [2, 0, 0, 0, 1]))
    found = index.match(written(3, NOTHING, NOTHING, NOTHING, 7))
    assert found.rows.tolist() == [0, 1, 2]  # the last one has nothing in common
    assert found.scores.tolist() == pytest.approx([1, 25 / 26, 1 / 26])
    assert found.shares.tolist() == pytest.approx([25 / 26, 0, 0, 0, 1 / 26])
    assert found.similarities.tolist() == [[1, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]


def test_the_full_tuple_scores_by_the_weights_of_the_paper():
    index = TokenIndex(table([9, 2, 3, 4, 5], [1, 9, 9, 9, 9], [1, 2, 3, 4, 5]))
    found = index.match(written(1, 2, 3, 4, 5))
    assert found.rows.tolist() == [2, 1, 0]
    assert found.scores.tolist() == pytest.approx([1, 25 / 37, 12 / 37])


def test_of_tracks_with_the_same_score_the_earlier_row_comes_first():
    index = TokenIndex(table([0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0]))
    query = written(NOTHING, 1, 1, NOTHING, NOTHING)  # tags and metadata weigh the same
    assert index.match(query).rows.tolist() == [3, 0, 1, 2]
    assert index.match(query, 2).rows.tolist() == [3, 0]


def test_a_track_that_lacks_a_modality_gains_nothing_by_it():
    index = TokenIndex(table([1, -1, -1, -1, -1], [1, 2, 3, -1, 0]))
    found = index.match(written(1, 2, 3, NOTHING, 9))
    assert found.rows.tolist() == [1, 0]
    assert found.scores.tolist() == pytest.approx([35 / 36, 25 / 36])


def test_a_written_none_asks_for_tracks_without_the_modality_unless_it_is_no_token():
    index = TokenIndex(table([1, 2, 3, 4, 5], [1, 2, 3, -1, 5]))
    query = written(1, NOTHING, NOTHING, -1, NOTHING)
    assert index.match(query).rows.tolist() == [1, 0]
    assert index.match(query).scores.tolist() == pytest.approx([1, 25 / 26])
    other = index.match(query, matching=Matching(none_is_a_token=False))
    assert (other.rows.tolist(), other.scores.tolist()) == ([0, 1], [1, 1])


def test_nothing_is_found_by_tokens_that_no_track_has():
    index = TokenIndex(table([1, 2, 3, 4, 5]))
    assert index.match(written(30_000, 7, NOTHING, -1, NOTHING)).rows.tolist() == []
    assert index.match(written(1, -2, -2, -2, -2), matching=Matching((0, 1, 1, 1, 1))).rows.tolist() == []
    assert index.match(written(-1, -2, -2, -2, -2), matching=Matching(none_is_a_token=False)).rows.tolist() == []
    empty = TokenIndex(np.zeros((0, 5), np.int16), [CodeSimilarity(np.zeros((2, 1), np.float32))] * 5)
    assert empty.match(written(1, 2, 3, 4, 5)).rows.tolist() == []
    assert empty.match(written(1, 2, 3, 4, 5), matching=Matching(graded=True)).rows.tolist() == []


CENTROIDS = np.array([[0, 0], [0, 1], [4, 0], [4, 1]], np.float32)
"""Corners of a rectangle: two pairs each are at squared distance 1, 16 and 17, so their mean is 34/3.

Codes 0 and 1 have closeness 1 - 3/34 and similarity (31/34)**4 = 0.69, rounded down to 1/2; 0 and 2 have neither.
"""


def test_similarity_is_0_for_codes_as_far_apart_as_any_and_has_few_levels():
    assert CodeSimilarity(CENTROIDS).to(0).tolist() == [1, 1 / 2, 0, 0, 0]


def test_most_codes_have_no_similarity_so_that_equal_codes_are_not_outvoted():
    spread = np.random.default_rng(0).standard_normal((500, 16)).astype(np.float32)
    similarities = CodeSimilarity(spread).to(0)[1:-1]
    assert np.mean(similarities > 0) < 0.01


def test_similarity_does_not_change_when_a_space_is_moved_turned_or_scaled():
    draw = np.random.default_rng(0)
    points = draw.standard_normal((30, 6))
    turned = points @ np.linalg.qr(draw.standard_normal((6, 6)))[0] * 7 + 3
    both = [CodeSimilarity(space.astype(np.float32)).to(4) for space in (points, turned)]
    assert both[0].tolist() == both[1].tolist()
    distances = ((points - points[4]) ** 2).sum(axis=1)
    pairs = [((points[a] - points[b]) ** 2).sum() for a in range(30) for b in range(a)]
    assert both[0][:-1].tolist() == [level(distance / np.mean(pairs)) for distance in distances]


def level(distance):
    """Similarity at a multiple of the mean squared distance."""
    return math.floor(4 * max(0, 1 - distance) ** 4) / 4


def test_none_is_similar_to_nothing_but_none():
    similarity = CodeSimilarity(CENTROIDS)
    assert similarity.to(-1).tolist() == [0, 0, 0, 0, 1]
    assert similarity.to(-2).tolist() == [0, 0, 0, 0, 0]
    assert similarity.to(4).tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("centroids", [np.zeros((0, 3)), np.ones((1, 3)), np.ones((2, 3))])
def test_codes_without_any_distance_are_similar_to_themselves(centroids):
    similarity = CodeSimilarity(centroids.astype(np.float32))
    for code in range(len(centroids)):
        assert similarity.to(code).tolist() == [float(other == code) for other in range(len(centroids))] + [0.0]
    assert similarity.to(-1)[-1] == 1


def test_in_graded_mode_a_near_code_counts_by_its_similarity():
    index = TokenIndex(table([1, -1, -1, -1, 1], [3, -1, -1, -1, 0], [0, 0, 0, 0, 2]), [CodeSimilarity(CENTROIDS)] * 5)
    found = index.match(written(0, NOTHING, NOTHING, NOTHING, 0), matching=Matching((3, 1, 1, 1, 1), graded=True))
    assert found.rows.tolist() == [2, 0, 1]
    assert found.scores.tolist() == pytest.approx([3 / 4, 1 / 2, 1 / 4])
    np.testing.assert_allclose(found.similarities[:, [0, 4]], [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-7)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that small catalogs have many of them."""
    monkeypatch.setattr(inverted_index, "BLOCK_ROWS", 16)
    monkeypatch.setattr(graded_search, "BLOCK_ROWS", 16)
    monkeypatch.setattr(graded_search, "FIRST_ROWS", 4)


def queries(draw, count, codes):
    drawn = draw.integers(-2, codes + 1, (count, 5)).astype(np.int16)
    drawn[0] = NOTHING
    return drawn


WEIGHTS = [
    (25, 5, 5, 1, 1),
    (1, 1, 1, 1, 1),
    (0, 3, 0, 0.5, 2),
    (7, 0, 0, 0, 0),
    (1, 2, 4, 8, 16),
    (2e13, 1e13, 1e12, 1e12, 3e12),
    (1e-13, 7e-13, 0, 2e-13, 3e-13),
]


@pytest.mark.parametrize("none_is_a_token", [True, False])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("codes", [2, 40])  # lists that are read in the column, and lists that are read as lists
@pytest.mark.usefixtures("small_blocks")
def test_exact_mode_agrees_with_scoring_every_track(codes, weights, none_is_a_token):
    draw = np.random.default_rng(codes)
    rows = draw.integers(-1, codes, (300, 5)).astype(np.int16)
    allowed = draw.random(300) < 0.4
    how = Matching(weights, none_is_a_token=none_is_a_token)
    index = TokenIndex(rows)
    for query in queries(draw, 30, codes):
        for k in (1, 7, 300):
            assert_same(index.match(query, k, how), plain_ranking(rows, query, how, k, equal))
        assert_same(index.match(query, 7, how, allowed), plain_ranking(rows, query, how, 7, equal, allowed))


@pytest.mark.parametrize("none_is_a_token", [True, False])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.usefixtures("small_blocks")
def test_graded_mode_agrees_with_scoring_every_track(weights, none_is_a_token):
    draw = np.random.default_rng(5)
    centroids = [draw.standard_normal((9, 3)).astype(np.float32) for _ in range(5)]

    pairs = [np.array([[math.dist(a, b) ** 2 for a in points] for b in points]) for points in centroids]

    def similar(modality, left, right):
        if -1 in (left, right) or left >= 9:
            return float(left == right)
        distances = pairs[modality]
        return level(distances[left, right] / (distances.sum() / 72))

    rows = draw.integers(-1, 9, (200, 5)).astype(np.int16)
    rows[100:] = rows[:100]  # ties
    allowed = draw.random(200) < 0.4
    how = Matching(weights, graded=True, none_is_a_token=none_is_a_token)
    index = TokenIndex(rows, [CodeSimilarity(space) for space in centroids])
    for query in queries(draw, 12, 9):
        for k in (1, 7, 200):
            assert_ranks_alike(index.match(query, k, how), plain_ranking(rows, query, how, k, similar))
        assert_ranks_alike(index.match(query, 7, how, allowed), plain_ranking(rows, query, how, 7, similar, allowed))


def assert_ranks_alike(found, expected):
    """Check for equal scores, and for equal rows, except where scores differ by rounding."""
    scores = [score for _, score in expected]
    assert found.scores.tolist() == pytest.approx(scores, abs=1e-6)
    places = {row: place for place, (row, _) in enumerate(expected)}
    for place, row in enumerate(found.rows.tolist()):
        tied = abs(scores[place] - scores[-1]) < 1e-6  # the last of them may be another of its ties
        assert tied or scores[places[row]] == pytest.approx(scores[place], abs=1e-6)


def test_many_queries_find_what_each_finds():
    rows = np.random.default_rng(1).integers(-1, 4, (100, 5)).astype(np.int16)
    index = TokenIndex(rows)
    for query, found in zip(rows[:9], index.match_batch(rows[:9], 5), strict=True):
        assert found.rows.tolist() == index.match(query, 5).rows.tolist()
        assert found.scores[0] == 1


def test_a_wrong_call_is_refused():
    index = TokenIndex(table([1, 2, 3, 4, 5]))
    with pytest.raises(ValueError, match="int16 of shape"):
        index.match(np.array([1, 2, 3], np.int16))
    with pytest.raises(ValueError, match="int16 of shape"):
        index.match(written(1, 2, 3, 4, -3))
    with pytest.raises(ValueError, match="at least 1"):
        index.match(written(1, 2, 3, 4, 5), 0)
    with pytest.raises(ValueError, match="allowed rows"):
        index.match(written(1, 2, 3, 4, 5), allowed=np.ones(2, bool))
    with pytest.raises(ValueError, match="graded mode needs"):
        index.match(written(1, 2, 3, 4, 5), matching=Matching(graded=True))
    with pytest.raises(ValueError, match="5 weights"):
        Matching((1, 2))
    with pytest.raises(ValueError, match="audio code 5 has no centroid"):
        TokenIndex(table([1, 2, 3, 3, 5]), [CodeSimilarity(CENTROIDS)] * 5)
