"""Codes keep some of the nearest tracks by full vectors."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.metrics.neighbour_recall import NeighbourRecallAccumulator, neighbour_recall_of_tuples


def make_codebook(centroids, unit_length=False):
    return Codebook("audio", "encoder", Preprocessing(unit_length), np.asarray(centroids, np.float32), 32767)


def measured(codebook, vectors, queries, neighbours, parts=1):
    """Recall of queries, given as rows of the vectors."""
    codes = assign(codebook, vectors).codes
    queries = np.asarray(queries)

    def start():
        return NeighbourRecallAccumulator(codebook, queries, vectors[queries], codes[queries], neighbours)

    merged = start()
    for ids in np.array_split(np.random.default_rng(parts).permutation(len(vectors)), parts):
        part = start()
        part.update(ids, vectors[ids], codes[ids])
        merged.merge(part)
    return merged.finalize()


def plain_recall(codebook, vectors, queries, neighbours):
    """The same, one query and one candidate at a time."""
    points = codebook.preprocessing.apply(vectors).astype(np.float64)
    centroids = codebook.centroids.astype(np.float64)
    codes = assign(codebook, vectors).codes
    kept = []
    for query in queries:
        others = [row for row in range(len(points)) if row != query]
        nearest = sorted(others, key=lambda row: ((points[row] - points[query]) ** 2).sum())[:neighbours]
        own = codes[query]
        in_order = sorted(range(len(centroids)), key=lambda c: (c != own, ((centroids[c] - centroids[own]) ** 2).sum()))
        left, expected = neighbours, 0.0
        for code in in_order:
            tracks = [row for row in others if codes[row] == code]
            if tracks and left > 0:
                expected += min(left / len(tracks), 1) * len(set(tracks) & set(nearest))
                left -= len(tracks)
        kept.append(expected / len(nearest))
    return np.mean(kept)


def test_recall_on_a_line_is_what_is_worked_out_by_hand():
    codebook = make_codebook([[1], [10], [30]])
    vectors = np.array([[0], [1], [2], [5], [6], [29]], np.float32)  # codes 0 0 0 0 1 2
    # Query 5: nearest 6 and 2. By code, two of 0 1 2: each comes with 2/3. So 2/3 of two.
    recall = measured(codebook, vectors, [3], neighbours=2)
    assert recall.recall == pytest.approx(1 / 3)
    assert recall.same_code == 1 / 2
    # Query 6: nearest 5 and 2. It is alone with its code; next are the four of centroid 1: two of four.
    assert measured(codebook, vectors, [4], neighbours=2).recall == pytest.approx(1 / 2)
    both = measured(codebook, vectors, [3, 4], neighbours=2)
    assert both.recall == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert (both.queries, both.candidates, both.neighbours, both.same_code) == (2, 6, 2, 1 / 4)


@pytest.mark.parametrize("unit_length", [True, False])
@pytest.mark.parametrize(("codes", "neighbours"), [(4, 10), (40, 10), (40, 3), (200, 10)])
def test_recall_agrees_with_looking_at_every_candidate(unit_length, codes, neighbours):
    rng = np.random.default_rng(codes)
    vectors = rng.normal(size=(200, 6)).astype(np.float16)
    codebook = make_codebook(rng.normal(size=(codes, 6)), unit_length)
    queries = rng.choice(200, 20, replace=False)
    expected = plain_recall(codebook, vectors, queries, neighbours)
    assert measured(codebook, vectors, queries, neighbours).recall == pytest.approx(expected)


@pytest.mark.parametrize("parts", [2, 7, 150])
def test_candidates_in_parts_give_the_result_of_the_whole(parts):
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(300, 5)).astype(np.float32)
    vectors[200:] = vectors[100:200]  # equal vectors, in other parts
    codebook = make_codebook(rng.normal(size=(16, 5)))
    queries = np.arange(0, 300, 7)
    assert measured(codebook, vectors, queries, 10, parts) == measured(codebook, vectors, queries, 10)


def test_a_code_for_every_vector_keeps_all_neighbours():
    vectors = np.random.default_rng(6).normal(size=(60, 4)).astype(np.float32)
    recall = measured(make_codebook(vectors), vectors, range(60), 10)
    assert recall.recall == pytest.approx(1)
    assert recall.same_code == 0


def test_one_code_keeps_them_by_chance():
    vectors = np.random.default_rng(7).normal(size=(41, 4)).astype(np.float32)
    recall = measured(make_codebook([[0, 0, 0, 0]]), vectors, range(41), 10)
    assert (recall.recall, recall.same_code) == (pytest.approx(10 / 40), 1)


def test_more_equal_vectors_than_neighbours_are_kept_by_chance():
    vectors = np.ones((31, 3), np.float32)
    recall = measured(make_codebook([[1, 1, 1], [0, 0, 0]]), vectors, range(31), 10)
    assert recall.recall == pytest.approx(10 / 30)


def test_a_query_that_is_no_candidate_has_all_candidates_as_neighbours():
    codebook = make_codebook([[0], [9]])
    gathered = NeighbourRecallAccumulator(
        codebook, np.array([77]), np.array([[1]], np.float32), np.array([0], np.int16), neighbours=1
    )
    gathered.update(np.arange(3), np.array([[0], [-5], [8]], np.float32), np.array([0, 0, 1], np.int16))
    assert gathered.finalize().recall == pytest.approx(1 / 2)  # one of the two with its code


def test_the_own_code_comes_before_one_whose_centroid_is_equal():
    codebook = make_codebook([[5], [5]])
    ids, vectors, codes = np.arange(3), np.array([[5], [5], [6]], np.float32), np.array([1, 1, 0], np.int16)
    gathered = NeighbourRecallAccumulator(codebook, ids[:1], vectors[:1], codes[:1], neighbours=1)
    gathered.update(ids, vectors, codes)
    assert gathered.finalize().recall == 1


def test_fewer_candidates_than_neighbours_are_all_found():
    vectors = np.array([[0], [1], [9]], np.float32)
    assert measured(make_codebook([[0], [9]]), vectors, [0, 1, 2], 10).recall == 1


@pytest.mark.parametrize("rows", [0, 1])
def test_without_candidates_recall_is_null_and_still_json(rows):
    recall = measured(make_codebook([[0], [9]]), np.zeros((rows, 1), np.float32), np.arange(rows), 10)
    assert (recall.queries, recall.recall, recall.same_code) == (rows, None, None)
    json.dumps(asdict(recall), allow_nan=False)


def test_tracks_that_do_not_fit_the_codebook_are_refused():
    codebook = make_codebook([[0, 0], [9, 9]])
    ids, vectors, codes = np.arange(2), np.zeros((2, 2), np.float32), np.zeros(2, np.int16)
    with pytest.raises(ValueError, match="audio codebook of 2 dimensions"):
        NeighbourRecallAccumulator(codebook, ids, vectors[:, :1], codes)
    gathered = NeighbourRecallAccumulator(codebook, ids, vectors, codes)
    with pytest.raises(ValueError, match="do not match each other"):
        gathered.update(ids, vectors, codes[:1])
    with pytest.raises(ValueError, match="do not fit 2 centroids"):
        gathered.update(ids, vectors, codes + np.int16(2))


def plain_tuple_recall(points, codes, queries, weights, neighbours):
    kept = []
    for query in queries:
        vector_scores, token_scores = {}, {}
        for row in set(range(len(codes))) - {query}:
            vector_scores[row] = token_scores[row] = 0.0
            for m in range(5):
                if codes[query, m] >= 0 and codes[row, m] >= 0:
                    left, right = points[m][query].astype(float), points[m][row].astype(float)
                    cosine = left @ right / np.sqrt((left @ left) * (right @ right))
                    vector_scores[row] += weights[m] * cosine
                    token_scores[row] += weights[m] * (codes[query, m] == codes[row, m])
        nearest = set(sorted(vector_scores, key=lambda row: -vector_scores[row])[:neighbours])
        left, expected = neighbours, 0.0
        for score in sorted(set(token_scores.values()), reverse=True):
            tied = {row for row in token_scores if token_scores[row] == score}
            if left > 0:
                expected += min(left / len(tied), 1) * len(tied & nearest)
                left -= len(tied)
        kept.append(expected / len(nearest))
    return np.mean(kept)


@pytest.mark.parametrize("weights", [(25, 5, 5, 1, 1), (1, 1, 1, 1, 1)])
def test_recall_of_tuples_agrees_with_looking_at_every_pair(weights):
    rng = np.random.default_rng(8)
    points = [rng.normal(size=(150, dim)).astype(np.float32) for dim in (2, 3, 4, 5, 6)]
    codes = np.stack([assign(make_codebook(rows[:4]), rows).codes for rows in points], axis=1)
    codes[rng.random(codes.shape) < 0.3] = -1
    queries = rng.choice(150, 35, replace=False)
    found = neighbour_recall_of_tuples(points, codes, queries, weights, neighbours=10)
    assert found.recall == pytest.approx(plain_tuple_recall(points, codes, queries, weights, 10))
    assert (found.queries, found.candidates, found.neighbours) == (35, 150, 10)


def test_the_nearest_of_three_tracks_has_the_same_tuple():
    points = [np.array([[1, 0], [1, 0.1], [0, 1]], np.float32)] * 5
    codes = np.array([[0] * 5, [0] * 5, [1] * 5], np.int16)
    found = neighbour_recall_of_tuples(points, codes, np.array([0, 1]), neighbours=1)
    assert (found.recall, found.same_code) == (1, 1)
    alone = neighbour_recall_of_tuples([rows[:1] for rows in points], codes[:1], np.array([0]))
    assert (alone.recall, alone.same_code) == (None, None)


def test_points_of_other_tracks_are_refused():
    codes = np.zeros((3, 5), np.int16)
    with pytest.raises(ValueError, match=r"lengths \[3, 3, 3, 3, 2\]"):
        neighbour_recall_of_tuples([np.ones((rows, 2), np.float32) for rows in (3, 3, 3, 3, 2)], codes, np.array([0]))
