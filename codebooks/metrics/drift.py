"""How far a catalog has moved away from the codebooks that divide it, modality by modality.

What tracks looked like when a bundle was first published is kept (:class:`CodeUsage`); each refresh compares with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.metrics.codebook_quality import CodebookQuality, CodebookQualityAccumulator
from tracktokens.codebooks.numerics.arrays import Counts, Doubles

FEWEST_NEW = 100
"""New tracks of a modality below which nothing is said of how well they fit."""

FEWEST_TRACKS_A_CODE = 4
"""Tracks a code below which distances say nothing: where most have a centroid of their own, any new one lies apart."""

HALF_A_TRACK = 0.5
"""Added to each code's count before shares are compared, so that a code that was unused can be compared too."""


@dataclass(frozen=True)
class CodeUsage:
    """How a catalog used the codes of a modality at one time.

    Attributes:
        tracks: tracks that have a code.
        coverage: their share of all tracks.
        counts: tracks of each code, in order of code.
        far: squared distance to the centroid beyond which 5 % of the tracks lie; None without tracks.
        unsure: relative margin below which 5 % of the tracks lie; None where the codebook has one centroid.
    """

    tracks: int
    coverage: float
    counts: Sequence[int]
    far: float | None
    unsure: float | None


@dataclass(frozen=True)
class NewTrackFit:
    """How well the codes fit tracks whose input the release before did not have.

    Attributes:
        tracks: how many they are.
        far_share: their share that lies further from its centroid than 95 % of the tracks did then: 5 % where nothing
            changed. None where there are too few of them, or too few tracks a code.
        unsure_share: their share that is less sure of its code than 95 % of the tracks were then. None likewise.
    """

    tracks: int
    far_share: float | None
    unsure_share: float | None


@dataclass(frozen=True)
class Drift:
    """How far one modality has moved.

    Attributes:
        new: how well new tracks fit.
        stability_index: population stability index of the codes then and now, the sum over codes of
            (now - then) ln(now / then): below 0.1 is usually called stable, above 0.2 a shift.
        grown_code: code whose share grew most; None without tracks.
        grown_from: its share then.
        grown_to: its share now.
        coverage_then: share of all tracks that had a code.
        coverage_now: share of all tracks that have one.
    """

    new: NewTrackFit
    stability_index: float
    grown_code: int | None
    grown_from: float
    grown_to: float
    coverage_then: float
    coverage_now: float


@dataclass(frozen=True)
class DriftLimits:
    """What is no longer taken for granted.

    Attributes:
        far_share: largest ``far_share``.
        unsure_share: largest ``unsure_share``.
        stability_index: largest ``stability_index``.
        coverage_loss: largest fall of the coverage.
        unknown_growth: largest rise of the share of playlist entries that name no track of the catalog.
    """

    far_share: float = 0.2
    unsure_share: float = 0.2
    stability_index: float = 0.2
    coverage_loss: float = 0.05
    unknown_growth: float = 0.1


def code_usage(quality: CodebookQuality, counts: Counts, rows: int) -> CodeUsage:
    """Keep what later catalogs are compared with.

    Args:
        quality: of the codes that the catalog's tracks have.
        counts: int64 (centroids,), tracks of each code.
        rows: all tracks of the catalog.
    """
    return CodeUsage(
        tracks=quality.tracks,
        coverage=quality.tracks / rows if rows else 0.0,
        counts=counts.tolist(),
        far=None if quality.distances is None else quality.distances.p95,
        unsure=None if quality.relative_margins is None else quality.relative_margins.p05,
    )


def new_track_fit(new: CodebookQualityAccumulator, then: CodeUsage) -> NewTrackFit:
    """Compare the codes of new inputs with those that there were when the bundle was first published."""
    tracks = int(new.counts.sum())
    telling = tracks >= FEWEST_NEW and then.tracks >= FEWEST_TRACKS_A_CODE * len(then.counts)
    return NewTrackFit(
        tracks=tracks,
        far_share=new.share_beyond(then.far) if telling and then.far is not None else None,
        unsure_share=new.share_less_sure(then.unsure) if telling and then.unsure is not None else None,
    )


def drift(then: CodeUsage, now: CodeUsage, new: NewTrackFit) -> Drift:
    """Compare the use of a modality's codes with what it was.

    Args:
        then: use of the codes when the bundle was first published.
        now: use of the codes now, of the same codebook.
        new: how well the new ones among them fit.

    Raises:
        ValueError: the two are of codebooks of different sizes.
    """
    if len(then.counts) != len(now.counts):
        raise ValueError(f"{len(then.counts)} codes then and {len(now.counts)} now: not the same codebook")
    before, after = _shares(then.counts), _shares(now.counts)
    grown = int(np.argmax(after - before)) if len(before) else None
    return Drift(
        new=new,
        stability_index=stability_index(np.array(then.counts, np.int64), np.array(now.counts, np.int64)),
        grown_code=grown,
        grown_from=0.0 if grown is None else float(before[grown]),
        grown_to=0.0 if grown is None else float(after[grown]),
        coverage_then=then.coverage,
        coverage_now=now.coverage,
    )


def stability_index(then: Counts, now: Counts) -> float:
    """Population stability index of two int64 (codes,) counts; 0.0 where one of them has none.

    The symmetrised Kullback-Leibler divergence (Jeffreys, 1946) of the shares, half a track added to each code.
    """
    if not then.sum() or not now.sum():
        return 0.0
    before, after = ((counts + HALF_A_TRACK) / (counts.sum() + HALF_A_TRACK * len(counts)) for counts in (then, now))
    return float(((after - before) * np.log(after / before)).sum())


def excesses(found: Drift, limits: DriftLimits) -> list[str]:
    """Say what is past its limit, each as the end of a sentence that begins with the modality."""
    said, new = [], found.new
    if new.far_share is not None and new.far_share > limits.far_share:
        said.append(f"{new.far_share:.0%} of {new.tracks} new tracks lie as far out as 5 % did at first")
    if new.unsure_share is not None and new.unsure_share > limits.unsure_share:
        said.append(f"{new.unsure_share:.0%} of {new.tracks} new tracks are as unsure as 5 % were at first")
    if found.stability_index > limits.stability_index:
        said.append(
            f"codes are used otherwise (stability index {found.stability_index:.2f}; code {found.grown_code} grew from "
            f"{found.grown_from:.2%} to {found.grown_to:.2%})"
        )
    if found.coverage_then - found.coverage_now > limits.coverage_loss:
        said.append(f"{found.coverage_now:.1%} of the tracks have a code, {found.coverage_then:.1%} had one")
    return said


def _shares(counts: Sequence[int]) -> Doubles:
    values = np.array(counts, np.float64)
    shares: Doubles = values / max(values.sum(), 1)
    return shares
