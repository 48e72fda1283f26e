"""K-means places centroids where they reduce inertia most, and leaves no cluster empty."""

import numpy as np
import pytest

from tracktokens.codebooks.assign import nearest_centroids
from tracktokens.codebooks.training.cluster_stats import Clusters
from tracktokens.codebooks.training.kmeans import fill_empty_clusters, learn_centroids, move_centroids
from tracktokens.codebooks.training.points import Points


def make_points(values):
    return Points(np.asarray(values, np.float16), np.ones(len(values), np.int64))


@pytest.fixture(scope="module")
def islands():
    """12,000 points on 40 islands of very different sizes, in random order."""
    rng = np.random.default_rng(3)
    sizes = (6000 / np.arange(1, 41) ** 1.2).astype(int) + 40
    places = rng.normal(size=(40, 8)) * 20
    values = np.repeat(places, sizes, axis=0) + rng.normal(size=(sizes.sum(), 8))
    return make_points(rng.permutation(values)), places


def test_every_island_has_one_centroid(islands):
    points, places = islands
    centroids = learn_centroids(points, 40).centroids
    assert nearest_centroids(centroids, places.astype(np.float32)).distances.max() < 1
    assert len(np.unique(nearest_centroids(centroids, places.astype(np.float32)).codes)) == 40


def test_the_result_is_what_lloyds_iterations_do_not_make_better(islands):
    points, _ = islands
    trained = learn_centroids(points, 40)
    means = [points.values[trained.nearest.codes == code].astype(float).mean(axis=0) for code in range(40)]
    np.testing.assert_allclose(trained.centroids, means, atol=1e-3)
    assert (trained.nearest.codes == nearest_centroids(trained.centroids, points.values).codes).all()


def test_inertia_is_lower_than_the_best_of_ten_runs_of_scikit_learn():
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(5)
    values = np.repeat(rng.normal(size=(150, 12)), 20, axis=0) + 0.4 * rng.normal(size=(3000, 12))
    points = make_points(rng.permutation(values))
    ours = learn_centroids(points, 64).nearest.distances.mean()
    theirs = KMeans(64, init="k-means++", n_init=10, max_iter=15, random_state=0).fit(points.values.astype(np.float32))
    assert ours < theirs.inertia_ / len(values)


def test_as_many_centroids_as_points_are_the_points():
    values = np.random.default_rng(6).normal(size=(300, 5)).astype(np.float16)
    trained = learn_centroids(make_points(values), 300)
    assert trained.nearest.distances.max() == 0
    assert len(np.unique(trained.nearest.codes)) == 300


def test_more_centroids_than_cells_can_be_merged_are_learned_all_the_same(monkeypatch):
    monkeypatch.setattr("tracktokens.codebooks.training.kmeans.MIN_CELLS", 0)
    monkeypatch.setattr("tracktokens.codebooks.training.kmeans.MAX_CELLS", 50)
    values = np.random.default_rng(7).normal(size=(2000, 3))
    for size in (40, 50, 300):
        trained = learn_centroids(make_points(values), size)
        assert len(np.unique(trained.nearest.codes)) == size


def test_centroids_to_start_from_keep_their_rows(islands):
    points, places = islands
    start = (places + np.random.default_rng(9).normal(size=places.shape)).astype(np.float32)
    trained = learn_centroids(points, 40, start)
    np.testing.assert_allclose(trained.centroids, places, atol=1)
    assert trained.moved == 0


def test_a_start_without_points_is_put_where_a_split_gains_most():
    rng = np.random.default_rng(10)
    points = make_points(np.concatenate([rng.normal(size=(50, 2)), rng.normal((30, 0), size=(50, 2))]))
    start = np.array([[15, 0], [500, 500]], np.float32)
    trained = learn_centroids(points, 2, start)
    # Both clouds are nearest to the first row, which is split.
    assert trained.moved == 1
    np.testing.assert_allclose(np.sort(trained.centroids[:, 0]), [0, 30], atol=1)


def test_rows_beyond_the_start_are_halves_of_the_clusters_that_gain_most(islands):
    points, places = islands
    start = places[:25].astype(np.float32)
    trained = learn_centroids(points, 40, start)
    np.testing.assert_array_equal(nearest_centroids(places.astype(np.float32), trained.centroids[:25]).codes, range(25))
    reached = nearest_centroids(trained.centroids, places.astype(np.float32)).distances < 1
    assert reached.sum() >= 36  # of 40 islands


def test_starts_stay_where_there_are_fewer_points_than_rows():
    start = np.array([[0], [100], [200]], np.float32)
    trained = learn_centroids(make_points([[1], [99]]), 3, start)
    np.testing.assert_array_equal(trained.centroids, [[1], [99], [200]])


def test_one_start_can_become_many():
    values = np.arange(64, dtype=np.float16)[:, np.newaxis]
    trained = learn_centroids(make_points(values), 64, np.zeros((1, 1), np.float32))
    assert trained.nearest.distances.max() == 0


def test_a_centroid_moves_from_where_it_is_missed_least_to_where_a_split_gains_most():
    means = np.array([[0], [1], [2], [3]], np.float32)
    halves = np.array([[[10], [11], [12], [13]], [[20], [21], [22], [23]]], np.float32)
    clusters = Clusters(means, np.array([5.0, 9, 0, 1]), halves)
    # 1 would gain 9 by a split, and 2 would be missed by 4; of the next two, 5 is not more than 6.
    centroids, moved = move_centroids(clusters, np.array([50.0, 70, 4, 6]))
    assert moved == 1
    np.testing.assert_array_equal(centroids, [[0], [11], [21], [3]])


def test_no_cluster_is_split_and_given_up_at_once():
    clusters = Clusters(np.zeros((2, 1), np.float32), np.array([9.0, 8]), np.ones((2, 2, 1), np.float32))
    centroids, moved = move_centroids(clusters, np.array([1.0, 2]))
    assert moved == 0
    np.testing.assert_array_equal(centroids, [[0], [0]])


def test_empty_clusters_are_moved_to_the_worst_served_points():
    points = make_points([[0], [1], [10], [14]])
    centroids = np.array([[0.5], [12], [500], [600]], np.float32)
    # 10 and 14 are 4 from their centroid, 0 and 1 are 0.25. Then 12 has no point, and goes to 0.
    filled, nearest, moved = fill_empty_clusters(points, centroids)
    assert moved == 3
    np.testing.assert_array_equal(filled, [[0.5], [0], [10], [14]])
    np.testing.assert_array_equal(nearest.codes, [1, 0, 2, 3])
    np.testing.assert_array_equal(centroids, [[0.5], [12], [500], [600]])


def test_empty_clusters_are_filled_until_none_is_left():
    rng = np.random.default_rng(8)
    points = make_points(rng.normal(size=(200, 3)))
    centroids = np.concatenate([points.values[:1], 1e4 + rng.normal(size=(199, 3))]).astype(np.float32)
    _, nearest, moved = fill_empty_clusters(points, centroids)
    assert moved >= 199
    assert nearest.distances.max() == 0
    assert len(np.unique(nearest.codes)) == 200


def test_filling_ends_when_every_point_has_a_centroid_of_its_own():
    filled, _, moved = fill_empty_clusters(make_points([[1]]), np.array([[1], [5]], np.float32))
    assert moved == 0
    np.testing.assert_array_equal(filled, [[1], [5]])
