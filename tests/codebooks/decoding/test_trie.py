"""The prefix trie gives the same continuations as filtering all tuples."""

from itertools import product

import numpy as np
import pytest

from tracktokens.codebooks.decoding.trie import Node, TupleTrie


def codes(*rows):
    return np.array(rows, np.int16)


def test_codes_follow_a_prefix_if_some_tuple_continues_it():
    tree = TupleTrie(codes([1, 2, 3, 4, 5], [1, 2, 3, -1, 5], [1, 2, 3, 4, 5], [0, 2, 9, 9, 9]))
    assert len(tree) == 3
    assert tree.next_codes(tree.root).tolist() == [0, 1]
    assert tree.next_codes(tree.find([1, 2, 3])).tolist() == [-1, 4]
    assert tree.find([1, 2, 9]) is None
    assert tree.find([7, 2, 9]) is None
    assert tree.find([1, 2, 3, 4, 5]) == Node(5, 2, 3)  # tuples in order: 0 2 9 9 9, 1 2 3 -1 5, 1 2 3 4 5


def test_every_prefix_has_the_codes_that_filtering_finds():
    draw = np.random.default_rng(0)
    rows = draw.integers(-1, 3, (150, 5)).astype(np.int16)
    tree = TupleTrie(rows)
    assert len(tree) == len(np.unique(rows, axis=0))
    excluded = rows[:60]
    numbers = tree.numbers(excluded)
    left = codes(*[row for row in rows.tolist() if row not in excluded.tolist()])
    for depth in range(5):
        for prefix in product(range(-1, 4), repeat=depth):
            begins = rows[(rows[:, :depth] == prefix).all(axis=1)]
            node = tree.find(prefix)
            assert (node is None) == (not len(begins))
            if node is not None:
                assert tree.next_codes(node).tolist() == np.unique(begins[:, depth]).tolist()
                begins = left[(left[:, :depth] == prefix).all(axis=1)]
                assert tree.next_codes(node, numbers).tolist() == np.unique(begins[:, depth]).tolist()


def test_numbers_leave_out_tuples_that_are_not_here():
    tree = TupleTrie(codes([1, 1, 1, 1, 1], [2, 2, 2, 2, 2], [3, 3, 3, 3, 3]))
    assert tree.numbers(codes([3, 3, 3, 3, 3], [1, 2, 3, 4, 5], [1, 1, 1, 1, 1], [3, 3, 3, 3, 3])).tolist() == [0, 2]
    assert tree.numbers(np.zeros((0, 5), np.int16)).tolist() == []


def test_an_empty_tree_has_no_prefix_but_the_empty_one():
    tree = TupleTrie(np.zeros((0, 5), np.int16))
    assert len(tree) == 0
    assert tree.next_codes(tree.root).tolist() == []
    assert tree.find([0]) is None


def test_what_is_no_code_matrix_is_refused():
    with pytest.raises(ValueError, match="code matrix"):
        TupleTrie(np.zeros((3, 4), np.int16))
