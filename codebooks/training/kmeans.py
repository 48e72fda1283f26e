"""K-means for many points and many centroids, in few passes over the points.

Lloyd's iterations refine a solution but do not find one: the initial centroids decide which parts of the data have a
centroid. Here merging and splitting decide it.

1. Four times as many cells as centroids are learned from small samples, and merged by Ward's method to the wanted
   number (``ward``). The method considers all pairs, so centroids go where they gain most.
2. Lloyd's iterations run on a sample that doubles until it holds all points. In each iteration, low-utility centroids,
   whose points would lose little with their second nearest centroid, move into clusters that gain more from a split.

The order of the points decides the samples; nothing else is random. Sums are computed in the order of the points, and
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
"""Cells that are merged, per centroid."""

MIN_CELLS = 1024
"""Least number of cells, if there are as many points: rare clusters need a cell of their own."""

MAX_CELLS = 8192
"""Largest number of cells: merging takes 4 bytes times their square, 256 MiB. With more centroids none
are merged."""

POINTS_PER_CELL = (2, 4, 8)
"""Sizes of the samples that cells are learned from, one iteration each, per cell."""

POINTS_PER_CENTROID = 64
"""Size of the first sample that centroids are refined on, per centroid."""

REFINED_POINTS = 100
"""Points per centroid that the iterations on a sample process: a small sample takes several iterations."""

QUICK_POINTS = 1 << 15
"""Least number of points that the iterations on a sample process, also for few centroids."""

MAX_ITERATIONS = 20
"""Largest number of iterations on one sample."""


@dataclass(frozen=True, eq=False)
class Clustering:
    """Result of k-means.

    Attributes:
        centroids: float32 (k, dim).
        nearest: the centroid of each point.
        iterations: Lloyd's iterations with k centroids, on samples and on all points.
        moved: number of moves of a centroid into another cluster.
    """

    centroids: Floats
    nearest: Assignment
    iterations: int
    moved: int


def learn_centroids(points: Points, size: int, start: Floats | None = None) -> Clustering:
    """Learn centroids of training points. Every centroid has a point, if there are enough points.

    It takes 60 bytes per point besides the points, and the memory of :data:`MAX_CELLS`.

    Args:
        points: at least one.
        size: from 1 to the number of points; more only if ``start`` has as many rows.
        start: float32 (at most size, components), initial centroids. Row i of the result continues row i of ``start``:
            it moves to another cluster only if it has no point. The other rows come from split clusters.
    """
    centroids = _merged_cells(points, size) if start is None else _extended(points, start, size)
    fixed = 0 if start is None else len(start)
    iterations = moved = 0
    for rows, most in _schedule(len(points), size):
        sample, codes = points.first(rows), np.full(rows, -1, np.int16)
        for remaining in reversed(range(most)):
            nearest = nearest_centroids(centroids, sample.values)
            # No splits after the last iteration: their parts would not be the means of any cluster.
            clusters = describe_clusters(sample, nearest.codes, centroids, splits=remaining > 0 or rows < len(points))
            centroids, moves = move_centroids(clusters, _losses(sample, nearest, size, fixed))
            iterations, moved = iterations + 1, moved + moves
            if moves == 0 and np.array_equal(nearest.codes, codes):
                break
            codes = nearest.codes
    centroids, nearest, filled = fill_empty_clusters(points, centroids)
    return Clustering(centroids, nearest, iterations, moved + filled)


def move_centroids(clusters: Clusters, losses: Weights) -> tuple[Floats, int]:
    """Move low-utility centroids into the clusters that gain most from a split, while the gain exceeds the loss.

    Utility is defined as by B. Fritzke, "Breathing k-means" (arXiv 2006.15666, 2020).

    Args:
        clusters: statistics with splits.
        losses: float64 (k,), increase of the sum of squared distances when the points of a cluster are assigned to
            their second nearest centroid.

    Returns:
        The means of the clusters, with the means of the parts for moved centroids and split clusters; and the number of
        moves.
    """
    moving, split = np.argsort(losses, kind="stable"), np.argsort(-clusters.gains, kind="stable")
    worthwhile = clusters.gains[split] > losses[moving]
    moving, split = moving[worthwhile], split[worthwhile]
    disjoint = ~np.isin(moving, split) & ~np.isin(split, moving)
    moving, split = moving[disjoint], split[disjoint]
    centroids = clusters.means.copy()
    centroids[split], centroids[moving] = clusters.split_means[:, split]
    return centroids, len(moving)


def fill_empty_clusters(points: Points, centroids: Floats) -> tuple[Floats, Assignment, int]:
    """Move centroids without points onto the points that are farthest from their centroids, until all have a point.

    A moved centroid keeps its point, because no other centroid is as near. So the loop ends: every centroid has a
    point, or every point is on a centroid.

    Returns:
        The centroids, the nearest centroid of each point, and the number of moves.
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
    """Add centroids until there are ``size``, by splitting the clusters that gain most."""
    sample, centroids = points.first(POINTS_PER_CENTROID * size), start
    while len(centroids) < size:
        clusters = describe_clusters(sample, nearest_centroids(centroids, sample.values).codes, centroids, splits=True)
        most = np.argsort(-clusters.gains, kind="stable")[: min(size - len(centroids), len(centroids) // 2 + 1)]
        most = most[clusters.gains[most] > 0]
        if len(most) == 0:  # every point of the sample is a centroid: copies of one are empty, and are filled later
            return np.concatenate([centroids, np.repeat(centroids[:1], size - len(centroids), axis=0)])
        centroids = clusters.means
        centroids[most], added = clusters.split_means[:, most]
        centroids = np.concatenate([centroids, added])
    return centroids


def _schedule(points: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the size of each sample, up to all points, and the number of iterations on it."""
    rows = POINTS_PER_CENTROID * size
    while True:
        rows = min(rows, points)
        yield rows, max(1, min(MAX_ITERATIONS, max(REFINED_POINTS * size, QUICK_POINTS) // rows))
        if rows == points:
            return
        rows *= 2


def _losses(points: Points, nearest: Assignment, size: int, fixed: int) -> Weights:
    """Compute, by code, the increase of the sum of squared distances when points move to their second nearest centroid.

    The first ``fixed`` centroids do not move if they have a point.
    """
    losses = _weights(nearest.margins * points.counts, nearest.codes, size)
    used = _weights(points.counts, nearest.codes, size) > 0
    losses[:fixed][used[:fixed]] = np.inf
    return losses


def _weights(values: npt.NDArray[np.generic], codes: Codes, size: int) -> Weights:
    """Sum the points' values by code."""
    return np.bincount(codes, weights=values.astype(np.float64), minlength=size).astype(np.float64)
