"""The map of a codebook."""

import numpy as np
import pytest

from tracktokens.codebooks.metrics.code_map import code_map


def test_the_map_is_that_of_a_singular_value_decomposition() -> None:
    centroids = np.random.default_rng(0).standard_normal((40, 7)).astype(np.float32)
    points = centroids.astype(np.float64) - centroids.astype(np.float64).mean(axis=0)
    left, values, _ = np.linalg.svd(points, full_matrices=False)
    expected = np.abs(left[:, :2] * values[:2])
    found = code_map(centroids)
    np.testing.assert_allclose(np.abs(found.positions), expected / expected.max(), atol=1e-9)
    assert found.explained == pytest.approx((values[:2] ** 2).sum() / (values**2).sum())


@pytest.mark.parametrize("centroids", [np.zeros((0, 4)), np.ones((3, 4)), np.ones((2, 1)), [[1.0], [3.0]]])
def test_a_map_of_few_or_equal_centroids_has_finite_positions(centroids: list[list[float]]) -> None:
    found = code_map(np.array(centroids, np.float32))
    assert found.positions.shape == (len(centroids), 2)
    assert np.isfinite(found.positions).all()
    assert 0 <= found.explained <= 1
