"""Statistics of clusters: the mean of their points, and the gain of splitting each cluster in two."""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.numerics.arrays import Codes, Doubles, Floats, RowIndices
from tracktokens.codebooks.numerics.blocks import map_blocks
from tracktokens.codebooks.training.points import Points

CLUSTERS_AT_A_TIME = 32
"""Clusters per block of work."""

CHUNK_ROWS = 4096
"""Points of one cluster that are converted to float32 at a time. Splits are found on the first chunk, a
random sample."""

SPLIT_ITERATIONS = 2
"""Iterations of two-means per split."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Statistics of clusters.

    Attributes:
        means: float32 (k, dim); the centroid itself if the cluster is empty.
        gains: float64 (k,), decrease of the sum of squared distances when the cluster is split into two parts; 0 if it
            cannot be split, or splits were not requested.
        split_means: float32 (2, k, dim), means of the two parts, first the one nearer to the cluster's centroid;
            undefined without a gain.
    """

    means: Floats
    gains: Doubles
    split_means: Floats


def describe_clusters(points: Points, codes: Codes, centroids: Floats, splits: bool) -> Clusters:
    """Compute the means of clusters and, on request, find splits; ``codes`` (n,) holds the cluster of each point."""
    size = len(centroids)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(size + 1))
    clusters = Clusters(centroids.copy(), np.zeros(size), np.zeros((2, *centroids.shape), np.float32))

    def describe(block: slice) -> None:
        for code in range(block.start, block.stop):
            rows = order[bounds[code] : bounds[code + 1]]
            if len(rows):
                clusters.means[code] = _mean(points, rows)
            if splits and len(rows) > 1:
                clusters.gains[code], clusters.split_means[:, code] = _split(points, rows, centroids[code])

    map_blocks(describe, size, CLUSTERS_AT_A_TIME)
    return clusters


def _mean(points: Points, rows: RowIndices) -> Floats:
    total = np.zeros(points.values.shape[1])
    for start in range(0, len(rows), CHUNK_ROWS):
        values, weights = _chunk(points, rows[start : start + CHUNK_ROWS])
        total += np.einsum("i,ij->j", weights, values)
    mean: Floats = (total / points.counts[rows].sum()).astype(np.float32)
    return mean


def _chunk(points: Points, rows: RowIndices) -> tuple[Floats, Floats]:
    return points.values[rows].astype(np.float32), points.counts[rows].astype(np.float32)


def _split(points: Points, rows: RowIndices, centroid: Floats) -> tuple[float, Floats]:
    """Split a cluster in two by k-means that starts along the direction of its farthest point.

    Returns:
        The gain, and the means of the parts, float32 (2, dim), first the one nearer to the centroid.
    """
    values, weights = _chunk(points, rows[:CHUNK_ROWS])
    weight = float(weights.sum())
    mean = np.einsum("i,ij->j", weights, values) / weight
    values -= mean
    # One step of the power method turns the direction of the farthest point towards that of the largest variance.
    farthest = values[np.einsum("ij,ij->i", values, values).argmax()]
    direction = np.einsum("i,ij->j", weights * np.einsum("ij,j->i", values, farthest), values)
    threshold, gain, split_means = 0.0, 0.0, np.zeros((2, len(mean)), np.float32)
    for _ in range(SPLIT_ITERATIONS):
        above = weights * (np.einsum("ij,j->i", values, direction) > threshold)
        share = float(above.sum()) / weight
        if not 0 < share < 1:
            break
        upper = np.einsum("i,ij->j", above, values) / (share * weight)
        lower = -upper * (share / (1 - share))  # the mean of all is zero
        direction, threshold = upper - lower, float(upper @ upper - lower @ lower) / 2
        gain, split_means = share * (1 - share) * float(direction @ direction), np.stack([upper, lower])
    split_means += mean
    distances = ((split_means - centroid) ** 2).sum(axis=1)
    return gain * float(points.counts[rows].sum()), split_means[np.argsort(distances, kind="stable")]
