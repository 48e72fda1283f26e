"""Squared L2 distances between points of one space, such as centroids."""

import numpy as np

from tracktokens.codebooks.numerics.arrays import Doubles, Floats


def row_distances(left: Floats, right: Floats) -> Floats:
    """Compute the squared distance of each row of float32 (n, dim) to the same row of another: float32 (n,).

    Example:
        >>> import numpy as np
        >>> row_distances(np.array([[0, 0], [1, 1]], np.float32), np.array([[3, 4], [1, 2]], np.float32)).tolist()
        [25.0, 1.0]
    """
    differences = left - right
    distances: Floats = np.einsum("ij,ij->i", differences, differences)
    return distances


def distance_table(left: Floats, right: Floats) -> Doubles:
    """Compute the squared distance of every row of float32 (n, dim) to every row of float32 (m, dim): float64 (n, m).

    |x|^2 - 2xy + |y|^2 by a matrix product in float64, which keeps most digits of float32 points.

    Example:
        >>> import numpy as np
        >>> points = np.array([[0, 0], [3, 4]], np.float32)
        >>> distance_table(points, points).tolist()
        [[0.0, 25.0], [25.0, 0.0]]
    """
    rows, columns = left.astype(np.float64), right.astype(np.float64)
    table = rows @ (-2 * columns.T)
    table += np.einsum("ij,ij->i", rows, rows)[:, np.newaxis]
    table += np.einsum("ij,ij->i", columns, columns)
    distances: Doubles = np.maximum(table, 0, out=table)
    return distances
