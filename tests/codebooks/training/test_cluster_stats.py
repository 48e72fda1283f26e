"""Means and splits of clusters."""

import numpy as np
import pytest

from tracktokens.codebooks.training.cluster_stats import CHUNK_ROWS, describe_clusters
from tracktokens.codebooks.training.points import Points

CODES = np.array([0, 0, 0, 2], np.int16)
POINTS = Points(np.array([[0, 0], [2, 0], [8, 2], [5, 5]], np.float16), np.array([3, 1, 4, 2]))
CENTROIDS = np.array([[9, 9], [7, 6], [9, 9]], np.float32)


def test_means_are_weighted_and_an_empty_cluster_keeps_its_centroid():
    means = describe_clusters(POINTS, CODES, CENTROIDS, splits=False).means
    # (3 x 0 + 2 + 4 x 8) / 8 and 8 / 8.
    np.testing.assert_allclose(means, [[4.25, 1], [7, 6], [5, 5]])
    np.testing.assert_array_equal(CENTROIDS, [[9, 9], [7, 6], [9, 9]])


def test_the_gain_of_a_split_is_what_the_sum_of_squared_distances_falls_by():
    clusters = describe_clusters(POINTS, CODES, CENTROIDS, splits=True)
    # (8, 2) of weight 4 on one side, (0, 0) and (2, 0) with mean (0.5, 0) of weight 4 on the other:
    # 4 x 4 / 8 x (7.5^2 + 2^2) = 120.5. A point alone and no point cannot be split.
    np.testing.assert_allclose(clusters.gains, [120.5, 0, 0])
    np.testing.assert_allclose(np.sort(clusters.split_means[:, 0], axis=0), [[0.5, 0], [8, 2]], atol=1e-6)


@pytest.mark.parametrize(("centroid", "halves"), [(0, [[0.5], [50]]), (49, [[50], [0.5]])])
def test_the_half_that_is_nearer_to_the_centroid_comes_first(centroid, halves):
    points = Points(np.array([[0], [1], [50]], np.float16), np.array([1, 1, 1]))
    clusters = describe_clusters(points, np.zeros(3, np.int16), np.array([[centroid]], np.float32), splits=True)
    np.testing.assert_allclose(clusters.split_means[:, 0], halves, atol=1e-5)


def test_two_clouds_are_split_between_them():
    rng = np.random.default_rng(0)
    clouds = np.concatenate([rng.normal(size=(300, 20)), 6 + rng.normal(size=(100, 20))]).astype(np.float16)
    clusters = describe_clusters(
        Points(clouds, np.ones(400, np.int64)), np.zeros(400, np.int16), np.zeros((1, 20), np.float32), splits=True
    )
    expected = np.stack([clouds[:300].astype(float).mean(axis=0), clouds[300:].astype(float).mean(axis=0)])
    np.testing.assert_allclose(clusters.split_means[:, 0], expected, atol=1e-4)
    assert clusters.gains[0] == pytest.approx(75 * ((expected[0] - expected[1]) ** 2).sum(), rel=1e-4)


def test_a_cluster_of_many_pieces_has_the_mean_of_all_and_a_gain_in_proportion():
    rng = np.random.default_rng(1)
    values = rng.choice([-1.0, 1.0], (3 * CHUNK_ROWS + 5, 1)).astype(np.float16)
    points = Points(values, np.ones(len(values), np.int64))
    clusters = describe_clusters(points, np.zeros(len(values), np.int16), np.zeros((1, 1), np.float32), splits=True)
    assert clusters.means[0, 0] == pytest.approx(values.astype(float).mean(), abs=1e-6)
    assert clusters.gains[0] == pytest.approx(len(values), rel=0.01)  # every point is 1 from the mean and 0 from a half
