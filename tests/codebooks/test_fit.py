"""Codebooks are learned from the set of vectors, whatever their order."""

import numpy as np
import pytest

from tracktokens.codebooks.assign import assign, nearest_centroids
from tracktokens.codebooks.fit import Points, fill_empty_clusters, fit_codebook, learned_size, standardization
from tracktokens.schemas.errors import DataRefusedError

NAMES = {"modality": "tags", "encoder_id": "encoder"}


@pytest.fixture(scope="module")
def blobs():
    """30 far apart clusters of 20 to 310 vectors."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(30, 16)) * 10
    sizes = 20 + 10 * np.arange(30)
    return (np.repeat(centres, sizes, axis=0) + rng.normal(size=(sizes.sum(), 16))).astype(np.float16)


def test_two_pairs_of_vectors_give_the_two_centroids_worked_out_by_hand():
    # Standardised: mean 5, deviation 5, so that 0 0 0 becomes -1 and 10 10 10 becomes 1.
    vectors = np.array([[0], [0.0], [0.5], [10], [9.5], [10]], np.float32)
    fit = fit_codebook(vectors, **NAMES, reserved=2, standardize=True)
    codes = assign(fit.codebook, vectors).codes
    assert list(codes[:3]) == [codes[0]] * 3 and list(codes[3:]) == [1 - codes[0]] * 3
    deviation = np.sqrt(np.mean((vectors - 5) ** 2))
    np.testing.assert_allclose(
        np.sort(fit.codebook.centroids[:, 0]), np.array([0.5 / 3 - 5, 5 - 0.5 / 3]) / deviation, rtol=1e-3
    )


def test_metrics_are_those_worked_out_by_hand():
    # Directions, with their multiplicities: east 3, north 1, and nothing between.
    fit = fit_codebook(np.array([[1, 0], [5, 0], [0, 1], [2, 0]], np.float16), **NAMES, reserved=8)
    metrics = fit.metrics
    assert (metrics.vectors, metrics.distinct_vectors, metrics.learned_centroids) == (4, 2, 1)
    np.testing.assert_allclose(fit.codebook.centroids, [[0.75, 0.25]], rtol=1e-6)
    # Squared distances to the mean: 3 x (1/16 + 1/16), once 9/16 + 9/16; 24/16 over 4.
    assert metrics.inertia == pytest.approx(0.375)
    assert metrics.explained_variance == pytest.approx(0)
    assert (metrics.largest_cluster, metrics.smallest_cluster) == (4, 4)


@pytest.mark.parametrize(
    ("distinct", "reserved", "learned"),
    [(0, 8, 0), (1, 8, 1), (2, 8, 1), (3, 8, 1), (4, 8, 2), (15, 8, 7), (16, 8, 8), (1000, 8, 8)],
)
def test_a_centroid_is_learned_for_every_two_distinct_vectors(distinct, reserved, learned):
    assert learned_size(distinct, reserved) == learned
    angles = np.linspace(0, 3, distinct)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    fit = fit_codebook(np.repeat(vectors, 3, axis=0), **NAMES, reserved=reserved)
    assert fit.codebook.size == fit.metrics.learned_centroids == learned
    assert fit.metrics.vectors == 3 * distinct
    assert fit.codebook.reserved == reserved


def test_no_vectors_give_a_codebook_without_centroids():
    for standardize in (False, True):
        fit = fit_codebook(np.zeros((0, 7), np.float16), **NAMES, reserved=8, standardize=standardize)
        assert fit.codebook.centroids.shape == (0, 7)
        assert (fit.metrics.vectors, fit.metrics.inertia, fit.metrics.largest_cluster) == (0, 0, 0)


def test_vectors_that_differ_by_rounding_alone_are_one_direction():
    direction = np.random.default_rng(0).normal(size=9)
    vectors = (np.arange(1, 101)[:, np.newaxis] * direction).astype(np.float32)
    assert fit_codebook(vectors, **NAMES, reserved=64).metrics.distinct_vectors <= 2


def test_minus_zero_is_zero():
    fit = fit_codebook(np.array([[0.0, 1], [-0.0, 1]], np.float16), **NAMES, reserved=4)
    assert fit.metrics.distinct_vectors == 1


@pytest.mark.parametrize("standardize", [False, True])
def test_the_order_and_the_float_type_of_the_input_do_not_matter(blobs, standardize):
    settings = {**NAMES, "reserved": 64, "standardize": standardize}
    expected = fit_codebook(blobs, **settings)
    shuffled = blobs[np.random.default_rng(9).permutation(len(blobs))]
    for vectors in (shuffled, shuffled.astype(np.float32), np.asfortranarray(shuffled)):
        again = fit_codebook(vectors, **settings)
        assert again.codebook.content_hash == expected.codebook.content_hash
        assert again.metrics == expected.metrics


def test_another_seed_gives_another_codebook(blobs):
    hashes = {fit_codebook(blobs, **NAMES, reserved=64, seed=seed).codebook.content_hash for seed in (0, 1, 0)}
    assert len(hashes) == 2


def test_clusters_that_are_far_apart_are_all_found(blobs):
    fit = fit_codebook(blobs, **NAMES, reserved=60)
    cluster_of_row = np.repeat(np.arange(30), 20 + 10 * np.arange(30))
    pairs = set(zip(assign(fit.codebook, blobs).codes, cluster_of_row, strict=True))
    assert len(pairs) == 60  # no code is shared by two clusters
    assert len({cluster for _, cluster in pairs}) == 30


def test_metrics_agree_with_what_assignment_measures(blobs):
    fit = fit_codebook(blobs, **NAMES, reserved=100)
    found = assign(fit.codebook, blobs)
    sizes = np.bincount(found.codes, minlength=100)
    points = fit.codebook.preprocessing.apply(blobs).astype(np.float64)
    variance = ((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert fit.metrics.inertia == pytest.approx(found.distances.mean(), rel=1e-3)
    assert fit.metrics.explained_variance == pytest.approx(1 - found.distances.mean() / variance, rel=1e-3)
    assert fit.metrics.largest_cluster == pytest.approx(sizes.max(), abs=2)
    assert 1 <= fit.metrics.iterations <= 25


def test_codes_are_numbered_by_falling_cluster_size(blobs):
    fit = fit_codebook(blobs, **NAMES, reserved=30)
    sizes = np.bincount(assign(fit.codebook, blobs).codes, minlength=30)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (fit.metrics.largest_cluster, fit.metrics.smallest_cluster)


def test_no_code_is_dead_on_heavy_tailed_vectors():
    rng = np.random.default_rng(6)
    # Nine in ten vectors are near one point, the others are spread over six orders of magnitude.
    near = 1e-3 * rng.normal(size=(2700, 4))
    far = rng.normal(size=(300, 4)) * 10 ** rng.uniform(-3, 3, size=(300, 1))
    vectors = np.concatenate([near, far]).astype(np.float32)
    fit = fit_codebook(vectors, **NAMES, reserved=1024, standardize=True)
    found = nearest_centroids(fit.codebook.centroids, fit.codebook.preprocessing.apply(vectors))
    assert fit.codebook.size == fit.metrics.learned_centroids
    assert fit.metrics.smallest_cluster >= 1
    assert len(np.unique(found.codes)) >= 0.99 * fit.codebook.size  # training points are rounded, these are not


def test_empty_clusters_are_moved_to_the_worst_served_points():
    points = Points(np.array([[0], [1], [10], [14]], np.float32), np.ones(4, np.int64))
    centroids = np.array([[0.5], [12], [500]], np.float32)
    # 10 and 14 are 4 from their centroid, 0 and 1 are 0.25: the empty one goes to 10, and then 12 serves 14 alone.
    filled, moved = fill_empty_clusters(points, centroids, seed=0)
    assert moved == 1
    np.testing.assert_array_equal(filled, [[0.5], [14], [10]])
    np.testing.assert_array_equal(centroids, [[0.5], [12], [500]])


def test_filling_empty_clusters_goes_on_until_none_is_left():
    rng = np.random.default_rng(8)
    points = Points(rng.normal(size=(200, 3)).astype(np.float32), np.ones(200, np.int64))
    centroids = np.concatenate([points.values[:1], 1e4 + rng.normal(size=(99, 3)).astype(np.float32)])
    filled, moved = fill_empty_clusters(points, centroids, seed=0)
    assert moved >= 99
    assert len(np.unique(nearest_centroids(filled, points.values).codes)) == 100


def test_features_of_different_units_weigh_the_same_when_standardised():
    vectors = np.array([[0, 1000], [2, 3000], [0, 3000], [2, 1000]], np.float16)
    preprocessing = standardization(vectors)
    assert not preprocessing.unit_length
    np.testing.assert_array_equal(preprocessing.mean, [1, 2000])
    np.testing.assert_allclose(preprocessing.scale, [1, 0.001], rtol=1e-6)


def test_repeated_vectors_count_as_often_as_they_occur_in_mean_and_deviation():
    preprocessing = standardization(np.array([[0], [4], [4], [4]], np.float16))
    np.testing.assert_allclose(preprocessing.mean, [3])
    np.testing.assert_allclose(preprocessing.scale, [1 / np.sqrt(3)], rtol=1e-6)


def test_a_constant_feature_is_left_out_of_distances():
    vectors = np.array([[0.1, 0], [0.1, 2]] * 50, np.float16)
    preprocessing = standardization(vectors)
    assert preprocessing.scale[0] == 0
    np.testing.assert_allclose(preprocessing.apply(np.array([[77, 2]], np.float16)), [[0, 1]], rtol=1e-6)


def test_the_number_of_faiss_threads_is_given_back():
    import faiss

    before = faiss.omp_get_max_threads()
    fit_codebook(np.eye(4, dtype=np.float16), **NAMES, reserved=2, threads=1)
    assert faiss.omp_get_max_threads() == before


def test_training_prints_nothing(blobs, capfd):
    fit_codebook(blobs[:40], **NAMES, reserved=1024)
    fit_codebook(blobs, **NAMES, reserved=8)
    assert capfd.readouterr() == ("", "")


def test_a_vector_that_is_not_finite_is_refused():
    for standardize in (False, True):
        with pytest.raises(DataRefusedError, match="1 of 2 vectors"):
            fit_codebook(np.array([[1, 2], [np.nan, 1]], np.float16), **NAMES, reserved=2, standardize=standardize)


@pytest.mark.parametrize("argument", [{"seed": -1}, {"iterations": 0}, {"reserved": 0}, {"reserved": 32768}])
def test_arguments_out_of_range_are_errors(argument):
    with pytest.raises(ValueError, match=str(next(iter(argument.values())))):
        fit_codebook(np.eye(4, dtype=np.float16), **{**NAMES, "reserved": 2, **argument})
