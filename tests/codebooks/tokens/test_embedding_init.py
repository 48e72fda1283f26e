"""Rows for new tokens."""

import numpy as np
import pytest

from tracktokens.codebooks.tokens.embedding_init import NOISE, RowStatistics, centroid_rows, mean_rows

DIM = 12


@pytest.fixture(scope="module")
def old() -> np.ndarray:
    draw = np.random.default_rng(0)
    return (draw.standard_normal((5000, DIM)) @ draw.standard_normal((DIM, DIM)) + draw.standard_normal(DIM)).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def centroids() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {
        "playlist": draw.standard_normal((64, 5)).astype(np.float32),
        "audio": draw.standard_normal((32, 9)).astype(np.float32),
    }


def test_statistics_are_those_of_the_rows(old: np.ndarray) -> None:
    found = RowStatistics(old)
    np.testing.assert_allclose(found.mean, old.mean(axis=0), atol=1e-5)
    covariance = found.directions @ np.diag(found.variances) @ found.directions.T
    np.testing.assert_allclose(covariance, np.cov(old, rowvar=False, bias=True), atol=1e-3)
    assert (np.diff(found.variances) <= 0).all()


def test_mean_rows_are_the_mean_and_a_little_noise_of_the_same_covariance(old: np.ndarray) -> None:
    rows = mean_rows(RowStatistics(old), 20_000)
    np.testing.assert_allclose(rows.mean(axis=0), old.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(np.cov(rows, rowvar=False) / NOISE**2, np.cov(old, rowvar=False), atol=0.6)
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_centroid_rows_have_the_mean_and_the_covariance_of_the_old_ones(
    old: np.ndarray, centroids: dict[str, np.ndarray]
) -> None:
    made = centroid_rows(RowStatistics(old), centroids)  # 5 + 9 dimensions are enough for 12
    rows = np.concatenate(list(made.values())).astype(np.float64)
    assert {modality: part.shape for modality, part in made.items()} == {"playlist": (64, DIM), "audio": (32, DIM)}
    np.testing.assert_allclose(rows.mean(axis=0), old.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(np.cov(rows, rowvar=False, bias=True), np.cov(old, rowvar=False, bias=True), atol=0.02)


def test_centroids_of_few_dimensions_fill_the_strongest_directions(old: np.ndarray) -> None:
    few = {"audio": np.random.default_rng(2).standard_normal((100, 3)).astype(np.float32)}
    statistics = RowStatistics(old)
    rows = centroid_rows(statistics, few)["audio"] - statistics.mean
    along = rows @ statistics.directions
    np.testing.assert_allclose((along**2).mean(axis=0)[:3], statistics.variances[:3], rtol=1e-3)
    np.testing.assert_allclose(along[:, 3:], 0, atol=1e-4)


def test_near_centroids_get_near_rows(old: np.ndarray) -> None:
    draw = np.random.default_rng(3)
    points = draw.standard_normal((50, 4)).astype(np.float32)
    points[1] = points[0] + 0.01
    rows = centroid_rows(RowStatistics(old), {"audio": points})["audio"]
    distances = np.linalg.norm(rows - rows[0], axis=1)
    assert distances[1] < 0.05 * np.median(distances)


def test_what_has_no_direction_is_the_mean(old: np.ndarray) -> None:
    statistics = RowStatistics(old)
    made = centroid_rows(statistics, {"tags": np.ones((3, 4), np.float32), "audio": np.zeros((0, 4), np.float32)})
    np.testing.assert_allclose(made["tags"], np.tile(statistics.mean, (3, 1)), rtol=1e-5)
    assert made["audio"].shape == (0, DIM)


def test_the_same_input_gives_the_same_rows(old: np.ndarray, centroids: dict[str, np.ndarray]) -> None:
    first, second = (centroid_rows(RowStatistics(old), centroids) for _ in range(2))
    assert all(first[modality].tobytes() == second[modality].tobytes() for modality in centroids)
    assert mean_rows(RowStatistics(old), 3).tobytes() == mean_rows(RowStatistics(old), 3).tobytes()
