"""Squared L2 distances between points of one space, such as centroids."""

import numpy as np

from tracktokens.codebooks.numerics.arrays import Doubles, Floats


def row_distances(left: Floats, right: Floats) -> Floats:
    """Distance of each row of float32 (n, dim) to the same row of another: float32 (n,)."""
    differences = left - right
    distances: Floats = np.einsum("ij,ij->i", differences, differences)
    return distances


def distance_table(left: Floats, right: Floats) -> Doubles:
    """Distance of every row of float32 (n, dim) to every row of float32 (m, dim): float64 (n, m).

    It takes |x|^2 - 2xy + |y|^2 from a matrix product in float64, which loses few of the digits of float32 points.
    """
    rows, columns = left.astype(np.float64), right.astype(np.float64)
    table = rows @ (-2 * columns.T)
    table += np.einsum("ij,ij->i", rows, rows)[:, np.newaxis]
    table += np.einsum("ij,ij->i", columns, columns)
    distances: Doubles = np.maximum(table, 0, out=table)
    return distances
