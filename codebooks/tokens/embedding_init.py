"""Rows for new tokens in the embedding matrix of a language model, made of the rows that it has and of our centroids.

Rows of zeros, or drawn from another distribution than the old ones, get logits that are far from the others', and take
over the first generated texts (J. Hewitt, "Initializing new word embeddings for pretrained language models", 2021).
Both ways here keep mean and covariance of the old rows:

``mean``: every row is the mean of the old ones, and a little noise of their covariance, so that no two are the same.

``centroid``: the centroids of all modalities, whitened, are laid into the principal directions of the old rows. Tokens
of near codes start near, those of different modalities apart.
"""

from collections.abc import Mapping

import numpy as np

from tracktokens.codebooks.numerics.arrays import Doubles, Floats

NOISE = 1e-2
"""Deviation of the noise of ``mean``, as a part of the old rows' deviation."""

NEGLIGIBLE = 1e-6
"""Directions whose variance is below this part of the largest are left out of whitening: they are rounding."""

BLOCK_ROWS = 8_192


class RowStatistics:
    """Mean and covariance of embedding rows, float32 (n, dim), and their principal directions.

    Attributes:
        mean: float64 (dim,).
        variances: float64 (dim,), along the principal directions, falling.
        directions: float64 (dim, dim), a column each; the largest value of each is positive.
    """

    def __init__(self, rows: Floats) -> None:
        self.mean = rows.mean(axis=0, dtype=np.float64)
        covariance = np.zeros((rows.shape[1], rows.shape[1]))
        for start in range(0, len(rows), BLOCK_ROWS):
            apart = rows[start : start + BLOCK_ROWS] - self.mean
            covariance += apart.T @ apart
        variances, directions = np.linalg.eigh(covariance / len(rows))
        self.variances: Doubles = np.maximum(variances[::-1], 0)
        self.directions = _with_signs(directions[:, ::-1])

    def coloured(self, white: Doubles) -> Doubles:
        """Turn points (n, r <= dim) of unit covariance into some with that of the rows in their r first directions."""
        count = white.shape[1]
        spread: Doubles = (white * np.sqrt(self.variances[:count])) @ self.directions[:, :count].T
        return spread


def mean_rows(old: RowStatistics, count: int, seed: int = 0) -> Floats:
    """Make float32 (count, dim) rows that are the mean of the old ones, but for a little noise of their covariance."""
    white = np.random.default_rng(seed).standard_normal((count, len(old.mean)))
    rows: Floats = (old.mean + NOISE * old.coloured(white)).astype(np.float32)
    return rows


def centroid_rows(old: RowStatistics, centroids: Mapping[str, Floats], seed: int = 0) -> dict[str, Floats]:
    """Make a row for each centroid, linearly: near centroids get near rows.

    Together the rows have the mean of the old ones, and their covariance in as many of its principal directions as the
    centroids span, the strongest first: all of them, where the centroids span as many dimensions as a row has.

    Args:
        old: statistics of the rows that the model has.
        centroids: modality to float32 (codes, components). One with less than two codes has no direction.
        seed: of the rotation that decides which direction of the centroids comes to lie in which of the rows.

    Returns:
        Modality to float32 (codes, dim).
    """
    white = {modality: _white(points) for modality, points in centroids.items()}
    total = sum(len(points) for points in white.values())
    features = np.zeros((total, sum(points.shape[1] for points in white.values())))
    place = column = 0
    for points in white.values():
        rows, width = points.shape
        # Each modality is white over its own codes; over all of them it has a part of the variance.
        features[place : place + rows, column : column + width] = points * np.sqrt(total / max(rows, 1))
        place, column = place + rows, column + width
    made = old.mean + old.coloured(_turned(features, len(old.mean), seed))
    bounds = np.cumsum([len(points) for points in white.values()])[:-1]
    parts = np.split(made.astype(np.float32), bounds)
    return dict(zip(white, parts, strict=True))


def _white(points: Floats) -> Doubles:
    """Centre and whiten points (n, dim): (n, r), uncorrelated columns of variance 1, the strongest direction first."""
    apart = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64) if len(points) else points.astype(float)
    left, values, _ = np.linalg.svd(apart, full_matrices=False)
    kept = values > np.sqrt(NEGLIGIBLE) * max(values.max(initial=0), np.finfo(float).tiny)
    white: Doubles = _with_signs(left[:, kept]) * np.sqrt(len(points))
    return white


def _turned(features: Doubles, most: int, seed: int) -> Doubles:
    """Turn white features (n, r) at random, into at most ``most`` that are white as well."""
    width = features.shape[1]
    draw = np.random.default_rng(seed).standard_normal((width, width))
    turn, _ = np.linalg.qr(draw)
    turned: Doubles = features @ turn[:, : min(width, most)]
    return turned


def _with_signs(columns: Doubles) -> Doubles:
    """Turn each column so that its largest value is positive: its sign means nothing, and differs between machines."""
    if not columns.size:
        return columns
    largest = columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]
    turned: Doubles = columns * np.where(largest < 0, -1.0, 1.0)
    return turned
