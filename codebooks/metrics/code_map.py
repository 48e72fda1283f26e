"""A map of a codebook: its centroids in the plane in which they vary most."""

from dataclasses import dataclass, field

import numpy as np

from tracktokens.codebooks.numerics.arrays import Doubles, Floats

AXES = 2


@dataclass(frozen=True, eq=False)
class CodeMap:
    """Positions of codes.

    Attributes:
        positions: float64 (codes, 2), principal components of the centroids, the first axis scaled to -1 to 1.
        explained: share of the centroids' variance that the plane shows; 1 if all centroids are equal.
    """

    positions: Doubles = field(repr=False)
    explained: float


def code_map(centroids: Floats) -> CodeMap:
    """Project centroids of float32 (codes, dim) on their first two principal components.

    The map depends on the centroids only, so all releases of a bundle have the same. The component of an axis with the
    largest absolute value is positive, since the sign of a principal component is arbitrary.

    Example:
        >>> import numpy as np
        >>> code_map(np.array([[0, 0, 5], [4, 0, 5], [2, 1, 5]], np.float32)).positions.round(2).tolist()
        [[-1.0, -0.17], [1.0, -0.17], [0.0, 0.33]]
    """
    points = centroids.astype(np.float64)
    points -= points.mean(axis=0) if len(points) else 0
    variances, axes = np.linalg.eigh(points.T @ points)
    chosen = axes[:, ::-1][:, :AXES]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    positions = np.zeros((len(points), AXES))
    positions[:, : chosen.shape[1]] = points @ chosen
    total = variances.sum()
    scale = np.abs(positions).max(initial=0.0)
    return CodeMap(
        positions=positions / scale if scale else positions,
        explained=float(variances[::-1][:AXES].sum() / total) if total > 0 else 1.0,
    )
