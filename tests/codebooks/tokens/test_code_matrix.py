"""Rows of a code matrix are grouped, packed and split by their codes."""

import numpy as np
import pytest

from tracktokens.codebooks.tokens import code_matrix
from tracktokens.codebooks.tokens.code_matrix import check_codes, equal_rows, pack_tuples, tuple_buckets


def random_codes(rows, codes, seed=0):
    return np.random.default_rng(seed).integers(-1, codes, (rows, 5)).astype(np.int16)


def test_equal_rows_are_found_as_by_hand():
    sets = equal_rows(np.array([[1, 2], [0, 9], [1, 2], [1, -1], [1, 2]], np.int16))
    # In order: 0 9, then 1 -1, then 1 2 three times.
    np.testing.assert_array_equal(sets.numbers, [2, 0, 2, 1, 2])
    np.testing.assert_array_equal(sets.sizes, [1, 1, 3])
    np.testing.assert_array_equal(sets.first_rows, [1, 3, 0])


@pytest.mark.parametrize("codes", [1, 2, 30])
def test_equal_rows_agree_with_a_dictionary(codes):
    matrix = random_codes(2000, codes)
    sets = equal_rows(matrix)
    rows = [tuple(row) for row in matrix.tolist()]
    in_order = sorted(set(rows))
    np.testing.assert_array_equal(sets.numbers, [in_order.index(row) for row in rows])
    np.testing.assert_array_equal(sets.sizes, [rows.count(row) for row in in_order])
    np.testing.assert_array_equal(sets.first_rows, [rows.index(row) for row in in_order])


def test_rows_without_columns_are_all_equal_and_no_rows_are_no_sets():
    np.testing.assert_array_equal(equal_rows(np.zeros((4, 0), np.int16)).sizes, [4])
    assert len(equal_rows(np.zeros((0, 5), np.int16)).sizes) == 0


def test_packed_rows_are_in_the_order_of_the_rows():
    matrix = np.concatenate([random_codes(500, 3), random_codes(500, 32_767, seed=1)])
    matrix[:2] = [[-1] * 5, [32_766] * 5]
    packed = [tuple(words) for words in pack_tuples(matrix).tolist()]
    rows = [tuple(row) for row in matrix.tolist()]
    assert len(set(packed)) == len(set(rows))
    assert sorted(range(1000), key=packed.__getitem__) == sorted(range(1000), key=rows.__getitem__)


def test_packed_words_are_those_worked_out_by_hand():
    np.testing.assert_array_equal(pack_tuples(np.array([[4, -1, 0, 1, 2]], np.int16)), [[5, 0x0000_0001_0002_0003]])


def test_equal_rows_share_a_bucket_and_buckets_are_filled_evenly():
    matrix = np.unique(random_codes(40_000, 12), axis=0)
    buckets = tuple_buckets(matrix, 64)
    np.testing.assert_array_equal(tuple_buckets(matrix[::-1].copy(), 64), buckets[::-1])
    fill = np.bincount(buckets, minlength=64)
    expected = len(matrix) / 64
    assert len(fill) == 64
    assert abs(fill - expected).max() < 5 * np.sqrt(expected)
    assert set(tuple_buckets(matrix, 1)) == {0}


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((2, 4), np.int16), r"\(2, 4\)"),
        (np.zeros((2, 5), np.int32), "int32"),
        (np.full((1, 5), -2, np.int16), "code -2"),
    ],
)
def test_what_is_no_code_matrix_is_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        check_codes(codes)


@pytest.mark.parametrize("width", [1, 4, 6, 9, 10])
def test_rows_of_any_number_of_modalities_pack_in_their_order_without_collisions(width, monkeypatch):
    monkeypatch.setattr(code_matrix, "MODALITIES", tuple(range(width)))
    matrix = np.unique(np.random.default_rng(width).integers(-1, 2, (3000, width)).astype(np.int16), axis=0)
    packed = [tuple(words) for words in pack_tuples(matrix).tolist()]
    assert packed == sorted(set(packed))


def test_a_matrix_of_another_width_is_not_packed():
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        pack_tuples(np.zeros((2, 4), np.int16))


def test_buckets_are_those_of_published_releases():
    matrix = np.array([[4, -1, 0, 1, 2], [-1, -1, -1, -1, -1], [1023, 7, 32_766, 0, 5]], np.int16)
    assert tuple_buckets(matrix, 1000).tolist() == [935, 55, 216]
