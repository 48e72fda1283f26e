"""What the points of each cluster say: their mean, and what a split of the cluster into two would gain."""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.numerics.arrays import Codes, Doubles, Floats, RowIndices
from tracktokens.codebooks.numerics.blocks import map_blocks
from tracktokens.codebooks.training.points import Points

CLUSTERS_AT_A_TIME = 32

PIECE_ROWS = 4096
"""Points of one cluster that are held as float32 at a time. A split is found on the first piece, a random sample."""

SPLIT_ITERATIONS = 2


@dataclass(frozen=True, eq=False)
class Clusters:
    """Points by cluster.

    Attributes:
        means: float32 (k, dim); where a cluster is empty, the centroid that it had.
        gains: float64 (k,), by how much the sum of squared distances falls when a cluster is split into its halves;
            0 where it cannot be split, or splits were not asked for.
        halves: float32 (2, k, dim), the means of the halves, first the one that is nearer to the cluster's centroid;
            of no meaning where there is no gain.
    """

    means: Floats
    gains: Doubles
    halves: Floats


def describe_clusters(points: Points, codes: Codes, centroids: Floats, splits: bool) -> Clusters:
    """Take the means of clusters and, if asked, find splits; ``codes`` (n,) says which cluster a point is in."""
    size = len(centroids)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(size + 1))
    found = Clusters(centroids.copy(), np.zeros(size), np.zeros((2, *centroids.shape), np.float32))

    def describe(block: slice) -> None:
        for code in range(block.start, block.stop):
            rows = order[bounds[code] : bounds[code + 1]]
            if len(rows):
                found.means[code] = _mean(points, rows)
            if splits and len(rows) > 1:
                found.gains[code], found.halves[:, code] = _split(points, rows, centroids[code])

    map_blocks(describe, size, CLUSTERS_AT_A_TIME)
    return found


def _mean(points: Points, rows: RowIndices) -> Floats:
    total = np.zeros(points.values.shape[1])
    for start in range(0, len(rows), PIECE_ROWS):
        values, weights = _piece(points, rows[start : start + PIECE_ROWS])
        total += np.einsum("i,ij->j", weights, values)
    mean: Floats = (total / points.counts[rows].sum()).astype(np.float32)
    return mean


def _piece(points: Points, rows: RowIndices) -> tuple[Floats, Floats]:
    return points.values[rows].astype(np.float32), points.counts[rows].astype(np.float32)


def _split(points: Points, rows: RowIndices, centroid: Floats) -> tuple[float, Floats]:
    """Split a cluster in two by k-means that starts along the direction of its farthest point.

    Returns:
        The gain, and the halves' means, float32 (2, dim), first the one that is nearer to the centroid.
    """
    values, weights = _piece(points, rows[:PIECE_ROWS])
    weight = float(weights.sum())
    mean = np.einsum("i,ij->j", weights, values) / weight
    values -= mean
    # One step of the power method turns the direction of the farthest point towards that of the largest variance.
    farthest = values[np.einsum("ij,ij->i", values, values).argmax()]
    direction = np.einsum("i,ij->j", weights * np.einsum("ij,j->i", values, farthest), values)
    threshold, gain, halves = 0.0, 0.0, np.zeros((2, len(mean)), np.float32)
    for _ in range(SPLIT_ITERATIONS):
        above = weights * (np.einsum("ij,j->i", values, direction) > threshold)
        share = float(above.sum()) / weight
        if not 0 < share < 1:
            break
        upper = np.einsum("i,ij->j", above, values) / (share * weight)
        lower = -upper * (share / (1 - share))  # the mean of all is zero
        direction, threshold = upper - lower, float(upper @ upper - lower @ lower) / 2
        gain, halves = share * (1 - share) * float(direction @ direction), np.stack([upper, lower])
    halves += mean
    distances = ((halves - centroid) ** 2).sum(axis=1)
    return gain * float(points.counts[rows].sum()), halves[np.argsort(distances, kind="stable")]
