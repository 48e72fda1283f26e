"""k-means for codebooks that are frozen: better clusters than a plain run in less time.

1. Seeds by k-means++ (Arthur and Vassilvitskii, SODA 2007) on a sample of 32 points a centroid, drawn up to 64 at a
   time as k-means|| does (Bahmani et al., VLDB 2012), so that distances come from matrix products.
2. A few passes of Lloyd's iteration over that sample, then rounds that move centroids: one that is hardly missed,
   because the second nearest serves its points nearly as well, splits a cluster that gains more by it (after Fritzke,
   "Breathing k-means", arXiv 2006.15666). Lloyd's iteration never moves a centroid so far.
3. Two passes over twice the sample, and two over all points.

Moving centroids is what makes the clusters better, growing samples what makes it quick: on 262,144 points a plain run
spends all of its passes where the last two stand here.

A pass takes float16 points block by block. Beside the points k-means holds 20 bytes a point, a float32 copy of a sample
of 32 points a centroid, and a few arrays of the size of the centroids.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.codebook import Floats
from tracktokens.codebooks.training_points import Points

SAMPLE_PER_CENTROID = 32
SEEDS_AT_A_TIME = 64
FIRST_PASSES, SECOND_PASSES, FULL_PASSES = 2, 2, 1
WARM_PASSES = 4
MOST_ROUNDS = 2
"""Rounds of moving centroids; most of what can be moved moves in the first two."""

FEW_MOVED = 0.01
"""Share of the centroids below which another round does not pay."""

SPLIT_SHARE = 0.25
"""Share of the clusters, those with the most error, whose splits are looked at."""

POWER_ITERATIONS = 4

SPLIT_OFFSET = float(np.sqrt(2 / np.pi))
"""Where the halves of a normal distribution have their means, in its standard deviations."""

MAX_REPAIRS = 20
"""Rounds of reseeding after which codes that still have no point are left out. Usually none is needed."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What k-means came to.

    Attributes:
        centroids: float32 (k, dim).
        served: what the last pass over all points found, with these centroids.
        passes: passes over all points, the last one among them.
        moved: times that a centroid was moved to split a cluster.
        reseeded: times that a centroid without a point was moved to a badly served one.
    """

    centroids: Floats
    served: "Served"
    passes: int
    moved: int
    reseeded: int


@dataclass(frozen=True, eq=False)
class Served:
    """What a pass over n points finds.

    Attributes:
        codes: int64 (n,), row of the nearest centroid.
        distances: float32 (n,), squared distance to it.
        margins: float32 (n,), how much further the second nearest is; zero unless asked for.
        means: float32 (k, dim), weighted mean of the points of each centroid; the centroid itself where it has none.
        weights: float64 (k,), weight of the points of each centroid.
    """

    codes: npt.NDArray[np.int64]
    distances: Floats
    margins: Floats
    means: Floats
    weights: npt.NDArray[np.float64]


def k_means(points: Points, size: int, seed: int) -> Trained:
    """Learn ``size`` centroids, at most as many as there are points, from nothing."""
    if size == len(points):
        centroids = points.values.astype(np.float32)
        return Trained(centroids, serve(points, centroids), 1, 0, 0)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(points))
    sample = points.take(order[: SAMPLE_PER_CENTROID * size])
    centroids = add_seeds(sample, np.zeros((0, points.values.shape[1]), np.float32), size, generator)
    centroids = _passes(sample, centroids, FIRST_PASSES)
    centroids, moved = _move_while_it_pays(sample, centroids)
    if len(sample) < len(points):
        centroids = _passes(points.take(order[: 2 * len(sample)]), centroids, SECOND_PASSES)
    return _finished(points, _passes(points, centroids, FULL_PASSES), FULL_PASSES, moved)


def go_on(points: Points, start: Floats, size: int, seed: int) -> Trained:
    """Learn ``size`` centroids from those of an older run, float32 (k, dim): row i of the result descends from row i.

    Rows beyond the old ones are new seeds; where there are fewer points than old rows, the last rows end.
    """
    generator = np.random.default_rng(seed)
    sample = points.take(generator.permutation(len(points))[: SAMPLE_PER_CENTROID * size])
    centroids = add_seeds(sample, start[:size], size, generator)
    return _finished(points, _passes(points, centroids, WARM_PASSES), WARM_PASSES, 0)


def serve(points: Points, centroids: Floats, second: bool = False) -> Served:
    """Pass over points: find the nearest centroid of each, and with ``second`` how much further the next one is."""
    import faiss
    from scipy.sparse import csr_array

    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids)
    k = len(centroids)
    neighbours = 2 if second and k > 1 else 1
    distances = np.empty((len(points), neighbours), np.float32)
    codes = np.empty(len(points), np.int64)
    sums, weights = np.zeros(centroids.shape), np.zeros(k)
    for block, values in points.blocks():
        distances[block], found = index.search(values, neighbours)
        codes[block] = found[:, 0]
        counts = points.counts[block].astype(np.float64)
        sums += csr_array((counts, (found[:, 0], np.arange(len(values)))), shape=(k, len(values))) @ values
        weights += np.bincount(found[:, 0], weights=counts, minlength=k)
    means = np.where(weights[:, np.newaxis] > 0, sums / np.maximum(weights, 1)[:, np.newaxis], centroids)
    margins = distances[:, 1] - distances[:, 0] if neighbours == 2 else np.zeros(len(points), np.float32)
    return Served(codes, distances[:, 0], margins, means.astype(np.float32), weights)


def add_seeds(points: Points, centroids: Floats, size: int, generator: np.random.Generator) -> Floats:
    """Add points to centroids until there are ``size``: badly served points are the likelier to be drawn."""
    values = points.values.astype(np.float32)
    norms = np.einsum("ij,ij->i", values, values)
    chances = points.counts.astype(np.float64)
    given = len(centroids)
    if given:
        distances = np.maximum(serve(points, centroids).distances, 0)
    else:
        first = generator.choice(len(values), 1, p=chances / chances.sum())
        centroids, distances = values[first], _nearer(values, norms, first, np.full(len(values), np.inf, np.float32))
    while len(centroids) < size:
        drawable = chances * distances
        # Few at first: seeds that are drawn together do not know of each other.
        wanted = min(SEEDS_AT_A_TIME, max(1, (len(centroids) - given) // 2), size - len(centroids))
        wanted = min(wanted, int(np.count_nonzero(drawable)))
        if not wanted:
            break
        rows = generator.choice(len(values), wanted, replace=False, p=drawable / drawable.sum())
        centroids = np.concatenate([centroids, values[rows]])
        distances = _nearer(values, norms, rows, distances)
    return centroids


def move_centroids(points: Points, centroids: Floats) -> tuple[Floats, int]:
    """Move centroids that are hardly missed to where they are of more use.

    A centroid's points lose their margins when it goes: that is its use. A cluster that is split in two along its main
    axis gains 2/pi of the variance there, if it is normal. The i-th best split takes the i-th least useful centroid, as
    long as it gains more than is lost.

    Returns:
        The centroids after the moves and a pass, and how many moved.
    """
    found = serve(points, centroids, second=True)
    counts = points.counts.astype(np.float64)
    use = np.bincount(found.codes, weights=counts * found.margins, minlength=len(centroids))
    error = np.bincount(found.codes, weights=counts * found.distances, minlength=len(centroids)).astype(np.float64)
    moved, means, taken = 0, found.means.copy(), set[int]()
    givers = iter(np.argsort(use, kind="stable").tolist())
    for gain, cluster, offset in _splits(points, found, error):
        giver = next((code for code in givers if code not in taken and code != cluster), None)
        if giver is None or use[giver] >= gain:
            break
        if cluster in taken:
            continue
        taken |= {giver, cluster}
        means[giver], means[cluster] = found.means[cluster] + offset, found.means[cluster] - offset
        moved += 1
    return means, moved


def fill_empty_clusters(points: Points, centroids: Floats) -> tuple[Floats, Served, int]:
    """Move centroids that no point is nearest to onto the points that are farthest from theirs, with a pass after each.

    Returns:
        The centroids, a pass over the points with them, and how many moves were made.
    """
    found, moved = serve(points, centroids), 0
    for _ in range(MAX_REPAIRS):
        empty = np.flatnonzero(found.weights == 0)
        if len(empty) == 0:
            break
        centroids = centroids.copy()
        farthest = np.argsort(-found.distances, kind="stable")[: len(empty)]
        centroids[empty[: len(farthest)]] = points.values[farthest].astype(np.float32)
        centroids = serve(points, centroids).means
        found, moved = serve(points, centroids), moved + len(empty)
    return centroids, found, moved


def _finished(points: Points, centroids: Floats, passes: int, moved: int) -> Trained:
    centroids, found, reseeded = fill_empty_clusters(points, centroids)
    return Trained(centroids, found, passes + 1, moved, reseeded)


def _passes(points: Points, centroids: Floats, passes: int) -> Floats:
    for _ in range(passes):
        centroids = serve(points, centroids).means
    return centroids


def _move_while_it_pays(points: Points, centroids: Floats) -> tuple[Floats, int]:
    total = 0
    for _ in range(MOST_ROUNDS):
        centroids, moved = move_centroids(points, centroids)
        centroids = _passes(points, centroids, 1)
        total += moved
        if moved < FEW_MOVED * len(centroids):
            break
    return centroids, total


def _nearer(
    values: Floats, norms: Floats, rows: npt.NDArray[np.int64], distances: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Squared distances to the nearest seed when some rows become seeds too."""
    table = norms[:, np.newaxis] - 2 * (values @ values[rows].T) + norms[rows]
    nearer = np.minimum(distances, np.maximum(table.min(axis=1), 0))
    nearer[rows] = 0
    return nearer


