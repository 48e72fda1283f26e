"""Bring features of different units to one scale: standardise them, then whiten what is correlated, half-way.

Descriptors of one kind say the same thing several times over: twenty MFCCs and their deltas weigh more than the tempo.
Principal components are uncorrelated. Divided by their deviation (whitening) all of them weigh the same, and the many
that hold next to no variance, which is noise, drown the few that tell tracks apart. So only the first components are
kept, up to four fifths of the variance, and each is divided by the root of its deviation.

On the demo's 191 files the audio code and the genre then have a normalised mutual information of 0.74, as with
standardised vectors alone; with whole whitening 0.72, and with 99 % of the variance whitened 0.38.
"""

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.codebook import Preprocessing, Vectors
from tracktokens.codebooks.training_points import distinct_rows, weighted_mean

CONSTANT_BELOW = 1e-6
"""A dimension whose standard deviation is below this part of its mean's size is constant up to float32 rounding."""

KEPT_VARIANCE = 0.8
"""Share of the variance that the components hold which are kept."""

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
    """Standardise vectors of shape (n, dim), and take them to fewer components that are whitened half-way.

    The first component is the one with the most variance.
    """
    standardized = standardization(vectors)
    if len(vectors) < 2 or standardized.scale is None or not standardized.scale.any():
        return standardized
    rows, counts = distinct_rows(standardized.apply(vectors))
    centred = rows - weighted_mean(rows, counts)
    covariance = np.einsum("i,ij,ik->jk", counts / counts.sum(), centred, centred, optimize=True)
    variances, axes = (array[..., ::-1] for array in np.linalg.eigh(covariance))
    kept = 1 + int(np.searchsorted(np.cumsum(variances), KEPT_VARIANCE * variances.sum()))
    projection = _with_signs(axes[:, :kept]) / variances[:kept] ** 0.25
    return Preprocessing(False, standardized.mean, standardized.scale, projection.astype(np.float32))


def _with_signs(axes: Numbers) -> Numbers:
    """Turn each axis so that its largest entry is positive: an eigenvector's sign means nothing."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[np.newaxis], axis=0)
    turned: Numbers = axes * np.where(largest < 0, -1.0, 1.0)
    return turned
