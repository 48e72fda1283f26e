"""Drift of a catalog: the usage baseline of a bundle, and the comparison of a later catalog with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracktokens.codebooks.metrics.codebook_quality import CodebookQuality, DistanceQuantiles, MarginQuantiles
from tracktokens.codebooks.metrics.drift import (
    CodeUsage,
    Drift,
    DriftLimits,
    NewTrackFit,
    code_usage,
    drift,
    exceeded_limits,
)
from tracktokens.schemas.manifests.bundle import BundleManifest, UsageBaseline
from tracktokens.schemas.manifests.catalog import PlaylistsManifest
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest
from tracktokens.transforms.store.layout import Store

NO_NEW_TRACKS = NewTrackFit(0, None, None)


@dataclass(frozen=True)
class CatalogUsage:
    """Use of a bundle's codes by one catalog.

    Attributes:
        modalities: modality to the use of its codes.
        unknown_entries: share of the playlist entries that name no track of the catalog; None without playlists.
    """

    modalities: Mapping[str, CodeUsage]
    unknown_entries: float | None


@dataclass(frozen=True)
class DriftReport:
    """Changes of a catalog since the usage baseline of its bundle.

    Attributes:
        since: release that the baseline was measured on.
        modalities: modality to its drift.
        unknown_entries_baseline: ``unknown_entries`` of the baseline.
        unknown_entries_current: ``unknown_entries`` of the catalog.
        warnings: one sentence per limit that is exceeded.
    """

    since: str
    modalities: Mapping[str, Drift]
    unknown_entries_baseline: float | None
    unknown_entries_current: float | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report under the keys of ``metrics.json``."""
        return {
            "since": self.since,
            "modalities": {modality: moved.to_json() for modality, moved in self.modalities.items()},
            "unknown_entries_then": self.unknown_entries_baseline,
            "unknown_entries_now": self.unknown_entries_current,
            "warnings": self.warnings,
        }


def usage_baseline(store: Store, bundle: BundleManifest) -> UsageBaseline | None:
    """Read the usage baseline of a bundle; None before its first release.

    A codebook that was kept from an older bundle has the baseline of that bundle.

    Raises:
        InvalidDataError: the file cannot be read.
    """
    path = _path(store, bundle.bundle_id)
    content = files.read_existing(path)
    return None if content is None else UsageBaseline.from_json(content, path)


def write_usage_baseline(store: Store, bundle: BundleManifest, release_id: str, current: CatalogUsage) -> None:
    """Write the usage baseline of a bundle, measured on its first release."""
    modalities = {m: (_inherited(store, bundle, m) or usage).to_json() for m, usage in current.modalities.items()}
    baseline = UsageBaseline(release_id, modalities, current.unknown_entries)
    files.write_bytes(_path(store, bundle.bundle_id), baseline.to_json().encode())


def modality_usages(baseline: UsageBaseline) -> dict[str, CodeUsage]:
    """Parse the use of each modality's codes out of a baseline."""
    return {modality: CodeUsage.from_json(fields) for modality, fields in baseline.modalities.items()}


def catalog_usage(
    measured: Mapping[str, Mapping[str, Any]], rows: int, playlists: PlaylistsManifest | None
) -> CatalogUsage:
    """Compute the use of a bundle's codes by a catalog.

    Args:
        measured: modality to ``quality`` and ``counts``, as ``WriteCodebookQuality`` writes them.
        rows: tracks in the token table.
        playlists: counts of the playlists; None without any.
    """
    usages = {
        modality: code_usage(_quality(parts["quality"]), np.array(parts["counts"], np.int64), rows)
        for modality, parts in measured.items()
    }
    read = 0 if playlists is None else playlists.entries_read
    return CatalogUsage(usages, playlists.entries_unknown / read if playlists is not None and read else None)


def drift_report(
    baseline: UsageBaseline, current: CatalogUsage, fits: Mapping[str, NewTrackFit], limits: DriftLimits
) -> DriftReport:
    """Compare the usage of a catalog with the baseline of its bundle.

    Args:
        baseline: usage in the bundle's first release.
        current: usage now.
        fits: modality to the fit of new tracks.
        limits: bounds past which a warning is added.
    """
    usages = modality_usages(baseline)
    moved = {
        modality: drift(usages[modality], usage, fits.get(modality, NO_NEW_TRACKS))
        for modality, usage in current.modalities.items()
        if modality in usages
    }
    warnings = [f"{modality}: {text}" for modality, change in moved.items() for text in exceeded_limits(change, limits)]
    old, new = baseline.unknown_entries, current.unknown_entries
    if old is not None and new is not None and new - old > limits.unknown_growth:
        warnings.append(f"playlists: {new:.0%} of the entries name no known track, {old:.0%} in the baseline")
    return DriftReport(baseline.release_id, moved, old, new, tuple(warnings))


def drift_message(report: DriftReport) -> str:
    """Format the warnings of a report, with what to do."""
    return (
        f"drift since release {report.since}: {'; '.join(report.warnings)}: run `tracktokens retrain` before the model "
        "is next trained; it updates the codebooks and keeps as many tokens as it can"
    )


def _inherited(store: Store, bundle: BundleManifest, modality: str) -> CodeUsage | None:
    """Read the baseline of a codebook that was kept from another bundle; None where there is none."""
    parent = bundle.codebooks[modality]["kept_from"]
    if parent is None or not files.exists(_path(store, parent)):
        return None
    baseline = usage_baseline(store, read_manifest(store, parent))
    return None if baseline is None else modality_usages(baseline).get(modality)


def _quality(fields: Mapping[str, Any]) -> CodebookQuality:
    margins, distances = fields["relative_margins"], fields["distances"]
    return CodebookQuality(
        **{
            **fields,
            "relative_margins": margins and MarginQuantiles(**margins),
            "distances": distances and DistanceQuantiles(**distances),
        }
    )


def _path(store: Store, bundle_id: str) -> str:
    return store.bundle(bundle_id).usage_baseline
