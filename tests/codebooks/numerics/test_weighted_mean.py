"""Sums and means are the same whatever the order of the numbers."""

import math

import numpy as np
import pytest

from tracktokens.codebooks.numerics.weighted_mean import ExactSum, WeightedMean


def summed(values):
    total = ExactSum()
    total.add(np.asarray(values, np.float64))
    return total.value()


def test_a_small_number_is_not_lost_between_large_ones():
    assert summed([1e30, 1, -1e30]) == 1
    assert summed([2.0**-149, 2.0**100, -(2.0**100)]) == 2.0**-149


def test_nothing_adds_up_to_zero():
    assert ExactSum().value() == 0
    assert summed([]) == 0
    assert summed([0.0, -0.0]) == 0


def test_sums_agree_with_those_of_the_standard_library():
    values = np.random.default_rng(0).lognormal(0, 8, 20_000) * np.random.default_rng(1).choice([-1, 1], 20_000)
    assert summed(values) == pytest.approx(math.fsum(values), rel=1e-13)
    in_float32 = values.astype(np.float32)
    assert summed(in_float32) == math.fsum(in_float32)  # every bit of these is summed


def test_the_order_and_the_parts_do_not_change_a_bit():
    rng = np.random.default_rng(2)
    values = rng.lognormal(0, 8, 5000)
    for _ in range(5):
        parts = [ExactSum() for _ in range(4)]
        for part, share in zip(parts, np.array_split(rng.permutation(values), 4), strict=True):
            part.add(share)
        merged = ExactSum()
        for part in parts:
            merged.merge(part)
        assert merged.value() == summed(values)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_numbers_without_a_sum_are_refused(value):
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="finite"):
        summed([1, value])


def test_a_mean_is_weighted_as_worked_out_by_hand():
    mean = WeightedMean()
    mean.add([1, 4], [3, 1])
    assert mean.value() == 7 / 4
    mean.add([True, False])  # a weight of 1 each
    assert mean.value() == 8 / 6
    other = WeightedMean()
    other.add([10], [2])
    mean.merge(other)
    assert mean.value() == 28 / 8


def test_there_is_no_mean_of_what_has_no_weight():
    mean = WeightedMean()
    assert mean.value() is None
    mean.add([5, 6], [0, 0])
    assert mean.value() is None


@pytest.mark.parametrize(("weights", "message"), [([1, -1], "negative"), ([1, np.nan], "NaN"), ([1], "shape")])
def test_weights_that_weigh_nothing_sensible_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        WeightedMean().add([1, 2], weights)