def _splits(
    points: Points, found: Served, error: npt.NDArray[np.float64]
) -> list[tuple[float, int, npt.NDArray[np.float32]]]:
    """Gain, cluster and offset of its halves, for the clusters with the most error, the best split first."""
    order = np.argsort(found.codes, kind="stable")
    ends = np.cumsum(np.bincount(found.codes, minlength=len(error)))
    worst = np.argsort(-error, kind="stable")[: max(1, round(SPLIT_SHARE * len(error)))]
    splits = []
    for cluster in worst.tolist():
        rows = order[(ends[cluster - 1] if cluster else 0) : ends[cluster]]
        if len(rows) > 1:
            gain, offset = _split(points.take(rows), found.means[cluster])
            splits.append((gain, cluster, offset))
    return sorted(splits, key=lambda split: (-split[0], split[1]))


def _split(points: Points, mean: Floats) -> tuple[float, npt.NDArray[np.float32]]:
    """Find a cluster's main axis by power iteration: what a split along it gains, and the offset of the halves."""
    values = points.values.astype(np.float32) - mean
    counts = points.counts.astype(np.float32)
    axis = values[np.argmax(np.einsum("ij,ij->i", values, values))]
    for _ in range(POWER_ITERATIONS):
        axis = (counts * (values @ axis)) @ values
        axis = axis / max(float(np.linalg.norm(axis)), np.finfo(np.float32).tiny)
    along = float((counts * (values @ axis) ** 2).sum())
    deviation = np.sqrt(along / float(counts.sum()))
    return SPLIT_OFFSET**2 * along, (SPLIT_OFFSET * deviation * axis).astype(np.float32)
