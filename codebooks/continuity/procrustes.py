"""Rotation of new playlist vectors into the space of the old ones.

Source: P. H. Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 1966. Each
training of word2vec learns a space with an arbitrary orientation, while the distances in it stay about the same. The
rotation that brings the new vectors of common tracks nearest to their old ones makes the two spaces comparable.

Vectors are scaled to unit length, as the codebook does, and not centred: codebooks compare directions from the origin,
and moving the origin would change them. The rotation may include a reflection. It keeps all distances and angles, so
the quality of the vectors does not change. Unit length also bounds the influence of a track whose neighbours have
changed.
"""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.numerics.arrays import Floats, Vectors, Weights

UNDETERMINED_BELOW = 1e-9
"""Singular values below this fraction of the largest are rounding errors: their directions are not determined."""


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotation from the new space to the old space.

    Attributes:
        matrix: float32 (dim, dim), orthogonal, right factor of row vectors.
        tracks: common tracks that it was computed from.
        determined: directions that the common tracks determine, at most dim. The others are arbitrary.
        cosine: weighted mean cosine of the old vectors and the rotated new vectors of common tracks; None without any.
        cosine_without: the same without the rotation.
    """

    matrix: Floats
    tracks: int
    determined: int
    cosine: float | None
    cosine_without: float | None

    def apply(self, vectors: Vectors) -> Floats:
        """Rotate float16 or float32 vectors of shape (n, dim): float32 (n, dim). Lengths do not change.

        Raises:
            ValueError: the vectors have different dimensions.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.matrix):
            raise ValueError(
                f"vectors of shape {vectors.shape} do not match a rotation of {len(self.matrix)} dimensions"
            )
        # In float64: the rounding of a matrix product depends on the shape of the batch, and float32 cuts it off.
        return (vectors.astype(np.float64) @ self.matrix.astype(np.float64)).astype(np.float32)


class RotationAccumulator:
    """Accumulator of common tracks for :func:`rotation`. It holds one float64 matrix (dim, dim).

    Sums are rounded: merge parts in a fixed order to get the same matrix to the last bit.
    """

    def __init__(self, dim: int) -> None:
        self._moment = np.zeros((dim, dim))
        self._weight = 0.0
        self._tracks = 0

    def update(self, new: Vectors, old: Vectors, weights: Weights | None = None) -> None:
        """Add n common tracks: new and old vectors, float16 or float32 (n, dim), and their weights, float64 (n,).

        A track with a zero vector has no direction and is skipped.

        Raises:
            ValueError: shapes differ, or a weight is negative or not finite.
            InvalidDataError: a vector is not finite.
        """
        _check_vectors(new, old, self._moment.shape[0])
        weights = np.ones(len(new)) if weights is None else weights
        if weights.shape != (len(new),) or not np.isfinite(weights).all() or weights.min(initial=0) < 0:
            raise ValueError(f"{len(new)} weights are needed, all finite and not negative")
        unit = Preprocessing(unit_length=True)
        new_units, old_units = unit.apply(new), unit.apply(old)
        weights = np.where(new_units.any(axis=1) & old_units.any(axis=1), weights, 0.0)
        self._moment += new_units.astype(np.float64).T @ (weights[:, np.newaxis] * old_units)
        self._weight += float(weights.sum())
        self._tracks += int(np.count_nonzero(weights))

    def merge(self, other: "RotationAccumulator") -> None:
        """Add the tracks of another accumulator."""
        self._moment += other._moment
        self._weight += other._weight
        self._tracks += other._tracks

    def finalize(self) -> Rotation:
        """Compute the rotation; the identity without common tracks."""
        left, values, right = np.linalg.svd(self._moment)
        known = self._weight > 0
        return Rotation(
            matrix=(left @ right if known else np.eye(len(values))).astype(np.float32),
            tracks=self._tracks,
            determined=int(np.count_nonzero(values > UNDETERMINED_BELOW * values[0])) if known else 0,
            cosine=float(values.sum()) / self._weight if known else None,
            cosine_without=float(np.trace(self._moment)) / self._weight if known else None,
        )


def rotation(new: Vectors, old: Vectors, weights: Weights | None = None) -> Rotation:
    """Find the rotation that brings the new unit vectors of common tracks nearest to the old ones.

    It minimises the weighted sum of squared distances between rotated new vectors and old vectors.

    Example:
        >>> import numpy as np
        >>> new, old = np.array([[0, 1], [1, 0]], np.float32), np.array([[1, 0], [0, -1]], np.float32)
        >>> turn = rotation(new, old)
        >>> np.allclose(turn.apply(new), old), round(turn.cosine, 6), round(turn.cosine_without, 6)
        (True, 1.0, 0.0)

    Args:
        new: float16 or float32 (n, dim), one row per track.
        old: float16 or float32 (n, dim), the same tracks in the same order.
        weights: float64 (n,), not negative; 1 by default.

    Raises:
        ValueError: shapes differ; a rotation cannot align vectors of different dimensions.
        InvalidDataError: a vector is not finite.
    """
    accumulator = RotationAccumulator(new.shape[-1])
    accumulator.update(new, old, weights)
    return accumulator.finalize()


def _check_vectors(new: Vectors, old: Vectors, dim: int) -> None:
    if new.ndim != 2 or new.shape != old.shape or new.shape[1] != dim:
        raise ValueError(
            f"new vectors of shape {new.shape} and old vectors of shape {old.shape} do not hold the same tracks in the "
            f"same {dim} dimensions: a rotation cannot align them"
        )
