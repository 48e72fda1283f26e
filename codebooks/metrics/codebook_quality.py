"""Quality of one codebook: distances to its centroids, evenness of the use of its codes, and margins of the codes.

Codes are stored in buckets. Accumulators process them in parts and are merged, with the same result in any order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.numerics.arrays import Codes, Counts, Floats, Integers
from tracktokens.codebooks.numerics.weighted_mean import WeightedMean

MARGIN_BINS = 1000
"""Bins of the histogram of relative margins, which range from 0 to 1. Quantiles have this resolution."""

DISTANCE_BITS = 12
"""Leading bits of a float32 distance that number its bin: the exponent, and 4 bits of the mantissa. Bins are 3 to 6 %
wide for distances of any scale."""


@dataclass(frozen=True)
class MarginQuantiles:
    """Quantiles of the relative margin over tracks, to a thousandth: 5 % of the tracks are below ``p05``.

    The relative margin is the margin divided by the squared distance to the second nearest centroid: 0 if a vector is
    as near to the second centroid as to the first, 1 if it is on the first. A small change can give a vector with a
    small margin the second code.
    """

    p05: float
    p25: float
    p50: float
    p75: float
    p95: float


@dataclass(frozen=True)
class DistanceQuantiles:
    """Quantiles of the squared distance to the centroid over tracks, rounded down by up to 6 %."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class CodebookQuality:
    """Quality of a codebook for the tracks of a catalog.

    Attributes:
        tracks: tracks that have a code.
        inputs: distinct inputs of these tracks; equal inputs share one code.
        centroids: centroids of the codebook.
        inertia: mean squared distance of a track's vector to its centroid, in preprocessed space; None without tracks.
        explained_variance: 1 - inertia / total variance; None without tracks, or if that variance is not known.
        perplexity: 2 to the entropy of the codes in bits: the number of equally frequent codes with the same entropy; 0
            without tracks.
        dead_codes: centroids that are nearest to no track: unused codes.
        gini: Gini coefficient of the tracks per code: 0 if all codes have as many, towards 1 if one code has all; None
            without tracks.
        largest_code_share: share of the tracks with the most frequent code; None without tracks.
        relative_margins: quantiles of relative margins; None if the codebook has one centroid, or without tracks.
        distances: quantiles of squared distances to the centroids; None without tracks.
    """

    tracks: int
    inputs: int
    centroids: int
    inertia: float | None
    explained_variance: float | None
    perplexity: float
    dead_codes: int
    gini: float | None
    largest_code_share: float | None
    relative_margins: MarginQuantiles | None
    distances: DistanceQuantiles | None


class CodebookQualityAccumulator:
    """Accumulator of :class:`CodebookQuality` over the codes of one modality.

    It holds 8 bytes per centroid and about 45 kB. Weights are integers, so that sums are exact.

    Example:
        >>> import numpy as np
        >>> accumulator = CodebookQualityAccumulator(centroids=3)
        >>> codes, distances, margins = np.array([0, 0, 1], np.int16), np.ones(3, np.float32), np.ones(3, np.float32)
        >>> accumulator.update(codes, distances, margins)
        >>> quality = accumulator.finalize(variance=4.0)
        >>> quality.inertia, quality.explained_variance, quality.dead_codes
        (1.0, 0.75, 1)
    """

    def __init__(self, centroids: int) -> None:
        self._inputs = 0
        self._counts = np.zeros(centroids, np.int64)
        self._distance = WeightedMean()
        self._margins = np.zeros(MARGIN_BINS, np.int64)
        self._distances = np.zeros(1 << DISTANCE_BITS, np.int64)

    @property
    def counts(self) -> Counts:
        """Number of tracks of each code, int64 (centroids,)."""
        return self._counts

    def update(
        self,
        codes: Codes,
        distances: Floats,
        margins: Floats,
        weights: Counts | None = None,
    ) -> None:
        """Add n inputs with the results of ``codebooks.assign``.

        Args:
            codes: int16 (n,), each a row number of the centroids.
            distances: float32 (n,), squared L2 distances to the centroids.
            margins: float32 (n,), squared distances to the second nearest centroids minus ``distances``; NaN if there
                is one centroid.
            weights: int64 (n,), tracks that share each input; 1 by default.

        Raises:
            ValueError: shapes differ, or a code has no centroid.
        """
        tracks = np.ones(len(codes), np.int64) if weights is None else weights
        if not codes.shape == distances.shape == margins.shape == tracks.shape:
            shapes = ", ".join(str(array.shape) for array in (codes, distances, margins, tracks))
            raise ValueError(f"codes, distances, margins and weights have different shapes: {shapes}")
        if len(codes) and not 0 <= codes.min() <= codes.max() < len(self._counts):
            raise ValueError(f"codes from {codes.min()} to {codes.max()} do not fit {len(self._counts)} centroids")
        self._inputs += len(codes)
        self._counts += _weighted_counts(codes, tracks, len(self._counts))
        self._distance.add(distances, tracks)
        self._margins += _margin_histogram(distances, margins, tracks)
        self._distances += _weighted_counts(_distance_bins(distances), tracks, len(self._distances))

    def merge(self, other: "CodebookQualityAccumulator") -> None:
        """Add another accumulator of the same codebook.

        Raises:
            ValueError: the numbers of centroids differ.
        """
        if len(other._counts) != len(self._counts):
            raise ValueError(f"one codebook has {len(self._counts)} centroids, the other {len(other._counts)}")
        self._inputs += other._inputs
        self._counts += other._counts
        self._distance.merge(other._distance)
        self._margins += other._margins
        self._distances += other._distances

    def share_beyond_distance(self, distance: float) -> float | None:
        """Return the share of the tracks beyond a squared distance from their centroids; None without tracks.

        Tracks in the bin of that distance are not beyond it.
        """
        distance_bin = int(_distance_bins(np.array([distance], np.float32))[0])
        return _share(self._distances[distance_bin + 1 :], self._distances)

    def share_below_margin(self, relative_margin: float) -> float | None:
        """Return the share of the tracks below a relative margin, to a thousandth; None without margins."""
        return _share(self._margins[: int(relative_margin * MARGIN_BINS)], self._margins)

    def finalize(self, variance: float | None = None) -> CodebookQuality:
        """Compute the quality over all inputs.

        Args:
            variance: mean squared distance of a preprocessed vector to the mean of all vectors.
        """
        tracks = int(self._counts.sum())
        inertia = self._distance.value()
        return CodebookQuality(
            tracks=tracks,
            inputs=self._inputs,
            centroids=len(self._counts),
            inertia=inertia,
            explained_variance=_explained_variance(inertia, variance),
            perplexity=perplexity(self._counts),
            dead_codes=int(np.count_nonzero(self._counts == 0)),
            gini=gini(self._counts) if tracks else None,
            largest_code_share=int(self._counts.max()) / tracks if tracks else None,
            relative_margins=_quantiles(self._margins) if self._margins.any() else None,
            distances=_distance_quantiles(self._distances) if tracks else None,
        )


