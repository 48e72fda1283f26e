"""Ward merges the clusters with the lowest cost."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from tracktokens.codebooks.training.ward import merge_clusters


def test_merges_are_those_worked_out_by_hand():
    centroids = np.array([[0], [1], [4], [9]], np.float32)
    # Costs: 0 and 1: 3/4 x 1 = 0.75; 1 and 4: 1/2 x 9; 4 and 9: 1/2 x 25. Then 0.25 (weight 4) and 4: 4/5 x 14.06.
    weights = np.array([3.0, 1, 1, 1])
    np.testing.assert_allclose(merge_clusters(centroids, weights, 3), [[0.25], [4], [9]])
    np.testing.assert_allclose(merge_clusters(centroids, weights, 2), [[1], [9]])
    np.testing.assert_allclose(merge_clusters(centroids, weights, 1), [[14 / 6]])


def test_a_heavy_cluster_is_left_alone_longer_than_light_ones():
    centroids = np.array([[0], [2], [5]], np.float32)
    np.testing.assert_allclose(merge_clusters(centroids, np.array([1.0, 1, 1]), 2), [[1], [5]])
    # Costs 100 x 100 / 200 x 4 = 200, and 100 / 101 x 9 = 8.9.
    np.testing.assert_allclose(merge_clusters(centroids, np.array([100.0, 100, 1]), 2), [[0], [205 / 101]])


def test_as_many_clusters_as_there_are_stay_as_they_are():
    centroids = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(merge_clusters(centroids, np.full(5, 7.0), 5), centroids, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 40, 399])
def test_merging_single_points_agrees_with_scipy(size):
    points = np.random.default_rng(1).normal(size=(400, 6)).astype(np.float32)
    labels = fcluster(linkage(points, "ward"), size, "maxclust")
    expected = np.stack([points[labels == label].mean(axis=0) for label in np.unique(labels)])
    merged = merge_clusters(points, np.ones(400), size)
    np.testing.assert_allclose(merged[np.lexsort(merged.T)], expected[np.lexsort(expected.T)], rtol=1e-4, atol=1e-5)
