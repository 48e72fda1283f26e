"""Training points are the distinct vectors, in a defined order."""

import numpy as np
import pytest

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.training.points import Points, training_points
from tracktokens.schemas.errors import InvalidDataError

RAW = Preprocessing(unit_length=False)


def as_counts(points):
    return {tuple(row): count for row, count in zip(points.values.tolist(), points.counts.tolist(), strict=True)}


def test_equal_vectors_become_one_point_with_their_number():
    points = training_points(np.array([[1, 2], [3, 4], [1, 2], [1, 2]], np.float16), RAW, seed=0)
    assert as_counts(points) == {(1, 2): 3, (3, 4): 1}


def test_vectors_of_one_direction_are_one_point():
    vectors = np.array([[3, 4], [6, 8], [0.3, 0.4]], np.float32)
    assert len(training_points(vectors, Preprocessing(unit_length=True), seed=0)) == 1


def test_minus_zero_is_zero():
    assert len(training_points(np.array([[0.0, 1], [-0.0, 1]], np.float16), RAW, seed=0)) == 1


def test_many_vectors_are_counted_as_numpy_counts_them():
    vectors = np.random.default_rng(0).integers(0, 3, (20_000, 7)).astype(np.float16)
    values, counts = np.unique(vectors, axis=0, return_counts=True)
    expected = {tuple(row): count for row, count in zip(values.tolist(), counts.tolist(), strict=True)}
    assert as_counts(training_points(vectors, RAW, seed=0)) == expected


@pytest.mark.parametrize("change", [np.asfortranarray, lambda rows: rows.astype(np.float32), lambda rows: rows[::-1]])
def test_the_order_depends_on_the_values_alone(change):
    vectors = np.random.default_rng(1).normal(size=(5000, 9)).astype(np.float16)
    expected, found = training_points(vectors, RAW, seed=0), training_points(change(vectors), RAW, seed=0)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.counts, expected.counts)


def test_another_seed_gives_another_order_of_the_same_points():
    vectors = np.random.default_rng(2).normal(size=(100, 4)).astype(np.float16)
    first, second = (training_points(vectors, RAW, seed) for seed in (0, 1))
    assert not np.array_equal(first.values, second.values)
    assert as_counts(first) == as_counts(second)


def test_as_many_points_as_wanted_are_the_first_of_all():
    vectors = np.random.default_rng(3).normal(size=(3000, 4)).astype(np.float16)
    everything, some = training_points(vectors, RAW, seed=0), training_points(vectors, RAW, seed=0, most=50)
    np.testing.assert_array_equal(some.values, everything.values[:50])
    np.testing.assert_array_equal(some.counts, everything.counts[:50])


def test_the_first_points_are_a_random_sample_of_a_line():
    line = np.linspace(-1, 1, 40_000, dtype=np.float32)[:, np.newaxis]
    points = training_points(line, RAW, seed=0)
    sample = points.first(len(points) // 8).values.astype(float)[:, 0]
    everything = points.values.astype(float)[:, 0]
    # Quantiles of n random points err by 0.5 / sqrt(n) at most, here 0.8 % of the points: 5 deviations are allowed.
    shares = np.searchsorted(np.sort(everything), np.quantile(sample, [0.1, 0.25, 0.5, 0.75, 0.9])) / len(everything)
    np.testing.assert_allclose(shares, [0.1, 0.25, 0.5, 0.75, 0.9], atol=2.5 / np.sqrt(len(sample)))


def test_the_variance_is_that_worked_out_by_hand():
    # 0 three times and 4 once: mean 1, squared distances 1, 1, 1 and 9.
    assert Points(np.array([[0], [4]], np.float16), np.array([3, 1])).variance() == pytest.approx(3)
    assert Points(np.array([[7]], np.float16), np.array([5])).variance() == 0


def test_the_variance_of_points_that_are_close_together_keeps_its_digits():
    values = (np.float16(1) + np.arange(2, dtype=np.float16)[:, np.newaxis] * np.float16(2**-10)).astype(np.float16)
    assert Points(values, np.array([1, 1])).variance() == pytest.approx(2.0**-22, rel=1e-6)


def test_a_value_that_float16_cannot_hold_is_refused():
    with pytest.raises(InvalidDataError, match="larger than 65504"):
        training_points(np.array([[1], [70_000]], np.float32), RAW, seed=0)
