"""Merge many small clusters into fewer: repeatedly the two clusters with the lowest cost of merging.

The pairwise nearest neighbour method of W. H. Equitz, "A new vector quantization clustering algorithm", IEEE Trans.
ASSP 37 (1989), with the cost of J. H. Ward, "Hierarchical grouping to optimize an objective function", JASA 58 (1963):
merging clusters of weights a and b at x and y increases the sum of squared distances by ab / (a + b) |x - y|^2.
"""

import numpy as np

from tracktokens.codebooks.numerics.arrays import Floats, RowIndices, Weights
from tracktokens.codebooks.numerics.blocks import map_blocks
from tracktokens.codebooks.numerics.centroid_products import CentroidProducts

BLOCK_ROWS = 256
"""Clusters per block of the table of costs."""


def merge_clusters(centroids: Floats, weights: Weights, size: int) -> Floats:
    """Merge clusters until ``size`` are left: float32 (size, dim), in order of each cluster's first part.

    Takes 4 bytes times the square of the number of clusters.

    Example:
        >>> import numpy as np
        >>> merge_clusters(np.array([[0], [10], [1]], np.float32), np.array([1.0, 1.0, 3.0]), 2).tolist()
        [[0.75], [10.0]]

    Args:
        centroids: float32 (n, dim).
        weights: float64 (n,), number of points per cluster; above 0.
        size: from 1 to n.
    """
    into = _merges(_costs(centroids, weights), weights.astype(np.float32), len(centroids) - size)
    sums = np.zeros(centroids.shape)
    np.add.at(sums, into, centroids * weights[:, np.newaxis])
    totals = np.bincount(into, weights=weights, minlength=len(centroids))
    remaining = np.unique(into)
    merged: Floats = (sums[remaining] / totals[remaining, np.newaxis]).astype(np.float32)
    return merged


def _costs(centroids: Floats, weights: Weights) -> Floats:
    """Compute the cost of merging each pair of clusters, float32 (n, n); infinite on the diagonal."""
    products = CentroidProducts(centroids)
    costs = np.empty((len(centroids), len(centroids)), np.float32)
    masses = weights.astype(np.float32)

    def fill(block: slice) -> None:
        rows, own = costs[block], masses[block, np.newaxis]
        products(np.ascontiguousarray(centroids[block]), rows)
        np.subtract(products.squares[block, np.newaxis], 2 * rows, out=rows)  # the squared distance
        np.maximum(rows, 0, out=rows)
        rows *= own * (masses / (own + masses))

    map_blocks(fill, len(centroids), BLOCK_ROWS)
    np.fill_diagonal(costs, np.inf)
    return costs


def _merges(costs: Floats, masses: Floats, count: int) -> RowIndices:
    """Merge ``count`` times, and return for each cluster the number of the cluster that it ends up in.

    A merged cluster is never nearer to others than its parts were. So only clusters whose nearest cluster was a part
    search again.
    """
    into = np.arange(len(costs))
    nearest = costs.argmin(axis=1)
    lowest = costs[into, nearest]
    for _ in range(count):
        kept = int(lowest.argmin())
        lost = int(nearest[kept])
        kept, lost = min(kept, lost), max(kept, lost)
        merged = _merged_costs(costs, masses, kept, lost)
        costs[kept] = costs[:, kept] = merged
        costs[:, lost] = np.inf
        masses[kept] += masses[lost]
        into[into == lost] = kept
        nearest[lost], lowest[lost] = -1, np.inf
        stale = np.flatnonzero((nearest == kept) | (nearest == lost))
        stale = np.append(stale, kept)
        nearest[stale] = costs[stale].argmin(axis=1)
        lowest[stale] = costs[stale, nearest[stale]]
    return into


def _merged_costs(costs: Floats, masses: Floats, kept: int, lost: int) -> Floats:
    """Compute the costs of merging each cluster with the union of two (Lance and Williams, 1967)."""
    merged: Floats = (masses[kept] + masses) * costs[kept]
    merged += (masses[lost] + masses) * costs[lost]
    merged -= masses * costs[kept, lost]
    merged /= masses + (masses[kept] + masses[lost])
    merged[kept] = np.inf
    return merged
