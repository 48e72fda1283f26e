"""Turn new playlist vectors into the space of the old ones: orthogonal Procrustes (Schönemann, Psychometrika 1966).

Word2vec learns its space anew each time, turned at will, while the distances in it stay much the same. The rotation
that brings the common tracks' new vectors nearest to their old ones makes the two comparable.

Vectors are scaled to unit length, as the codebook does, and not centred: codebooks compare directions from the origin,
and moving the origin would change them. The rotation may mirror. It keeps all distances and angles, so turned vectors
are as good as they were. Unit length also bounds what a track can do whose company has changed: it pulls no harder than
any other.
"""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.numerics.arrays import Floats, Vectors, Weights

UNDETERMINED_BELOW = 1e-9
"""Singular values below this part of the largest are rounding: common tracks say nothing of such directions."""


@dataclass(frozen=True, eq=False)
class Rotation:
    """How new vectors become old ones.

    Attributes:
        matrix: float32 (dim, dim), orthogonal: row vectors are multiplied by it from the right.
        tracks: common tracks that it was learned from.
        determined: directions that the common tracks determine, at most dim. Others are turned at will.
        cosine: weighted mean cosine of a common track's old vector and its new one, once turned; None where no track
            has both.
        cosine_without: the same without turning.
    """

    matrix: Floats
    tracks: int
    determined: int
    cosine: float | None
    cosine_without: float | None

    def apply(self, vectors: Vectors) -> Floats:
        """Turn float16 or float32 vectors of shape (n, dim), float32 (n, dim). Lengths stay.

        Raises:
            ValueError: the vectors have another dimension.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.matrix):
            raise ValueError(f"vectors of shape {vectors.shape} do not fit a rotation of {len(self.matrix)} dimensions")
        # In float64: how a matrix product rounds depends on the shape of the batch, and this rounding is cut off again.
        return (vectors.astype(np.float64) @ self.matrix.astype(np.float64)).astype(np.float32)


class RotationAccumulator:
    """Gathers the common tracks' vectors of :func:`rotation` in parts; holds one float64 matrix (dim, dim).

    Its sums are rounded: merge parts in a fixed order for a matrix that is the same to the last bit.
    """

    def __init__(self, dim: int) -> None:
        self._moment = np.zeros((dim, dim))
        self._weight = 0.0
        self._tracks = 0

    def update(self, new: Vectors, old: Vectors, weights: Weights | None = None) -> None:
        """Add n common tracks: new and old vectors, float16 or float32 (n, dim), and their weights, float64 (n,).

        A track with a zero vector has no direction and is left out.

        Raises:
            ValueError: shapes differ, or a weight is negative or not finite.
            InvalidDataError: a vector is not finite.
        """
        _check_vectors(new, old, self._moment.shape[0])
        each = np.ones(len(new)) if weights is None else weights
        if each.shape != (len(new),) or not np.isfinite(each).all() or each.min(initial=0) < 0:
            raise ValueError(f"{len(new)} weights are needed, finite and not negative")
        unit = Preprocessing(unit_length=True)
        after, before = unit.apply(new), unit.apply(old)
        each = np.where(after.any(axis=1) & before.any(axis=1), each, 0.0)
        self._moment += after.astype(np.float64).T @ (each[:, np.newaxis] * before)
        self._weight += float(each.sum())
        self._tracks += int(np.count_nonzero(each))

    def merge(self, other: "RotationAccumulator") -> None:
        """Add what another accumulator was given."""
        self._moment += other._moment
        self._weight += other._weight
        self._tracks += other._tracks

    def finalize(self) -> Rotation:
        """Find the rotation; without common tracks it leaves everything as it is."""
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
    """Find the rotation that brings the unit vectors of common tracks nearest to what they were.

    It minimises the weighted sum of squared distances between turned new and old vectors.

    Args:
        new: float16 or float32 (n, dim), a row a track.
        old: float16 or float32 (n, dim), the same tracks in the same order.
        weights: float64 (n,), not negative; by default 1.

    Raises:
        ValueError: shapes differ; vectors of different dimensions cannot be brought together by a rotation.
        InvalidDataError: a vector is not finite.
    """
    gathered = RotationAccumulator(new.shape[-1])
    gathered.update(new, old, weights)
    return gathered.finalize()


def _check_vectors(new: Vectors, old: Vectors, dim: int) -> None:
    if new.ndim != 2 or new.shape != old.shape or new.shape[1] != dim:
        raise ValueError(
            f"new vectors of shape {new.shape} and old ones of shape {old.shape} are not the same tracks in the same "
            f"{dim} dimensions: a rotation cannot bring them together"
        )