def perplexity(counts: Counts) -> float:
    """Compute the perplexity of codes with these counts: 2 to the entropy in bits; 0.0 if all counts are 0.

    Example:
        >>> import numpy as np
        >>> perplexity(np.array([5, 5, 0, 5, 5]))
        4.0
    """
    total = int(counts.sum())
    if total == 0:
        return 0.0
    shares = counts[counts > 0] / total
    return float(np.exp2(-(shares * np.log2(shares)).sum()))


def gini(counts: Counts) -> float:
    """Compute the Gini coefficient of counts, at least one above 0: half of their relative mean absolute difference.

    Example:
        >>> import numpy as np
        >>> gini(np.array([3, 3])), gini(np.array([0, 0, 0, 8]))
        (0.0, 0.75)
    """
    ranks = np.arange(1, len(counts) + 1)
    return float(((2 * ranks - len(counts) - 1) * np.sort(counts)).sum() / (len(counts) * counts.sum()))


def _explained_variance(inertia: float | None, variance: float | None) -> float | None:
    if inertia is None or variance is None:
        return None
    return 1.0 - inertia / variance if variance > 0 else 1.0


def _weighted_counts(numbers: npt.NDArray[np.integer], weights: Counts, size: int) -> Counts:  # type: ignore[type-arg]
    # bincount adds floats, which are exact for integers below 2**53
    return np.bincount(numbers, weights=weights, minlength=size).astype(np.int64)


def _margin_histogram(distances: Floats, margins: Floats, tracks: Counts) -> Counts:
    known = ~np.isnan(margins)
    margin = margins[known].astype(np.float64)
    second = margin + distances[known]
    relative = np.divide(margin, second, out=np.zeros_like(second), where=second > 0)
    bins = np.minimum((relative * MARGIN_BINS).astype(np.int64), MARGIN_BINS - 1)
    return _weighted_counts(bins, tracks[known], MARGIN_BINS)


def _distance_bins(distances: Floats) -> Integers:
    """Return the bin of each distance, in order of distance: the bits of positive floats sort like their values."""
    bits = np.maximum(distances, 0).astype(np.float32).view(np.uint32)
    return (bits >> np.uint32(31 - DISTANCE_BITS)).astype(np.int64)


def _distance_quantiles(histogram: Counts) -> DistanceQuantiles:
    """Return the lower end of the bin of each quantile."""
    cumulative = np.cumsum(histogram)
    bins = np.searchsorted(cumulative, np.array([0.5, 0.95, 0.99]) * cumulative[-1])
    values = (bins.astype(np.uint32) << np.uint32(31 - DISTANCE_BITS)).view(np.float32)
    return DistanceQuantiles(*values.tolist())


def _share(part: Counts, whole: Counts) -> float | None:
    total = int(whole.sum())
    return int(part.sum()) / total if total else None


def _quantiles(histogram: Counts) -> MarginQuantiles:
    return MarginQuantiles(*(_quantile(histogram, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)))


def _quantile(histogram: Counts, share: float) -> float:
    """Return the value that a share is below, as if the contents of a bin were spread evenly over it."""
    cumulative = np.cumsum(histogram)
    wanted = share * int(cumulative[-1])
    index = int(np.searchsorted(cumulative, wanted))
    missing = wanted - (int(cumulative[index]) - int(histogram[index]))
    return (index + missing / int(histogram[index])) / len(histogram)
