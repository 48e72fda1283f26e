"""K-means for many points and many centroids, in few passes over them.

Lloyd's iterations polish a solution and do not find one: which parts of the data have a centroid is decided before, and
stays. Here it is decided by merging and splitting.

1. Four times as many cells as centroids are learned from small samples, and merged by Ward's method until as many are
   left as wanted (``ward``). It sees all pairs, so that centroids are where they gain most.
2. Lloyd's iterations run on a sample that doubles until it is all points. With each, centroids whose points would
   lose little with their second nearest are moved: they take one half of a cluster whose split gains more.

The order of points decides which are sampled; there is no other chance in it. Sums are taken in the order of points and
distances from differences, so the result does not depend on the number of threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.assign import Assignment, nearest_centroids
from tracktokens.codebooks.numerics.arrays import Codes, Floats, Weights
from tracktokens.codebooks.training.cluster_stats import Clusters, describe_clusters
from tracktokens.codebooks.training.points import Points
from tracktokens.codebooks.training.ward import merge_clusters

CELLS_PER_CENTROID = 4

MIN_CELLS = 1024
"""Cells that there are for few centroids too, if there are as many points: rare clusters need one of their own."""

MAX_CELLS = 8192
"""Most cells that are merged, as that takes 4 bytes times their square, 256 MiB. With more centroids none are."""

POINTS_PER_CELL = (2, 4, 8)
"""Sizes of the samples of one iteration each that cells are learned from."""

POINTS_PER_CENTROID = 64
"""Size of the first sample that centroids are refined on."""

REFINED_POINTS = 100
"""Points per centroid that go through the iterations on a sample: a small one is gone through several times."""

QUICK_POINTS = 1 << 15
"""The least number of points that go through the iterations on a sample, however few the centroids are."""

MAX_ITERATIONS = 20
"""Most iterations on one sample, which few points would come to."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What k-means came to.

    Attributes:
        centroids: float32 (k, dim).
        nearest: the centroid of each point.
        iterations: Lloyd's iterations with that many centroids, on samples and on all points.
        moved: times that a centroid was moved to where it gains more.
    """

    centroids: Floats
    nearest: Assignment
    iterations: int
    moved: int


def learn_centroids(points: Points, size: int, start: Floats | None = None) -> Trained:
    """Learn centroids of training points, none of them without a point where there are enough.

    Besides the points it takes 60 bytes for each, and what :data:`MAX_CELLS` says.

    Args:
        points: at least one.
        size: from 1 to the number of points; more only where ``start`` has as many.
        start: float32 (at most size, components), centroids to begin from. Row i of the result is what became of row i:
            it is moved elsewhere only where it has no point. Rows that are left over are halves of split clusters.
    """
    centroids = _merged_cells(points, size) if start is None else _extended(points, start, size)
    settled = 0 if start is None else len(start)
    iterations = moved = 0
    for rows, most in _schedule(len(points), size):
        sample, codes = points.first(rows), np.full(rows, -1, np.int16)
        for left in reversed(range(most)):
            nearest = nearest_centroids(centroids, sample.values)
            # The last means of all are not followed by splits, which would leave halves that are nobody's means.
            clusters = describe_clusters(sample, nearest.codes, centroids, splits=left > 0 or rows < len(points))
            centroids, moves = move_centroids(clusters, _losses(sample, nearest, size, settled))
            iterations, moved = iterations + 1, moved + moves
            if moves == 0 and np.array_equal(nearest.codes, codes):
                break
            codes = nearest.codes
    centroids, nearest, filled = fill_empty_clusters(points, centroids)
    return Trained(centroids, nearest, iterations, moved + filled)


def move_centroids(clusters: Clusters, losses: Weights) -> tuple[Floats, int]:
    """Move the centroids that are missed least to the clusters that gain most by a split, while that gains more.

    The utility of a centroid is what B. Fritzke calls so, "Breathing k-means" (arXiv 2006.15666, 2020).

    Args:
        clusters: with their splits.
        losses: float64 (k,), by how much the sum of squared distances grows when the points of a cluster go to their
            second nearest centroid.

    Returns:
        The clusters' means, but halves of a split cluster for what was moved; and how many were moved.
    """
    givers, takers = np.argsort(losses, kind="stable"), np.argsort(-clusters.gains, kind="stable")
    pays = clusters.gains[takers] > losses[givers]
    givers, takers = givers[pays], takers[pays]
    apart = ~np.isin(givers, takers) & ~np.isin(takers, givers)
    givers, takers = givers[apart], takers[apart]
    centroids = clusters.means.copy()
    centroids[takers], centroids[givers] = clusters.halves[:, takers]
    return centroids, len(givers)


def fill_empty_clusters(points: Points, centroids: Floats) -> tuple[Floats, Assignment, int]:
    """Move centroids that no point is nearest to onto points that are farthest from theirs, until all have one.

    A centroid that is moved keeps its point, as no other is as near. So this ends: with no centroid without a point,
    or with every point on a centroid.

    Returns:
        The centroids, which is the nearest to each point, and how many moves were made.
    """
    centroids, moved = centroids.copy(), 0
    while True:
        nearest = nearest_centroids(centroids, points.values)
        empty = np.flatnonzero(np.bincount(nearest.codes, minlength=len(centroids)) == 0)
        farthest = np.argsort(-nearest.distances, kind="stable")[: len(empty)]
        farthest = farthest[nearest.distances[farthest] > 0]
        if len(farthest) == 0:
            return centroids, nearest, moved
        centroids[empty[: len(farthest)]] = points.values[farthest]
        moved += len(farthest)


def _merged_cells(points: Points, size: int) -> Floats:
    """Learn cells from a sample and merge them: float32 (size, components)."""
    cells = min(len(points), max(size, min(max(CELLS_PER_CENTROID * size, MIN_CELLS), MAX_CELLS)))
    centroids, sizes = points.values[:cells].astype(np.float32), points.counts[:cells].astype(np.float64)
    for wanted in POINTS_PER_CELL if cells < len(points) else ():
        sample = points.first(wanted * cells)
        codes = nearest_centroids(centroids, sample.values).codes
        centroids = describe_clusters(sample, codes, centroids, splits=False).means
        sizes = _weights(sample.counts, codes, cells)
    largest = np.argsort(-sizes, kind="stable")[: max(size, np.count_nonzero(sizes))]
    return centroids[largest] if len(largest) == size else merge_clusters(centroids[largest], sizes[largest], size)


def _extended(points: Points, start: Floats, size: int) -> Floats:
    """Add centroids until there are ``size``: halves of the clusters that gain most by a split."""
    sample, centroids = points.first(POINTS_PER_CENTROID * size), start
    while len(centroids) < size:
        clusters = describe_clusters(sample, nearest_centroids(centroids, sample.values).codes, centroids, splits=True)
        most = np.argsort(-clusters.gains, kind="stable")[: min(size - len(centroids), len(centroids) // 2 + 1)]
        most = most[clusters.gains[most] > 0]
        if len(most) == 0:  # every point of the sample is a centroid: copies of one are empty, and will be filled
            return np.concatenate([centroids, np.repeat(centroids[:1], size - len(centroids), axis=0)])
        centroids = clusters.means
        centroids[most], added = clusters.halves[:, most]
        centroids = np.concatenate([centroids, added])
    return centroids


def _schedule(points: int, size: int) -> Iterator[tuple[int, int]]:
    """Rows of each sample, the last of which are all, and how many iterations to run on it."""
    rows = POINTS_PER_CENTROID * size
    while True:
        rows = min(rows, points)
        yield rows, max(1, min(MAX_ITERATIONS, max(REFINED_POINTS * size, QUICK_POINTS) // rows))
        if rows == points:
            return
        rows *= 2


def _losses(points: Points, nearest: Assignment, size: int, settled: int) -> Weights:
    """By how much the sum of squared distances grows when points go to their second nearest centroid, by code.

    The first ``settled`` centroids stay where they are if they have a point.
    """
    losses = _weights(nearest.margins * points.counts, nearest.codes, size)
    used = _weights(points.counts, nearest.codes, size) > 0
    losses[:settled][used[:settled]] = np.inf
    return losses


def _weights(values: npt.NDArray[np.generic], codes: Codes, size: int) -> Weights:
    """Sum of the points' values, by code."""
    return np.bincount(codes, weights=values.astype(np.float64), minlength=size).astype(np.float64)
