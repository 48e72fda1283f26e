"""Retrained codebooks are renumbered so that as many tracks as possible keep their codes."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.continuity.alignment import (
    align,
    centroids_in_space_of,
    count_pairs,
    match_codes,
    merge_pairs,
    relabel,
    relabel_codes,
)


def make_codebook(centroids, preprocessing=None, encoder_id="encoder", codebook_size=512):
    plain = preprocessing or Preprocessing(unit_length=False)
    return Codebook("audio", encoder_id, plain, np.asarray(centroids, np.float32), codebook_size)


def pairs_of(table):
    """Pairs with the counts of a table: old codes are rows, new codes are columns."""
    old, new = np.indices(np.shape(table)).reshape(2, -1).astype(np.int16)
    return count_pairs(old, new, np.asarray(table, np.int64).ravel())


def test_pairs_are_counted_as_by_hand():
    old = np.array([3, 0, 3, -1, 2, 3], np.int16)
    new = np.array([1, 0, 1, 1, -1, 0], np.int16)
    pairs = count_pairs(old, new)
    assert list(zip(pairs.old, pairs.new, pairs.weights, strict=True)) == [(0, 0, 1), (3, 0, 1), (3, 1, 2)]
    weighted = count_pairs(old, new, np.array([10, 0, 5, 9, 9, 2]))
    assert list(zip(weighted.old, weighted.new, weighted.weights, strict=True)) == [(3, 0, 2), (3, 1, 15)]
    assert (pairs.old.dtype, pairs.new.dtype, pairs.weights.dtype) == (np.int16, np.int16, np.int64)


def test_pairs_counted_in_parts_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    old, new = rng.integers(-1, 30, (2, 1000)).astype(np.int16)
    weights = rng.integers(0, 9, 1000)
    whole = count_pairs(old, new, weights)
    parts = [count_pairs(old[rows], new[rows], weights[rows]) for rows in np.array_split(rng.permutation(1000), 6)]
    merged = merge_pairs(parts)
    for name in ("old", "new", "weights"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
    assert len(merge_pairs([]).old) == 0


def test_the_highest_codes_are_paired():
    pairs = count_pairs(np.array([32766], np.int16), np.array([32766], np.int16))
    assert (pairs.old[0], pairs.new[0]) == (32766, 32766)


def test_two_codes_that_changed_places_get_their_numbers_back():
    alignment = match_codes(pairs_of([[1, 8], [9, 2]]), 2, 2)
    np.testing.assert_array_equal(alignment.mapping, [1, 0])
    assert (alignment.weight, alignment.kept, alignment.kept_without) == (20, 17, 3)
    assert (alignment.matched, alignment.placed) == (2, 0)
    assert alignment.mapping.dtype == np.int16


def test_all_tracks_together_count_and_not_each_code_by_itself():
    # Old 0 is mostly in new 0, but keeping these 10 would lose 9 + 8 elsewhere.
    alignment = match_codes(pairs_of([[10, 9], [8, 0]]), 2, 2)
    np.testing.assert_array_equal(alignment.mapping, [1, 0])
    assert alignment.kept == 17


@pytest.mark.parametrize("old_size", [1, 3, 6])
@pytest.mark.parametrize("new_size", [1, 3, 6])
@pytest.mark.parametrize("filled", [0.2, 1.0])
def test_no_other_numbering_keeps_more(old_size, new_size, filled):
    rng = np.random.default_rng(old_size * 10 + new_size)
    for _ in range(5):
        table = rng.integers(0, 12, (old_size, new_size)) * (rng.random((old_size, new_size)) < filled)
        alignment = match_codes(pairs_of(table), old_size, new_size)
        best = max(
            sum(table[number, code] for code, number in enumerate(order) if number < old_size)
            for order in permutations(range(new_size))
        )
        assert alignment.kept == best
        assert sorted(alignment.mapping) == list(range(new_size))
        assert alignment.weight == table.sum()
        assert alignment.kept_without == np.trace(table)


def test_a_large_codebook_agrees_with_a_dense_solver():
    rng = np.random.default_rng(1)
    table = rng.poisson(0.7, (300, 300)) * rng.integers(1, 50, (300, 300))
    rows, columns = linear_sum_assignment(table, maximize=True)
    assert match_codes(pairs_of(table), 300, 300).kept == table[rows, columns].sum()


def test_codes_without_common_tracks_take_the_lowest_free_numbers():
    # Old 2 became new 0; old 0, 1 and 3 have no tracks left.
    alignment = match_codes(pairs_of([[0] * 4, [0] * 4, [5, 0, 0, 0], [0] * 4]), 4, 4)
    np.testing.assert_array_equal(alignment.mapping, [2, 0, 1, 3])
    assert (alignment.matched, alignment.placed) == (1, 0)


def test_codes_without_common_tracks_take_the_numbers_of_near_centroids():
    old = np.array([[0], [100], [50], [30]], np.float32)
    new = np.array([[51], [29], [98], [1]], np.float32)
    alignment = match_codes(pairs_of([[0] * 4, [0] * 4, [5, 0, 0, 0], [0] * 4]), 4, 4, (old, new))
    np.testing.assert_array_equal(alignment.mapping, [2, 3, 1, 0])
    assert (alignment.matched, alignment.placed) == (1, 3)


def test_a_number_is_taken_once():
    centroids = (np.array([[0], [100]], np.float32), np.array([[2], [1]], np.float32))
    np.testing.assert_array_equal(match_codes(merge_pairs([]), 2, 2, centroids).mapping, [0, 1])


def test_more_centroids_than_before_get_numbers_after_the_old_ones():
    old = np.array([[0], [10]], np.float32)
    new = np.array([[5], [11], [6], [1]], np.float32)
    table = [[0, 0, 0, 0], [0, 0, 0, 7]]
    # Centroid 1 keeps number 1; the first of the others takes the free number 0; 2 and 3 are new numbers.
    np.testing.assert_array_equal(match_codes(pairs_of(table), 2, 4, (old, new)).mapping, [0, 2, 3, 1])
    np.testing.assert_array_equal(match_codes(pairs_of(table), 2, 4).mapping, [0, 2, 3, 1])


def test_fewer_centroids_than_before_take_numbers_below_their_count():
    # Most tracks of new 0 come from old 3, but two centroids have only the numbers 0 and 1.
    alignment = match_codes(pairs_of([[0, 4], [3, 1], [0, 0], [9, 0]]), 4, 2)
    np.testing.assert_array_equal(alignment.mapping, [1, 0])
    assert (alignment.weight, alignment.kept) == (17, 7)


@pytest.mark.parametrize(("old_size", "new_size"), [(0, 0), (0, 3), (3, 0)])
def test_codebooks_without_centroids_have_nothing_to_keep(old_size, new_size):
    alignment = match_codes(merge_pairs([]), old_size, new_size)
    np.testing.assert_array_equal(alignment.mapping, np.arange(new_size))
    assert (alignment.matched, alignment.weight, alignment.kept) == (0, 0, 0)


def test_pairs_without_a_centroid_are_refused():
    with pytest.raises(ValueError, match="1 old and 2 new"):
        match_codes(pairs_of([[1, 1], [1, 1]]), 1, 2)
    with pytest.raises(ValueError, match="2 old and 1 new"):
        match_codes(pairs_of([[1, 1], [1, 1]]), 2, 1)


def test_a_shuffled_codebook_is_put_back_as_it_was():
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(2000, 6)).astype(np.float32)
    old = make_codebook(rng.normal(size=(300, 6)))
    new = relabel(old, rng.permutation(300).astype(np.int16))
    pairs = count_pairs(assign(old, vectors).codes, assign(new, vectors).codes)
    assert relabel(new, align(old, new, pairs).mapping).content_hash == old.content_hash
    nothing = merge_pairs([])
    assert relabel(new, align(old, new, nothing).mapping).content_hash == old.content_hash  # by nearness alone


def test_without_common_tracks_other_spaces_keep_the_order():
    old = make_codebook([[0], [9]])
    np.testing.assert_array_equal(align(old, make_codebook([[9], [0]]), merge_pairs([])).mapping, [1, 0])
    elsewhere = make_codebook([[9], [0]], encoder_id="another")
    np.testing.assert_array_equal(align(old, elsewhere, merge_pairs([])).mapping, [0, 1])


def test_relabelled_codebooks_assign_relabelled_codes():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(500, 4)).astype(np.float16)
    codebook = make_codebook(rng.normal(size=(12, 4)))
    mapping = rng.permutation(12).astype(np.int16)
    before, after = assign(codebook, vectors), assign(relabel(codebook, mapping), vectors)
    np.testing.assert_array_equal(after.codes, relabel_codes(before.codes, mapping))
    np.testing.assert_array_equal(after.distances, before.distances)
    assert after.codes.dtype == relabel_codes(before.codes, mapping).dtype == np.int16


def test_none_stays_none():
    np.testing.assert_array_equal(relabel_codes(np.array([-1, 1, 0], np.int16), np.array([1, 0], np.int16)), [-1, 0, 1])


@pytest.mark.parametrize("mapping", [[0, 0], [0], [1, 2], [0, 1, 2]])
def test_a_mapping_that_is_no_permutation_is_refused(mapping):
    with pytest.raises(ValueError, match="each of the 2 codes of audio"):
        relabel(make_codebook([[0], [1]]), np.array(mapping, np.int16))


def test_counts_of_other_tracks_and_negative_weights_are_refused():
    codes = np.zeros(2, np.int16)
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        count_pairs(codes, codes[:1])
    with pytest.raises(ValueError, match="negative: -3"):
        count_pairs(codes, codes, np.array([1, -3]))


def test_differently_standardised_centroids_are_compared_as_vectors():
    def standardised(mean, scale):
        return Preprocessing(False, np.array(mean, np.float32), np.array(scale, np.float32))

    old = make_codebook([[0, 0]], standardised([10, 5], [0.5, 1]))
    new = make_codebook([[1, 0], [0, 0]], standardised([20, 5], [0.25, 0]))
    # As vectors (24, 5) and (20, 5), whose second dimension is constant; then (24 - 10) / 2 and (20 - 10) / 2.
    np.testing.assert_allclose(centroids_in_space_of(old, new), [[7, 0], [5, 0]])


def test_only_centroids_of_one_space_are_compared():
    old = make_codebook([[1, 0]])
    standard = Preprocessing(False, np.zeros(2, np.float32), np.ones(2, np.float32))
    assert centroids_in_space_of(old, old) is old.centroids
    for other in (
        make_codebook([[1, 0]], encoder_id="another"),
        make_codebook([[1, 0, 0]]),
        make_codebook([[1, 0]], Preprocessing(unit_length=True)),
        make_codebook([[1, 0]], standard),
    ):
        assert centroids_in_space_of(old, other) is None
    both = [Preprocessing(True, np.full(2, mean, np.float32), np.ones(2, np.float32)) for mean in (0, 1)]
    unlike = [make_codebook([[1, 0]], preprocessing) for preprocessing in both]
    assert centroids_in_space_of(*unlike) is None
    assert centroids_in_space_of(unlike[0], unlike[0]) is unlike[0].centroids


def test_projected_centroids_are_compared_under_the_same_projection_alone():
    ones = np.ones(2, np.float32)
    projections = [np.array(matrix, np.float32) for matrix in ([[1], [0]], [[0], [1]], [[1, 0], [0, 1]])]
    books = [
        make_codebook(np.ones((1, matrix.shape[1])), Preprocessing(False, ones, ones, matrix)) for matrix in projections
    ]
    assert centroids_in_space_of(books[0], books[0]) is books[0].centroids
    for other in (*books[1:], make_codebook([[1, 0]], Preprocessing(False, ones, ones))):
        assert centroids_in_space_of(books[0], other) is None
        assert centroids_in_space_of(other, books[0]) is None
