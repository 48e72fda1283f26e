"""Initial rows of new tokens in the embedding matrix of a language model, from its old rows and from centroids.

Rows of zeros, or from another distribution than the old rows, have logits far from those of the other tokens, and
dominate the first generated texts (J. Hewitt, "Initializing new word embeddings for pretrained language models", 2021).
The methods keep the mean of the old rows; the first two also the form of their covariance:

``mean``: each row is the mean of the old rows, plus a little noise with their covariance, so that all rows differ.

``centroid``: the whitened centroids of all modalities are mapped to the principal directions of the old rows. Tokens of
near codes start near each other, tokens of different modalities apart.

``text``: the row of a code is the mean of the rows of the words that distinguish its tracks, less that of all codes, at
the old rows' distance from their mean. Rows that are all near that mean begin alike, and training hardly separates them
(GTI, arXiv 2604.02324). GTI trains the new rows on texts before all else; the mean of words needs no training.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tracktokens.codebooks.numerics.arrays import Doubles, Floats

NOISE = 1e-2
"""Standard deviation of the noise of ``mean``, relative to that of the old rows."""

NEGLIGIBLE = 1e-6
"""Directions with a variance below this fraction of the largest are rounding errors: whitening drops them."""

BLOCK_ROWS = 8_192
"""Rows that are converted to float64 at a time."""


class RowStatistics:
    """Mean and covariance of embedding rows, float32 (n, dim), and their principal directions.

    Attributes:
        mean: float64 (dim,).
        variances: float64 (dim,), along the principal directions, in descending order.
        directions: float64 (dim, dim), one per column; the largest value of each is positive.
    """

    def __init__(self, rows: Floats) -> None:
        self.mean = rows.mean(axis=0, dtype=np.float64)
        covariance = np.zeros((rows.shape[1], rows.shape[1]))
        for start in range(0, len(rows), BLOCK_ROWS):
            apart = rows[start : start + BLOCK_ROWS] - self.mean
            covariance += apart.T @ apart
        variances, directions = np.linalg.eigh(covariance / len(rows))
        self.variances: Doubles = np.maximum(variances[::-1], 0)
        self.directions = _fix_signs(directions[:, ::-1])

    def with_covariance(self, white: Doubles) -> Doubles:
        """Map points (n, r <= dim) of unit covariance to the covariance of the rows in their first r directions."""
        count = white.shape[1]
        points: Doubles = (white * np.sqrt(self.variances[:count])) @ self.directions[:, :count].T
        return points


def mean_rows(old: RowStatistics, count: int, seed: int = 0) -> Floats:
    """Make float32 (count, dim) rows: the mean of the old rows, plus a little noise with their covariance."""
    white = np.random.default_rng(seed).standard_normal((count, len(old.mean)))
    rows: Floats = (old.mean + NOISE * old.with_covariance(white)).astype(np.float32)
    return rows


def centroid_rows(old: RowStatistics, centroids: Mapping[str, Floats], seed: int = 0) -> dict[str, Floats]:
    """Make a row per centroid by a linear map: near centroids have near rows.

    The rows have the mean of the old rows, and their covariance in the strongest principal directions: as many as the
    centroids span, at most the dimensions of a row.

    Args:
        old: statistics of the model's old rows.
        centroids: modality to float32 (codes, components). A modality with fewer than two codes has no direction.
        seed: seed of the rotation that maps directions of the centroids to directions of the rows.

    Returns:
        Modality to float32 (codes, dim).
    """
    white = {modality: _whiten(points) for modality, points in centroids.items()}
    total = sum(len(points) for points in white.values())
    features = np.zeros((total, sum(points.shape[1] for points in white.values())))
    row = column = 0
    for points in white.values():
        rows, width = points.shape
        # A modality is white over its own codes; scaled so that its variance over all codes is 1.
        features[row : row + rows, column : column + width] = points * np.sqrt(total / max(rows, 1))
        row, column = row + rows, column + width
    made = old.mean + old.with_covariance(_rotate(features, len(old.mean), seed))
    bounds = np.cumsum([len(points) for points in white.values()])[:-1]
    parts = np.split(made.astype(np.float32), bounds)
    return dict(zip(white, parts, strict=True))


def text_rows(old: RowStatistics, words: Sequence[Floats], rows: Floats) -> Floats:
    """Make the rows of codes from the rows of their words.

    Each code starts with the mean of its words' rows. From it the mean of all codes is subtracted: the rows of words
    have a direction in common, since they are more frequent than most tokens, and rows along it dominate the first
    generated texts. What is left is scaled to the root of the mean squared distance of the old rows from their mean,
    and added to that mean.

    Example:
        >>> old = RowStatistics(np.array([[2, 0], [-2, 0], [0, 2], [0, -2]], np.float32))
        >>> words = [np.array([[3, 1], [1, 1]], np.float32), np.array([[1, 1]], np.float32)]
        >>> text_rows(old, words, np.zeros((2, 2), np.float32)).tolist()
        [[2.0, 0.0], [-2.0, 0.0]]

    Args:
        old: statistics of the model's old rows.
        words: float32 (words, dim) for each code: the rows of its words, at least one.
        rows: float32 (codes, dim), the rows of :func:`mean_rows`, whose noise keeps codes with equal words apart.

    Returns:
        float32 (codes, dim).
    """
    means = np.stack([part.mean(axis=0, dtype=np.float64) for part in words])
    apart = means - means.mean(axis=0)
    lengths = np.linalg.norm(apart, axis=1, keepdims=True)
    typical = np.sqrt(old.variances.sum())
    scaled = apart * np.where(lengths > 0, typical / np.where(lengths > 0, lengths, 1), 0)
    made: Floats = (rows + scaled).astype(np.float32)
    return made


def _whiten(points: Floats) -> Doubles:
    """Centre and whiten points (n, dim): (n, r), uncorrelated columns of variance 1, strongest direction first."""
    apart = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64) if len(points) else points.astype(float)
    left, values, _ = np.linalg.svd(apart, full_matrices=False)
    kept = values > np.sqrt(NEGLIGIBLE) * max(values.max(initial=0), np.finfo(float).tiny)
    white: Doubles = _fix_signs(left[:, kept]) * np.sqrt(len(points))
    return white


def _rotate(features: Doubles, most: int, seed: int) -> Doubles:
    """Rotate white features (n, r) at random, and keep at most ``most``, which are white as well."""
    width = features.shape[1]
    draw = np.random.default_rng(seed).standard_normal((width, width))
    rotation, _ = np.linalg.qr(draw)
    rotated: Doubles = features @ rotation[:, : min(width, most)]
    return rotated


def _fix_signs(columns: Doubles) -> Doubles:
    """Flip columns whose largest value is negative: the sign has no meaning, and differs between machines."""
    if not columns.size:
        return columns
    largest = columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]
    flipped: Doubles = columns * np.where(largest < 0, -1.0, 1.0)
    return flipped
