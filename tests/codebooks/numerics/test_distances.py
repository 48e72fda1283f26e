"""Distances between points are squared L2."""

import numpy as np
import pytest

from tracktokens.codebooks.numerics.distances import distance_table, row_distances


def test_distances_are_what_is_worked_out_by_hand():
    left, right = np.array([[0, 0], [3, 4]], np.float32), np.array([[3, 4], [3, 3]], np.float32)
    np.testing.assert_array_equal(row_distances(left, right), [25, 1])
    np.testing.assert_array_equal(distance_table(left, right), [[25, 18], [0, 1]])
    assert row_distances(left, right).dtype == np.float32


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (40, 7)])
def test_a_table_holds_the_distance_of_every_pair(shape):
    rng = np.random.default_rng(0)
    left = (100 + rng.normal(size=shape)).astype(np.float32)  # far from the origin, where digits cancel
    right = (100 + rng.normal(size=(25, shape[1]))).astype(np.float32)
    pairs = left[:, np.newaxis].astype(np.float64) - right
    np.testing.assert_allclose(distance_table(left, right), (pairs**2).sum(axis=2), rtol=1e-8)
    assert (distance_table(left, left) >= 0).all()
