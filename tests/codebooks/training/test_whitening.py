"""Features of different units are standardised and whitened."""

import numpy as np
import pytest

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.training.whitening import NEGLIGIBLE, SHRINKAGE, learn_whitening
from tracktokens.schemas.errors import InvalidDataError


def test_features_of_different_units_weigh_the_same():
    vectors = np.array([[0, 1000], [2, 3000], [0, 3000], [2, 1000]], np.float16)
    learned = learn_whitening(vectors, seed=0)
    assert not learned.unit_length
    np.testing.assert_array_equal(learned.mean, [1, 2000])
    np.testing.assert_allclose(learned.scale, [1, 0.001], rtol=1e-6)
    # The two do not depend on each other: each direction has the variance 1.
    np.testing.assert_allclose(np.abs(learned.apply(vectors)), 1 / np.sqrt(1 + SHRINKAGE) * np.ones((4, 2)), rtol=1e-6)


def test_repeated_vectors_count_as_often_as_they_occur():
    learned = learn_whitening(np.array([[0], [4], [4], [4]], np.float16), seed=0)
    np.testing.assert_allclose(learned.mean, [3])
    np.testing.assert_allclose(learned.scale, [1 / np.sqrt(3)], rtol=1e-6)


def test_features_that_say_the_same_become_one_direction():
    rng = np.random.default_rng(0)
    said, other = rng.normal(size=(2, 4000, 1))
    vectors = np.concatenate([said, 3 * said, 10 - said, other], axis=1).astype(np.float32)
    learned = learn_whitening(vectors, seed=0)
    assert learned.projection.shape == (4, 2)
    # Three equal features have the variance 3 in one direction; a shrunken whitening makes 3 / (3 + s) of it.
    variances = learned.apply(vectors).astype(float).var(axis=0)
    np.testing.assert_allclose(variances, [3 / (3 + SHRINKAGE), 1 / (1 + SHRINKAGE)], rtol=0.02)


def test_directions_are_independent_and_the_strongest_comes_first():
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(3000, 12)) @ rng.normal(size=(12, 12))).astype(np.float32)
    covariance = np.cov(learn_whitening(vectors, seed=0).apply(vectors).T.astype(float))
    variances = np.diag(covariance)
    np.testing.assert_allclose(covariance - np.diag(variances), 0, atol=1e-3)
    assert (np.diff(variances) < 0).all()


def test_a_direction_is_left_out_if_its_variance_is_negligible():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(4000, 1))
    for noise, components in ((0.2, 1), (0.8, 2)):
        vectors = np.concatenate([base, base + noise * rng.normal(size=base.shape)], axis=1).astype(np.float32)
        # Correlation 1 / sqrt(1 + noise^2): the weaker direction has 1 minus that, 0.02 and 0.22.
        assert (1 - 1 / np.sqrt(1 + noise**2) > NEGLIGIBLE) == (components == 2)
        assert learn_whitening(vectors, seed=0).projection.shape == (2, components)


def test_a_constant_feature_is_left_out_of_distances():
    learned = learn_whitening(np.array([[0.1, 0], [0.1, 2]] * 50, np.float16), seed=0)
    assert learned.scale[0] == 0
    points = learned.apply(np.array([[77, 2], [0.1, 2]], np.float16))
    np.testing.assert_array_equal(points[0], points[1])


def test_the_order_of_vectors_and_the_number_of_threads_do_not_change_a_bit():
    import faiss

    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(5000, 20)).astype(np.float16)
    expected, before = learn_whitening(vectors, seed=0), faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        found = learn_whitening(rng.permutation(vectors), seed=0)
    finally:
        faiss.omp_set_num_threads(before)
    for name in ("mean", "scale", "projection"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("vectors", [np.zeros((0, 7)), np.ones((3, 7))])
def test_without_any_difference_between_vectors_there_is_no_projection(vectors):
    learned = learn_whitening(vectors.astype(np.float16), seed=0)
    assert learned.projection is None
    assert (learned.apply(np.full((1, 7), 1, np.float16)) == (1 if len(vectors) == 0 else 0)).all()


def test_a_vector_that_is_not_finite_is_refused():
    with pytest.raises(InvalidDataError, match="1 of 2 vectors"):
        learn_whitening(np.array([[1, 2], [np.inf, 1]], np.float16), seed=0)


def test_raw_preprocessing_is_the_identity():
    vectors = np.array([[1, -2]], np.float16)
    np.testing.assert_array_equal(Preprocessing(unit_length=False).apply(vectors), vectors)
