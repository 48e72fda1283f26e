"""Codebooks depend on the set of vectors, not on their order."""

import subprocess
import sys

import numpy as np
import pytest

from tracktokens.codebooks.assign import assign, nearest_centroids
from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.training.fit import fit_codebook
from tracktokens.schemas.errors import InvalidDataError

NAMES = {"modality": "tags", "encoder_id": "encoder"}


@pytest.fixture(scope="module")
def blobs():
    """30 far apart clusters of 20 to 310 vectors."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(30, 16)) * 10
    sizes = 20 + 10 * np.arange(30)
    return (np.repeat(centres, sizes, axis=0) + rng.normal(size=(sizes.sum(), 16))).astype(np.float16)


def test_two_groups_of_vectors_give_the_two_centroids_worked_out_by_hand():
    vectors = np.array([[0], [0.0], [0.5], [10], [9.5], [10]], np.float32)
    fit = fit_codebook(vectors, **NAMES, codebook_size=2, standardize=True)
    codes = assign(fit.codebook, vectors).codes
    assert list(codes[:3]) == [codes[0]] * 3 and list(codes[3:]) == [1 - codes[0]] * 3
    # Mean 5, and the one direction has variance 1, which a shrinkage of 10 makes 1 / 11.
    deviation = np.sqrt(np.mean((vectors - 5) ** 2)) * np.sqrt(11)
    np.testing.assert_allclose(
        np.sort(fit.codebook.centroids[:, 0]), np.array([0.5 / 3 - 5, 5 - 0.5 / 3]) / deviation, rtol=1e-3
    )


def test_metrics_are_those_worked_out_by_hand():
    # Directions, with their multiplicities: east 3, north 1, west 1. North and west are one code.
    vectors = np.array([[1, 0], [5, 0], [0, 1], [2, 0], [-4, 0]], np.float16)
    fit = fit_codebook(vectors, **NAMES, codebook_size=2)
    metrics = fit.metrics
    assert (metrics.vectors, metrics.distinct_vectors, metrics.learned_centroids) == (5, 3, 2)
    np.testing.assert_allclose(fit.codebook.centroids, [[1, 0], [-0.5, 0.5]], rtol=1e-6)
    # Squared distances: 0 three times, 1/4 + 1/4 twice; to the mean (0.4, 0.2): 3 x 0.4, 0.8 and 2, so 4 over 5.
    assert metrics.inertia == pytest.approx(0.2)
    assert metrics.explained_variance == pytest.approx(1 - 0.2 / 0.8)
    assert (metrics.largest_cluster, metrics.smallest_cluster) == (3, 2)


@pytest.mark.parametrize(
    ("distinct", "codebook_size"), [(0, 8), (1, 8), (2, 8), (7, 8), (8, 8), (9, 8), (1000, 8), (100, 99), (1000, 1)]
)
def test_as_many_centroids_are_learned_as_are_reserved_or_as_there_are_distinct_vectors(distinct, codebook_size):
    angles = np.linspace(0, 3, distinct)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    fit = fit_codebook(np.repeat(vectors, 3, axis=0), **NAMES, codebook_size=codebook_size)
    assert fit.codebook.num_centroids == fit.metrics.learned_centroids == min(distinct, codebook_size)
    assert fit.metrics.vectors == 3 * distinct
    assert fit.codebook.codebook_size == codebook_size
    if distinct:
        assert len(np.unique(assign(fit.codebook, vectors).codes)) == min(distinct, codebook_size)


def test_no_vectors_give_a_codebook_without_centroids():
    for standardize in (False, True):
        fit = fit_codebook(np.zeros((0, 7), np.float16), **NAMES, codebook_size=8, standardize=standardize)
        assert fit.codebook.centroids.shape == (0, 7)
        assert (fit.metrics.vectors, fit.metrics.inertia, fit.metrics.largest_cluster) == (0, 0, 0)


def test_vectors_that_differ_by_rounding_alone_are_one_direction():
    direction = np.random.default_rng(0).normal(size=9)
    vectors = (np.arange(1, 101)[:, np.newaxis] * direction).astype(np.float32)
    assert fit_codebook(vectors, **NAMES, codebook_size=64).metrics.distinct_vectors <= 2


@pytest.mark.parametrize("standardize", [False, True])
def test_the_order_and_the_float_type_of_the_input_do_not_matter(blobs, standardize):
    settings = {**NAMES, "codebook_size": 64, "standardize": standardize}
    expected = fit_codebook(blobs, **settings)
    shuffled = blobs[np.random.default_rng(9).permutation(len(blobs))]
    for vectors in (shuffled, shuffled.astype(np.float32), np.asfortranarray(shuffled)):
        again = fit_codebook(vectors, **settings)
        assert again.codebook.content_hash == expected.codebook.content_hash
        assert again.metrics == expected.metrics


@pytest.mark.parametrize("standardize", [False, True])
def test_the_number_of_threads_does_not_matter(blobs, standardize):
    fits = [fit_codebook(blobs, **NAMES, codebook_size=64, standardize=standardize, threads=n) for n in (1, 2, 4)]
    assert len({fit.codebook.content_hash for fit in fits}) == 1
    assert fits[0].metrics == fits[1].metrics == fits[2].metrics


def test_another_seed_gives_another_codebook(blobs):
    hashes = {fit_codebook(blobs, **NAMES, codebook_size=64, seed=seed).codebook.content_hash for seed in (0, 1, 0)}
    assert len(hashes) == 2


def test_clusters_that_are_far_apart_are_all_found(blobs):
    fit = fit_codebook(blobs, **NAMES, codebook_size=60)
    cluster_of_row = np.repeat(np.arange(30), 20 + 10 * np.arange(30))
    pairs = set(zip(assign(fit.codebook, blobs).codes, cluster_of_row, strict=True))
    assert len(pairs) == 60  # no code is shared by two clusters
    assert len({cluster for _, cluster in pairs}) == 30


def test_metrics_agree_with_what_assignment_measures(blobs):
    fit = fit_codebook(blobs, **NAMES, codebook_size=100)
    found = assign(fit.codebook, blobs)
    sizes = np.bincount(found.codes, minlength=100)
    points = fit.codebook.preprocessing.apply(blobs).astype(np.float64)
    variance = ((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert fit.metrics.inertia == pytest.approx(found.distances.mean(), rel=1e-3)
    assert fit.metrics.explained_variance == pytest.approx(1 - found.distances.mean() / variance, rel=1e-3)
    assert fit.metrics.largest_cluster == pytest.approx(sizes.max(), abs=2)
    assert fit.metrics.iterations >= 1


def test_codes_are_numbered_by_falling_cluster_size(blobs):
    fit = fit_codebook(blobs, **NAMES, codebook_size=30)
    sizes = np.bincount(assign(fit.codebook, blobs).codes, minlength=30)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (fit.metrics.largest_cluster, fit.metrics.smallest_cluster)


def test_no_code_is_dead_on_heavy_tailed_vectors():
    rng = np.random.default_rng(6)
    # Nine in ten vectors are near one point, the others are spread over six orders of magnitude.
    near = 1e-3 * rng.normal(size=(2700, 4))
    far = rng.normal(size=(300, 4)) * 10 ** rng.uniform(-3, 3, size=(300, 1))
    vectors = np.concatenate([near, far]).astype(np.float32)
    fit = fit_codebook(vectors, **NAMES, codebook_size=1024, standardize=True)
    found = nearest_centroids(fit.codebook.centroids, fit.codebook.preprocessing.apply(vectors))
    assert fit.codebook.num_centroids == fit.metrics.learned_centroids == min(1024, fit.metrics.distinct_vectors)
    assert fit.metrics.smallest_cluster >= 1
    assert (
        len(np.unique(found.codes)) >= 0.99 * fit.codebook.num_centroids
    )  # training points are rounded, these are not


def test_a_retraining_stays_in_the_old_space_and_keeps_the_meaning_of_codes(blobs):
    old = fit_codebook(blobs[::2], **NAMES, codebook_size=30, standardize=True).codebook
    shifted = np.random.default_rng(1).permutation(blobs[1::2])
    new = fit_codebook(shifted, **NAMES, codebook_size=30, preprocessing=old.preprocessing, start=old.centroids)
    assert new.codebook.preprocessing is old.preprocessing
    np.testing.assert_array_equal(assign(new.codebook, shifted).codes, assign(old, shifted).codes)
    assert 0 < np.abs(new.codebook.centroids - old.centroids).max() < 0.2


def test_codes_keep_their_numbers_though_sizes_change(blobs):
    old = fit_codebook(blobs, **NAMES, codebook_size=30).codebook
    rare = blobs[assign(old, blobs).codes >= 20]
    new = fit_codebook(np.concatenate([blobs, *[rare] * 9]), **NAMES, codebook_size=30, start=old.centroids).codebook
    np.testing.assert_array_equal(assign(new, blobs).codes, assign(old, blobs).codes)


def test_codes_beyond_the_start_are_filled(blobs):
    old = fit_codebook(blobs, **NAMES, codebook_size=20).codebook
    new = fit_codebook(blobs, **NAMES, codebook_size=64, start=old.centroids)
    assert new.codebook.num_centroids == 64
    assert new.metrics.smallest_cluster >= 1
    assert new.metrics.inertia < 0.5 * np.mean(assign(old, blobs).distances)


def test_an_empty_start_is_none(blobs):
    expected = fit_codebook(blobs, **NAMES, codebook_size=8).codebook.content_hash
    empty = np.zeros((0, 1), np.float32)  # of a codebook that was trained without vectors
    assert fit_codebook(blobs, **NAMES, codebook_size=8, start=empty).codebook.content_hash == expected


def test_without_vectors_the_start_stays():
    start = np.eye(3, dtype=np.float32)
    fit = fit_codebook(np.zeros((0, 3), np.float16), **NAMES, codebook_size=8, start=start)
    np.testing.assert_array_equal(fit.codebook.centroids, start)
    assert (fit.metrics.learned_centroids, fit.metrics.largest_cluster) == (3, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": np.eye(5, dtype=np.float32)}, r"shape \(5, 5\), but preprocessed vectors have 4"),
        ({"start": np.ones((3, 4), np.float32)}, "3 centroids do not fit into a codebook size of 2"),
        ({"start": np.eye(4, dtype=np.float32)[:2], "standardize": True}, "needs the preprocessing"),
        ({"preprocessing": Preprocessing(True), "standardize": True}, "pass either standardize or preprocessing"),
        ({"preprocessing": Preprocessing(True, projection=np.ones((3, 1), np.float32))}, "3 dimensions, not 4"),
    ],
)
def test_arguments_that_do_not_fit_each_other_are_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        fit_codebook(np.eye(4, dtype=np.float16), **{**NAMES, "codebook_size": 2, **changes})


MEASURE = """
import resource, sys
import numpy as np
from tracktokens.codebooks.training.fit import fit_codebook
rows, dim = int(sys.argv[1]), 64
vectors = np.empty((rows, dim), np.float16)
for block in range(0, rows, 10_000):
    vectors[block : block + 10_000] = np.random.default_rng(block).normal(size=(10_000, dim))
