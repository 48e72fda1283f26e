"""Drift of a catalog away from the codebooks that quantize it, per modality.

A bundle's first release is the usage baseline (:class:`CodeUsage`); each later release is compared with it. The records
have ``to_json`` and ``from_json``, because the keys of the stored JSON differ from the attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracktokens.codebooks.metrics.codebook_quality import CodebookQuality, CodebookQualityAccumulator
from tracktokens.codebooks.numerics.arrays import Counts, Doubles

MIN_NEW_TRACKS = 100
"""New tracks of a modality that are needed to measure their fit."""

MIN_TRACKS_PER_CODE = 4
"""Tracks per code that are needed to compare distances: if most tracks have their own centroid, any new one is far."""

HALF_A_TRACK = 0.5
"""Count that is added to each code before shares are compared, so that unused codes can be compared too."""


@dataclass(frozen=True)
class CodeUsage:
    """Use of a modality's codes by a catalog.

    Attributes:
        tracks: tracks that have a code.
        coverage: their share of all tracks.
        counts: tracks of each code, in order of code.
        p95_distance: squared distance to the centroid that 5 % of the tracks exceed; None without tracks.
        p05_margin: relative margin that 5 % of the tracks are below; None if the codebook has one centroid.
    """

    tracks: int
    coverage: float
    counts: Sequence[int]
    p95_distance: float | None
    p05_margin: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields under the keys of ``use.json``."""
        return {
            "tracks": self.tracks,
            "coverage": self.coverage,
            "counts": list(self.counts),
            "far": self.p95_distance,
            "unsure": self.p05_margin,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "CodeUsage":
        """Read what :meth:`to_json` returned."""
        return cls(fields["tracks"], fields["coverage"], fields["counts"], fields["far"], fields["unsure"])


@dataclass(frozen=True)
class NewTrackFit:
    """Fit of the codes to tracks whose input the previous release did not have.

    Attributes:
        tracks: number of new tracks.
        beyond_p95_distance_share: share of the new tracks beyond the baseline's ``p95_distance``; about 5 % without
            drift. None if there are too few new tracks, or the baseline has too few tracks per code.
        below_p05_margin_share: share of the new tracks below the baseline's ``p05_margin``; None for the same reasons.
    """

    tracks: int
    beyond_p95_distance_share: float | None
    below_p05_margin_share: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields under the keys of ``metrics.json``."""
        return {
            "tracks": self.tracks,
            "far_share": self.beyond_p95_distance_share,
            "unsure_share": self.below_p05_margin_share,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "NewTrackFit":
        """Read what :meth:`to_json` returned."""
        return cls(fields["tracks"], fields["far_share"], fields["unsure_share"])


@dataclass(frozen=True)
class Drift:
    """Drift of one modality.

    Attributes:
        new: fit of new tracks.
        stability_index: population stability index of the codes, the sum over codes of
            (current - baseline) ln(current / baseline): below 0.1 is usually called stable, above 0.2 a shift.
        grown_code: code whose share grew most; None without codes.
        grown_from: its share in the baseline.
        grown_to: its current share.
        baseline_coverage: share of all tracks that had a code in the baseline.
        current_coverage: share of all tracks that have a code now.
    """

    new: NewTrackFit
    stability_index: float
    grown_code: int | None
    grown_from: float
    grown_to: float
    baseline_coverage: float
    current_coverage: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields under the keys of ``metrics.json``."""
        return {
            "new": self.new.to_json(),
            "stability_index": self.stability_index,
            "grown_code": self.grown_code,
            "grown_from": self.grown_from,
            "grown_to": self.grown_to,
            "coverage_then": self.baseline_coverage,
            "coverage_now": self.current_coverage,
        }


@dataclass(frozen=True)
class DriftLimits:
    """Limits past which drift is reported.

    Attributes:
        beyond_p95_distance_share: largest share of new tracks beyond the baseline's ``p95_distance``.
        below_p05_margin_share: largest share of new tracks below the baseline's ``p05_margin``.
        stability_index: largest population stability index.
        coverage_loss: largest decrease of the coverage.
        unknown_growth: largest increase of the share of playlist entries that name no track of the catalog.
    """

    beyond_p95_distance_share: float = 0.2
    below_p05_margin_share: float = 0.2
    stability_index: float = 0.2
    coverage_loss: float = 0.05
    unknown_growth: float = 0.1


def code_usage(quality: CodebookQuality, counts: Counts, rows: int) -> CodeUsage:
    """Summarize the use of a modality's codes for later comparison.

    Args:
        quality: quality of the codebook for the catalog's tracks.
        counts: int64 (centroids,), tracks of each code.
        rows: all tracks of the catalog.
    """
    return CodeUsage(
        tracks=quality.tracks,
        coverage=quality.tracks / rows if rows else 0.0,
        counts=counts.tolist(),
        p95_distance=None if quality.distances is None else quality.distances.p95,
        p05_margin=None if quality.relative_margins is None else quality.relative_margins.p05,
    )


def new_track_fit(new: CodebookQualityAccumulator, baseline: CodeUsage) -> NewTrackFit:
    """Compare the codes of new inputs with the usage baseline of the bundle."""
    tracks = int(new.counts.sum())
    enough = tracks >= MIN_NEW_TRACKS and baseline.tracks >= MIN_TRACKS_PER_CODE * len(baseline.counts)
    distance, margin = (baseline.p95_distance, baseline.p05_margin) if enough else (None, None)
    return NewTrackFit(
        tracks=tracks,
        beyond_p95_distance_share=None if distance is None else new.share_beyond_distance(distance),
        below_p05_margin_share=None if margin is None else new.share_below_margin(margin),
    )


def drift(baseline: CodeUsage, current: CodeUsage, new: NewTrackFit) -> Drift:
    """Compare the use of a modality's codes with its baseline.

    Example:
        >>> baseline, current = (CodeUsage(100, 1.0, counts, None, None) for counts in ([50, 50], [20, 80]))
        >>> change = drift(baseline, current, NewTrackFit(0, None, None))
        >>> change.grown_code, change.grown_from, change.grown_to, round(change.stability_index, 2)
        (1, 0.5, 0.8, 0.41)

    Args:
        baseline: use of the codes by the bundle's first release.
        current: current use of the codes of the same codebook.
        new: fit of the new tracks.

    Raises:
        ValueError: the two belong to codebooks of different sizes.
    """
    if len(baseline.counts) != len(current.counts):
        raise ValueError(
            f"the baseline has {len(baseline.counts)} codes, the current use {len(current.counts)}: different codebooks"
        )
    old_shares, new_shares = _shares(baseline.counts), _shares(current.counts)
    grown = int(np.argmax(new_shares - old_shares)) if len(old_shares) else None
    return Drift(
        new=new,
        stability_index=stability_index(np.array(baseline.counts, np.int64), np.array(current.counts, np.int64)),
        grown_code=grown,
        grown_from=0.0 if grown is None else float(old_shares[grown]),
        grown_to=0.0 if grown is None else float(new_shares[grown]),
        baseline_coverage=baseline.coverage,
        current_coverage=current.coverage,
    )


def stability_index(baseline: Counts, current: Counts) -> float:
    """Compute the population stability index of two int64 (codes,) counts; 0.0 if one of them is all 0.

    It is the symmetrised Kullback-Leibler divergence (Jeffreys, 1946) of the shares, with half a track added per code.

    Example:
        >>> import numpy as np
        >>> round(stability_index(np.array([0, 1]), np.array([1, 0])), 4)  # shares 1/4, 3/4 and 3/4, 1/4
        1.0986
    """
    if not baseline.sum() or not current.sum():
        return 0.0
    old_shares, new_shares = (
        (counts + HALF_A_TRACK) / (counts.sum() + HALF_A_TRACK * len(counts)) for counts in (baseline, current)
    )
    return float(((new_shares - old_shares) * np.log(new_shares / old_shares)).sum())


def exceeded_limits(change: Drift, limits: DriftLimits) -> list[str]:
    """Describe each limit that is exceeded, to follow the name of the modality and a colon."""
    messages, new = [], change.new
    distant, uncertain = new.beyond_p95_distance_share, new.below_p05_margin_share
    if distant is not None and distant > limits.beyond_p95_distance_share:
        messages.append(
            f"{distant:.0%} of {new.tracks} new tracks are farther from their centroid than 95 % of the baseline"
        )
    if uncertain is not None and uncertain > limits.below_p05_margin_share:
        messages.append(f"{uncertain:.0%} of {new.tracks} new tracks have a smaller margin than 95 % of the baseline")
    if change.stability_index > limits.stability_index:
        messages.append(
            f"codes are used differently (stability index {change.stability_index:.2f}; code {change.grown_code} grew "
            f"from {change.grown_from:.2%} to {change.grown_to:.2%})"
        )
    if change.baseline_coverage - change.current_coverage > limits.coverage_loss:
        messages.append(
            f"{change.current_coverage:.1%} of the tracks have a code, {change.baseline_coverage:.1%} in the baseline"
        )
    return messages


def _shares(counts: Sequence[int]) -> Doubles:
    values = np.array(counts, np.float64)
    shares: Doubles = values / max(values.sum(), 1)
    return shares
