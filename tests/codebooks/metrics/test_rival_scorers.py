"""Rivals of the tokens."""

import importlib.util

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tracktokens.codebooks.metrics.rival_scorers import AlsScorer, ArtistScorer, ItemKnnScorer, VectorScorer

HELD = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0]], float)
"""Playlists by tracks."""


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_vector_scores_are_weighted_mean_cosines() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    scores = VectorScorer({"audio": vectors, "tags": vectors[:, ::-1]}, {"audio": 2.0, "tags": 0.0}).scores(rows(0, 1))
    np.testing.assert_allclose(scores, [1, 1, 1.4], rtol=1e-6)


def test_tracks_of_the_seeds_artists_come_first_and_each_group_by_popularity() -> None:
    scorer = ArtistScorer(np.array([0, 1, 0, -1, 1, -1]), np.array([1.0, 9, 2, 5, 0, 3]))
    assert np.argsort(-scorer.scores(rows(0))).tolist() == [2, 0, 1, 3, 5, 4]
    assert np.argsort(-scorer.scores(rows(3))).tolist() == [1, 3, 5, 2, 0, 4]  # the seed's artist is not known


def test_item_knn_sums_the_cosines_of_the_tracks_playlists() -> None:
    scores = ItemKnnScorer(csr_matrix(HELD)).scores(rows(0, 3))
    length = np.sqrt(HELD.sum(axis=0))
    cosines = HELD.T @ HELD / np.outer(length, length)
    np.testing.assert_allclose(scores, cosines[[0, 3]].sum(axis=0), atol=1e-9)


@pytest.mark.skipif(importlib.util.find_spec("implicit") is None, reason="needs the package implicit")
def test_als_continues_a_playlist_with_its_own_group_and_can_be_repeated() -> None:
    groups = np.kron(np.eye(4), np.ones((10, 6)))
    groups[np.arange(40), np.arange(40) % 24] = 0
    found = [AlsScorer.fit(csr_matrix(groups), seed=3).scores(rows(6, 7)) for _ in range(2)]
    assert set(np.argsort(-found[0])[:6].tolist()) == set(range(6, 12))
    assert found[0].tolist() == found[1].tolist()