settings = {"modality": "tags", "encoder_id": "e", "codebook_size": 4, "threads": 2, "standardize": bool(sys.argv[2])}
fit_codebook(vectors[:5000], **settings)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit_codebook(vectors, **settings)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("standardize", ["", "standardize"])
def test_memory_is_a_float16_copy_and_a_hundred_bytes_a_vector(standardize):
    rows = 300_000
    command = [sys.executable, "-c", MEASURE, str(rows), standardize]
    grown = subprocess.run(command, check=True, capture_output=True).stdout
    assert int(grown) * 1024 < rows * (2 * 64 + 100) + 2 * (16 << 20)  # a float32 copy alone: 256 bytes per row


def test_the_number_of_faiss_threads_is_given_back():
    import faiss

    before = faiss.omp_get_max_threads()
    fit_codebook(np.eye(4, dtype=np.float16), **NAMES, codebook_size=2, threads=1)
    assert faiss.omp_get_max_threads() == before


def test_training_prints_nothing(blobs, capfd):
    fit_codebook(blobs[:40], **NAMES, codebook_size=1024)
    fit_codebook(blobs, **NAMES, codebook_size=8)
    assert capfd.readouterr() == ("", "")


def test_a_vector_that_is_not_finite_is_refused():
    for standardize in (False, True):
        with pytest.raises(InvalidDataError, match="1 of 2 vectors"):
            fit_codebook(np.array([[1, 2], [np.nan, 1]], np.float16), **NAMES, codebook_size=2, standardize=standardize)


@pytest.mark.parametrize("argument", [{"seed": -1}, {"codebook_size": 0}, {"codebook_size": 32768}])
def test_arguments_out_of_range_are_errors(argument):
    with pytest.raises(ValueError, match=str(next(iter(argument.values())))):
        fit_codebook(np.eye(4, dtype=np.float16), **{**NAMES, "codebook_size": 2, **argument})
