"""Weights of tracks: numbers that can be summed, whatever a catalog has as popularity."""

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.codebooks.numerics.weighted_mean import WeightedMean
from tracktokens.transforms.store.token_tables import popularity_weights


def test_weights_are_neither_null_nor_negative() -> None:
    assert popularity_weights(pa.array([2.5, None, -1.0])).tolist() == [2.5, 0.0, 0.0]


def test_a_huge_popularity_can_be_averaged() -> None:
    weights = popularity_weights(pa.array([1.7976931348623157e308, 3.4e38, 1.0]))
    mean = WeightedMean()
    mean.add(np.array([1e6, 1e6, 1.0]), weights)
    assert mean.value() == pytest.approx(1e6)
