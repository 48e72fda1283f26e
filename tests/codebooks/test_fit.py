"""Codebooks are learned from the set of vectors, whatever their order."""

import numpy as np
import pytest

from tracktokens.codebooks.assign import assign, nearest_centroids
from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.fit import fit_codebook, learned_size
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
    fit = fit_codebook(np.array([[1, 0], [5, 0], [0, 1], [2, 0]], np.float16), **NAMES, reserved=1)
    metrics = fit.metrics
    assert (metrics.vectors, metrics.distinct_vectors, metrics.learned_centroids) == (4, 2, 1)
    np.testing.assert_allclose(fit.codebook.centroids, [[0.75, 0.25]], rtol=1e-6)
    # Squared distances to the mean: 3 x (1/16 + 1/16), once 9/16 + 9/16; 24/16 over 4.
    assert metrics.inertia == metrics.variance == pytest.approx(0.375)
    assert metrics.explained_variance == pytest.approx(0)
    assert (metrics.largest_cluster, metrics.smallest_cluster) == (4, 4)


@pytest.mark.parametrize(("distinct", "learned"), [(0, 0), (1, 1), (2, 2), (7, 7), (8, 8), (9, 8), (1000, 8)])
def test_codes_have_centroids_as_far_as_there_are_distinct_vectors(distinct, learned):
    assert learned_size(distinct, 8) == learned
    angles = np.linspace(0, 3, distinct)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    fit = fit_codebook(np.repeat(vectors, 3, axis=0), **NAMES, reserved=8)
    assert fit.codebook.size == fit.metrics.learned_centroids == learned
    assert fit.metrics.vectors == 3 * distinct
    assert fit.codebook.reserved == 8
    if 0 < distinct <= 8:
        assert fit.metrics.inertia == pytest.approx(0, abs=1e-6)


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
    assert fit.metrics.passes == 2


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


@pytest.mark.parametrize("argument", [{"seed": -1}, {"reserved": 0}, {"reserved": 32768}])
def test_arguments_out_of_range_are_errors(argument):
    with pytest.raises(ValueError, match=str(next(iter(argument.values())))):
        fit_codebook(np.eye(4, dtype=np.float16), **{**NAMES, "reserved": 2, **argument})


def test_a_start_keeps_its_numbers_though_other_codes_get_commoner(blobs):
    first = fit_codebook(blobs, **NAMES, reserved=30)
    rare = assign(first.codebook, blobs).codes == 29
    grown = np.concatenate([blobs, np.repeat(blobs[rare], 50, axis=0)])
    again = fit_codebook(grown, **NAMES, reserved=30, start=first.codebook.centroids)
    assert (assign(again.codebook, blobs).codes == assign(first.codebook, blobs).codes).all()
    assert np.bincount(assign(again.codebook, grown).codes).argmax() == 29


def test_codes_beyond_a_start_serve_what_it_serves_badly(blobs):
    cluster_of_row = np.repeat(np.arange(30), 20 + 10 * np.arange(30))
    common = cluster_of_row < 20
    old = fit_codebook(blobs[common], **NAMES, reserved=20)
    fit = fit_codebook(blobs, **NAMES, reserved=34, start=old.codebook.centroids)
    assert fit.codebook.size == 34
    found, before = assign(fit.codebook, blobs), assign(old.codebook, blobs[common])
    assert (found.codes[common] == before.codes).mean() > 0.9
    assert (found.codes[~common] >= 20).mean() > 0.9
    assert found.distances[~common].mean() < 2 * before.distances.mean()


def test_a_given_preprocessing_is_kept(blobs):
    turned, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))
    preprocessing = Preprocessing(unit_length=True, projection=turned.astype(np.float32))
    fit = fit_codebook(blobs, **NAMES, reserved=30, preprocessing=preprocessing)
    assert fit.codebook.preprocessing is preprocessing
    plain = fit_codebook(blobs, **NAMES, reserved=30)
    assert fit.metrics.inertia == pytest.approx(plain.metrics.inertia, rel=1e-2)


def test_a_start_of_another_space_is_an_error(blobs):
    with pytest.raises(ValueError, match="have 3 dimensions, the points 16"):
        fit_codebook(blobs, **NAMES, reserved=30, start=np.ones((2, 3), np.float32))
