"""Vectors get the code of their nearest centroid."""

import numpy as np
import pytest

from tracktokens.codebooks.assign import MAX_BLOCK_ROWS, assign, nearest_centroids
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.schemas.errors import InvalidDataError


def make_codebook(centroids, preprocessing=None, codebook_size=32767):
    raw = preprocessing or Preprocessing(unit_length=False)
    return Codebook("audio", "encoder", raw, np.asarray(centroids, np.float32), codebook_size)


def test_codes_distances_and_margins_are_those_worked_out_by_hand():
    found = assign(make_codebook([[0, 0], [3, 4], [10, 0]]), np.array([[0, 1], [3, 3], [7, 0]], np.float32))
    # Squared distances: 1 18 101; 18 1 58; 49 32 9.
    np.testing.assert_array_equal(found.codes, [0, 1, 2])
    np.testing.assert_array_equal(found.distances, [1, 1, 9])
    np.testing.assert_array_equal(found.margins, [17, 17, 23])
    assert (found.codes.dtype, found.distances.dtype, found.margins.dtype) == (np.int16, np.float32, np.float32)


def test_vectors_are_preprocessed_before_they_are_compared():
    found = assign(make_codebook([[1, 0], [0, 1]], Preprocessing(unit_length=True)), np.array([[0, 9]], np.float16))
    assert (found.codes[0], found.distances[0], found.margins[0]) == (1, 0, 2)


def test_of_equally_near_centroids_the_smaller_code_is_taken():
    found = assign(make_codebook([[5, 5], [2, 0], [0, 2], [0, -2], [-2, 0]]), np.zeros((3, 2), np.float32))
    np.testing.assert_array_equal(found.codes, [1, 1, 1])
    np.testing.assert_array_equal(found.margins, [0, 0, 0])


def test_ties_go_to_the_smaller_code_in_a_large_codebook():
    centroids = np.zeros((3000, 8), np.float32)
    centroids[:, 0] = 7
    centroids[[40, 1500, 2999], 0] = 1
    assert set(assign(make_codebook(centroids), np.zeros((100, 8), np.float16)).codes) == {40}


def test_one_centroid_has_no_margin():
    found = assign(make_codebook([[1, 1]]), np.array([[1, 3], [1, 1]], np.float16))
    np.testing.assert_array_equal(found.codes, [0, 0])
    np.testing.assert_array_equal(found.distances, [4, 0])
    assert np.isnan(found.margins).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("unit_length", [False, True])
def test_many_vectors_agree_with_a_plain_search(dtype, unit_length):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(4 * MAX_BLOCK_ROWS + 500, 12)).astype(dtype)
    centroids = rng.normal(size=(50, 12)).astype(np.float32)
    found = assign(make_codebook(centroids, Preprocessing(unit_length)), vectors)

    points = vectors.astype(np.float64)
    if unit_length:
        points /= np.sqrt((points**2).sum(axis=1, keepdims=True))
    table = ((points[:, np.newaxis] - centroids.astype(np.float64)) ** 2).sum(axis=2)
    first, second = np.sort(table, axis=1)[:, :2].T
    np.testing.assert_array_equal(found.codes, table.argmin(axis=1))
    np.testing.assert_allclose(found.distances, first, rtol=1e-5)
    np.testing.assert_allclose(found.margins, second - first, rtol=1e-3, atol=1e-5)


def test_a_vector_gets_the_same_numbers_alone_and_in_company():
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(300, 40)).astype(np.float16)
    codebook = make_codebook(rng.normal(size=(33, 40)), Preprocessing(unit_length=True))
    together = assign(codebook, vectors)
    for row in range(len(vectors)):
        alone = assign(codebook, vectors[row : row + 1])
        assert alone.codes[0] == together.codes[row]
        assert alone.distances[0] == together.distances[row]
        assert alone.margins[0] == together.margins[row]


