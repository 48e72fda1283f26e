"""k-means: seeds, moves and passes."""

import numpy as np
import pytest

from tracktokens.codebooks.assign import nearest_centroids
from tracktokens.codebooks.kmeans import add_seeds, fill_empty_clusters, go_on, k_means, move_centroids, serve
from tracktokens.codebooks.training_points import Points


def points_of(values, counts=None) -> Points:
    array = np.array(values, np.float16)
    return Points(array, np.ones(len(array), np.int64) if counts is None else np.array(counts, np.int64))


def test_a_pass_finds_what_is_worked_out_by_hand():
    points = points_of([[0], [1], [10], [14]], counts=[3, 1, 1, 1])
    found = serve(points, np.array([[0], [12], [500]], np.float32), second=True)
    assert found.codes.tolist() == [0, 0, 1, 1]
    assert found.distances.tolist() == [0, 1, 4, 4]
    assert found.margins.tolist() == [144, 120, 96, 192]
    assert found.means.tolist() == [[0.25], [12], [500]]
    assert found.weights.tolist() == [4, 2, 0]


def test_seeds_are_points_no_two_the_same_and_follow_those_that_are_there():
    points = points_of(np.arange(40).reshape(-1, 1))
    seeds = add_seeds(points, np.array([[3.0]], np.float32), 40, np.random.default_rng(0))
    assert seeds[0] == 3
    assert len(np.unique(seeds)) == 40


def test_seeds_find_groups_that_are_far_apart():
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(16), 200)
    values = 100 * np.stack([groups % 4, groups // 4], axis=1) + draw.normal(size=(3200, 2))
    seeds = add_seeds(points_of(values), np.zeros((0, 2), np.float32), 16, np.random.default_rng(1))
    assert len(set(map(tuple, np.round(seeds / 100)))) >= 14


def test_a_centroid_that_is_hardly_missed_splits_a_cluster_that_gains_more():
    # Three groups. The first has two centroids, of which one is not needed; the other groups share one.
    values = [*np.linspace(-1, 1, 21), *np.linspace(99, 101, 21), *np.linspace(119, 121, 21)]
    points = points_of(np.reshape(values, (-1, 1)))
    moved, count = move_centroids(points, np.array([[-0.5], [0.5], [110]], np.float32))
    assert count == 1
    centroids = np.sort(serve(points, moved).means[:, 0])
    np.testing.assert_allclose(centroids, [0.5, 100, 120], atol=0.6)


def test_nothing_moves_where_nothing_is_gained():
    values = np.repeat([[0.0], [10], [20]], 5, axis=0) + np.linspace(-0.5, 0.5, 15)[:, np.newaxis]
    _, count = move_centroids(points_of(values), np.array([[0], [10], [20]], np.float32))
    assert count == 0


def test_empty_clusters_are_moved_to_the_worst_served_points():
    points = points_of([[0], [1], [10], [14]])
    centroids = np.array([[0.5], [12], [500]], np.float32)
    # 10 and 14 are 4 from their centroid, 0 and 1 are 0.25: the empty one goes to 10, and then 12 serves 14 alone.
    filled, found, moved = fill_empty_clusters(points, centroids)
    assert moved == 1
    np.testing.assert_array_equal(filled, [[0.5], [14], [10]])
    assert found.codes.tolist() == [0, 0, 2, 1]
    np.testing.assert_array_equal(centroids, [[0.5], [12], [500]])


def test_filling_empty_clusters_goes_on_until_none_is_left():
    draw = np.random.default_rng(8)
    points = points_of(draw.normal(size=(200, 3)))
    far = 1e4 + draw.normal(size=(99, 3)).astype(np.float32)
    centroids = np.concatenate([points.values[:1].astype(np.float32), far])
    filled, _, moved = fill_empty_clusters(points, centroids)
    assert moved >= 99
    assert len(np.unique(nearest_centroids(filled, points.values.astype(np.float32)).codes)) == 100


def test_the_clusters_are_better_than_those_of_scikit_learns_minibatches():
    from sklearn.cluster import MiniBatchKMeans

    draw = np.random.default_rng(3)
    centres = draw.normal(size=(300, 16))
    sizes = np.arange(1, 301) ** -0.8
    values = centres[draw.choice(300, 20_000, p=sizes / sizes.sum())] + 0.3 * draw.normal(size=(20_000, 16))
    points = points_of(np.unique(values.astype(np.float16), axis=0))
    ours = k_means(points, 200, seed=0).served.distances.mean()
    settings = {"init": "k-means++", "batch_size": 4096, "max_iter": 5, "n_init": 1, "random_state": 0}
    theirs = MiniBatchKMeans(200, **settings).fit(points.values.astype(np.float32)).cluster_centers_
    assert ours < nearest_centroids(theirs.astype(np.float32), points.values.astype(np.float32)).distances.mean()


@pytest.mark.parametrize("size", [3, 5])
def test_going_on_keeps_rows_where_they_are_and_adds_or_ends_the_last(size):
    values = np.repeat([[0.0], [10], [20], [30], [40]], 4, axis=0) + np.tile([0.0, 0.1, 0.2, 0.3], 5)[:, np.newaxis]
    start = np.array([[20], [0], [10], [30]], np.float32)
    trained = go_on(points_of(values), start, size, seed=0)
    assert len(trained.centroids) == size
    expected = {3: [[20], [0], [10]], 5: [[20], [0], [10], [30], [40]]}[size]
    near = trained.centroids[:3] if size == 5 else trained.centroids[1:2]
    np.testing.assert_allclose(near, np.array(expected)[: len(near)] if size == 5 else [[0]], atol=0.5)


def test_points_are_taken_block_by_block_and_the_whole_is_never_held_as_float32():
    import tracemalloc

    values = np.random.default_rng(0).normal(size=(300_000, 32)).astype(np.float16)
    points = Points(values, np.ones(len(values), np.int64))
    tracemalloc.start()
    serve(points, values[:64].astype(np.float32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < values.nbytes  # which is half of what it would be as float32
