"""Bring features of different units to one scale: standardise them, then whiten what is correlated.

Descriptors of one kind say the same thing several times over: twenty MFCCs and their deltas weigh more than the tempo.
Whitening turns them to uncorrelated directions of equal variance.

The covariance is shrunk towards the identity before that (oracle approximating shrinkage: Chen, Wiesel, Eldar and
Hero, IEEE Transactions on Signal Processing 2010, equation 23), by as much as there are too few vectors to know it:
with fewer vectors than dimensions plain whitening would put all of them at the same distance from each other.
"""

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.codebook import Preprocessing, Vectors
from tracktokens.codebooks.training_points import distinct_rows, weighted_mean

CONSTANT_BELOW = 1e-6
"""A dimension whose standard deviation is below this part of its mean's size is constant up to float32 rounding."""

NOTHING_BELOW = 1e-6
"""A direction whose variance is below this part of the largest says nothing: it is left out."""

Numbers = npt.NDArray[np.float64]


def standardization(vectors: Vectors) -> Preprocessing:
    """Measure mean and deviation of each dimension, so that features of different units weigh the same.

    A dimension that is constant in training gets scale 0: nothing says what a deviation in it is worth.
    """
    if len(vectors) == 0:
        return Preprocessing(unit_length=False)
    # Sums run over sorted rows: floating point addition depends on its order.
    rows, counts = distinct_rows(Preprocessing(unit_length=False).apply(vectors))
    mean = weighted_mean(rows, counts)
    deviation = np.sqrt(weighted_mean((rows - mean) ** 2, counts))
    varies = deviation > CONSTANT_BELOW * np.abs(mean)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
    return Preprocessing(unit_length=False, mean=mean.astype(np.float32), scale=scale.astype(np.float32))


def whitening(vectors: Vectors) -> Preprocessing:
    """Standardise vectors of shape (n, dim), and whiten them as far as their number allows.

    Directions in which nothing varies are left out, so points may have fewer components than vectors have dimensions.
    """
    standardized = standardization(vectors)
    if len(vectors) < 2 or standardized.scale is None or not standardized.scale.any():
        return standardized
    rows, counts = distinct_rows(standardized.apply(vectors))
    centred = rows - weighted_mean(rows, counts)
    covariance = np.einsum("i,ij,ik->jk", counts / counts.sum(), centred, centred, optimize=True)
    variances, axes = np.linalg.eigh(covariance)
    kept = variances > NOTHING_BELOW * variances.max()
    shrunk = shrink(variances, int(counts.sum()))[kept]
    projection = _with_signs(axes[:, kept]) / np.sqrt(shrunk)
    return Preprocessing(False, standardized.mean, standardized.scale, projection[:, ::-1].astype(np.float32))


def shrink(variances: Numbers, vectors: int) -> Numbers:
    """Draw the eigenvalues of a covariance of so many vectors towards their mean."""
    dim, trace, squares = len(variances), variances.sum(), (variances**2).sum()
    excess = (vectors + 1 - 2 / dim) * (squares - trace**2 / dim)
    share = min(1.0, ((1 - 2 / dim) * squares + trace**2) / excess) if excess > 0 else 1.0
    shrunk: Numbers = (1 - share) * variances + share * trace / dim
    return shrunk


def _with_signs(axes: Numbers) -> Numbers:
    """Turn each axis so that its largest entry is positive: an eigenvector's sign means nothing."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[np.newaxis], axis=0)
    turned: Numbers = axes * np.where(largest < 0, -1.0, 1.0)
    return turned