def test_centroids_that_a_product_cannot_separate_are_separated_by_differences():
    # 300 centroids from 1000 to 1000.3 in each of 32 dimensions: squares of 3e7 carry float32 errors of 2, and the
    # squared distances between neighbours are 3e-5.
    places = (1000 + np.arange(300, dtype=np.float32) * np.float32(2**-10)).astype(np.float32)
    centroids = np.repeat(places[:, np.newaxis], 32, axis=1)
    order = np.random.default_rng(4).permutation(300)
    found = nearest_centroids(centroids[order], centroids)
    np.testing.assert_array_equal(order[found.codes], np.arange(300))
    np.testing.assert_array_equal(found.distances, np.zeros(300))
    np.testing.assert_allclose(found.margins, 32 * 2.0**-20, rtol=1e-6)


def test_of_equal_centroids_among_many_near_ones_the_smallest_code_is_taken():
    centroids = np.full((500, 8), 3000.0, np.float32)
    centroids[:, 0] += np.linspace(1, 2, 500, dtype=np.float32)
    centroids[[30, 77, 400], 0] = 3000
    found = nearest_centroids(centroids, np.full((5, 8), 3000.0, np.float32))
    np.testing.assert_array_equal(found.codes, [30] * 5)
    np.testing.assert_array_equal(found.margins, [0] * 5)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_does_not_change_a_bit(threads):
    import faiss

    rng = np.random.default_rng(7)
    codebook = make_codebook(rng.normal(size=(1500, 24)), Preprocessing(unit_length=True))
    vectors = rng.normal(size=(6000, 24)).astype(np.float16)
    expected, before = assign(codebook, vectors), faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        found = assign(codebook, vectors)
    finally:
        faiss.omp_set_num_threads(before)
    for name in ("codes", "distances", "margins"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_vectors_are_projected_before_they_are_compared():
    projection = np.array([[0], [2]], np.float32)
    codebook = make_codebook([[0], [10]], Preprocessing(unit_length=False, projection=projection))
    found = assign(codebook, np.array([[9, 1], [9, 4]], np.float16))
    # 2 and 8: squared distances 4 and 64, 64 and 4.
    np.testing.assert_array_equal(found.codes, [0, 1])
    np.testing.assert_array_equal(found.distances, [4, 4])
    np.testing.assert_array_equal(found.margins, [60, 60])


def test_distances_and_margins_are_never_negative():
    rng = np.random.default_rng(3)
    centroids = (1000 + rng.normal(size=(64, 32))).astype(np.float32)  # |x|^2 - 2xc + |c|^2 loses its digits
    found = nearest_centroids(centroids, centroids)
    np.testing.assert_array_equal(found.codes, np.arange(64))
    np.testing.assert_array_equal(found.distances, np.zeros(64))
    assert (found.margins > 0).all()


def test_no_vectors_give_empty_arrays_of_the_right_types():
    for centroids in ([[0, 0]], [[0, 0], [1, 1]]):
        found = assign(make_codebook(centroids), np.zeros((0, 2), np.float16))
        assert found.codes.shape == found.distances.shape == found.margins.shape == (0,)
        assert (found.codes.dtype, found.distances.dtype) == (np.int16, np.float32)


def test_the_highest_code_fits():
    centroids = np.arange(32767, dtype=np.float32)[:, np.newaxis]
    assert assign(make_codebook(centroids), np.array([[40_000]], np.float32)).codes[0] == 32766


def test_a_codebook_without_centroids_gives_no_codes():
    with pytest.raises(ValueError, match="audio codebook has no centroids"):
        assign(make_codebook(np.zeros((0, 2))), np.zeros((1, 2), np.float32))


def test_vectors_of_another_dimension_are_an_error_that_names_both():
    with pytest.raises(ValueError, match=r"shape \(1, 3\) do not fit the audio codebook of 2 dimensions"):
        assign(make_codebook([[0, 0]]), np.zeros((1, 3), np.float32))


def test_a_vector_that_is_not_finite_gets_no_code():
    with pytest.raises(InvalidDataError, match="not finite"):
        assign(make_codebook([[0, 0], [1, 1]]), np.array([[np.nan, 0]], np.float16))
