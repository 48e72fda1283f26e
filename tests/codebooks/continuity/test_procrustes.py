"""New vectors are rotated back into the old space."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

from tracktokens.codebooks.continuity.procrustes import RotationAccumulator, rotation
from tracktokens.schemas.errors import InvalidDataError


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def turned_space(dim=8, tracks=200, seed=0):
    """New vectors, the matrix that rotates them back, and the old vectors, of various lengths."""
    rng = np.random.default_rng(seed)
    new = (rng.normal(size=(tracks, dim)) * rng.lognormal(size=(tracks, 1))).astype(np.float32)
    matrix = ortho_group.rvs(dim, random_state=seed)
    return new, matrix, (3 * new @ matrix).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))  # with mirroring and without
def test_a_turned_space_is_turned_back(seed):
    new, matrix, old = turned_space(seed=seed)
    found = rotation(new, old)
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-5)
    np.testing.assert_allclose(3 * found.apply(new), old, rtol=1e-3, atol=1e-4)
    assert (found.tracks, found.determined) == (200, 8)
    assert found.cosine == pytest.approx(1, abs=1e-5)
    assert found.cosine_without == pytest.approx((unit(new) * unit(old)).sum(axis=1).mean(), abs=1e-5)
    assert found.matrix.dtype == found.apply(new).dtype == np.float32


def test_a_quarter_turn_is_what_is_worked_out_by_hand():
    found = rotation(np.array([[1, 0], [0, 2]], np.float32), np.array([[0, 5], [-1, 0]], np.float32))
    np.testing.assert_allclose(found.matrix, [[0, 1], [-1, 0]], atol=1e-7)
    np.testing.assert_allclose(found.apply(np.array([[3, 4]], np.float16)), [[-4, 3]], atol=1e-6)
    assert (found.cosine, found.cosine_without) == (pytest.approx(1), pytest.approx(0))


def test_the_rotation_agrees_with_scipy_on_noisy_weighted_tracks():
    new, _, old = turned_space(seed=5)
    rng = np.random.default_rng(6)
    old += rng.normal(size=old.shape).astype(np.float32)
    weights = rng.lognormal(size=len(new))
    root = np.sqrt(weights)[:, np.newaxis]
    expected, _ = orthogonal_procrustes(root * unit(new), root * unit(old))
    found = rotation(new, old, weights)
    np.testing.assert_allclose(found.matrix, expected, atol=1e-5)
    cosines = (unit(new @ expected) * unit(old)).sum(axis=1)
    assert found.cosine == pytest.approx(np.average(cosines, weights=weights), abs=1e-5)


def test_distances_and_angles_stay():
    new, _, old = turned_space(seed=7)
    matrix = rotation(new, old + 1).matrix.astype(np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(8), atol=1e-6)


def test_tracks_whose_company_changed_turn_the_others_little():
    new, matrix, old = turned_space(seed=8)
    rng = np.random.default_rng(9)
    old[:60] = 1000 * rng.normal(size=(60, 8))  # long vectors pull no harder
    found = rotation(new, old)
    cosines = (unit(found.apply(new[60:])) * unit(old[60:])).sum(axis=1)
    assert cosines.mean() > 0.95
    weights = np.where(np.arange(200) < 60, 0.0, 1.0)
    np.testing.assert_allclose(rotation(new, old, weights).matrix, matrix, atol=1e-5)
    assert rotation(new, old, weights).tracks == 140


def test_tracks_in_parts_give_the_rotation_of_the_whole():
    new, _, old = turned_space(seed=10)
    merged = RotationAccumulator(8)
    for rows in np.array_split(np.arange(200), 7):
        part = RotationAccumulator(8)
        part.update(new[rows], old[rows])
        merged.merge(part)
    whole = rotation(new, old)
    np.testing.assert_allclose(merged.finalize().matrix, whole.matrix, atol=1e-6)
    assert merged.finalize().tracks == whole.tracks


def test_a_vector_is_turned_the_same_alone_and_in_company():
    new, _, old = turned_space(tracks=333, seed=11)
    found = rotation(new, old)
    together = found.apply(new)
    for row in range(0, 333, 10):
        np.testing.assert_array_equal(found.apply(new[row : row + 1])[0], together[row])


def test_too_few_common_tracks_leave_directions_open():
    new, matrix, old = turned_space(tracks=3)
    found = rotation(new, old)
    assert (found.tracks, found.determined) == (3, 3)
    np.testing.assert_allclose(3 * found.apply(new), old, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.matrix @ found.matrix.T, np.eye(8), atol=1e-6)
    assert abs(found.matrix - matrix).max() > 0.1


@pytest.mark.parametrize("tracks", [0, 5])
def test_without_directions_in_common_nothing_is_turned(tracks):
    found = rotation(np.zeros((tracks, 4), np.float32), np.ones((tracks, 4), np.float32))
    np.testing.assert_array_equal(found.matrix, np.eye(4))
    assert (found.tracks, found.determined, found.cosine, found.cosine_without) == (0, 0, None, None)


@pytest.mark.parametrize(("new", "old"), [((3, 4), (3, 5)), ((3, 4), (2, 4)), ((4,), (4,))])
def test_vectors_that_are_not_the_same_tracks_in_the_same_dimensions_are_refused(new, old):
    with pytest.raises(ValueError, match="cannot align them"):
        rotation(np.ones(new, np.float32), np.ones(old, np.float32))


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, np.nan]])
def test_weights_that_weigh_nothing_sensible_are_refused(weights):
    with pytest.raises(ValueError, match="2 weights"):
        rotation(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), np.array(weights))


def test_vectors_that_are_not_finite_or_do_not_fit_are_refused():
    found = rotation(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match="rotation of 3 dimensions"):
        found.apply(np.ones((1, 2), np.float32))
    with pytest.raises(InvalidDataError, match="not finite"):
        rotation(np.full((1, 2), np.nan, np.float32), np.ones((1, 2), np.float32))
