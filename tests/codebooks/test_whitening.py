"""Features of different units."""

import numpy as np
import pytest

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.whitening import standardization, whitening


def test_features_of_different_units_weigh_the_same_when_standardised():
    vectors = np.array([[0, 1000], [2, 3000], [0, 3000], [2, 1000]], np.float16)
    preprocessing = standardization(vectors)
    assert not preprocessing.unit_length
    np.testing.assert_array_equal(preprocessing.mean, [1, 2000])
    np.testing.assert_allclose(preprocessing.scale, [1, 0.001], rtol=1e-6)


def test_repeated_vectors_count_as_often_as_they_occur_in_mean_and_deviation():
    preprocessing = standardization(np.array([[0], [4], [4], [4]], np.float16))
    np.testing.assert_allclose(preprocessing.mean, [3])
    np.testing.assert_allclose(preprocessing.scale, [1 / np.sqrt(3)], rtol=1e-6)


def test_a_constant_feature_is_left_out_of_distances():
    vectors = np.array([[0.1, 0], [0.1, 2]] * 50, np.float16)
    preprocessing = standardization(vectors)
    assert preprocessing.scale[0] == 0
    np.testing.assert_allclose(preprocessing.apply(np.array([[77, 2]], np.float16)), [[0, 1]], rtol=1e-6)
    np.testing.assert_allclose(np.abs(whitening(vectors).projection), [[0], [1]], atol=1e-6)


def test_components_are_uncorrelated_and_their_deviations_are_the_roots_of_what_they_were():
    draw = np.random.default_rng(0)
    vectors = (draw.normal(size=(20_000, 6)) @ draw.normal(size=(6, 6)) * [1, 10, 100, 1, 1, 1]).astype(np.float32)
    points = whitening(vectors).apply(vectors)
    correlation = np.corrcoef(vectors.astype(np.float64).T)
    variances = np.sort(np.linalg.eigvalsh(correlation))[::-1][: points.shape[1]]
    np.testing.assert_allclose(np.cov(points.T, bias=True), np.diag(np.sqrt(variances)), atol=0.01)


def test_as_many_components_are_kept_as_hold_four_fifths_of_the_variance():
    # Correlations: three features that are one, and one of its own: variances 3, 1 and 0, 0.
    common, own = np.tile([1.0, -1.0], 50), np.repeat([1.0, -1.0], 50)
    preprocessing = whitening(np.stack([common, common, common, own], axis=1).astype(np.float16))
    assert preprocessing.projection.shape == (4, 2)
    np.testing.assert_allclose(np.abs(preprocessing.projection[:, 0]), [*[3**-0.75] * 3, 0], atol=1e-6)
    np.testing.assert_allclose(np.abs(preprocessing.projection[:, 1]), [0, 0, 0, 1], atol=1e-6)


def test_fewer_vectors_than_dimensions_stay_at_different_distances():
    draw = np.random.default_rng(2)
    groups = np.repeat(draw.normal(size=(4, 100)), 5, axis=0)
    vectors = (groups + 0.3 * draw.normal(size=(20, 100))).astype(np.float32)
    points = whitening(vectors).apply(vectors)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    same = (np.arange(20)[:, None] // 5) == (np.arange(20)[None] // 5)
    assert distances[same].max() < distances[~same].min()


@pytest.mark.parametrize("vectors", [np.zeros((0, 3)), np.ones((1, 3)), np.ones((5, 3))])
def test_without_variance_there_is_nothing_to_whiten(vectors):
    preprocessing = whitening(vectors.astype(np.float16))
    assert isinstance(preprocessing, Preprocessing)
    assert preprocessing.projection is None
