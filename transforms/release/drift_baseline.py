"""How far a catalog has moved since a bundle was first published, and what to say of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tracktokens.codebooks.metrics.codebook_quality import CodebookQuality, DistanceQuantiles, MarginQuantiles
from tracktokens.codebooks.metrics.drift import CodeUsage, Drift, DriftLimits, NewTrackFit, code_usage, drift, excesses
from tracktokens.schemas.manifests.bundle import BundleManifest, UsageBaseline
from tracktokens.schemas.manifests.catalog import PlaylistsManifest
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest
from tracktokens.transforms.store.layout import Store

BASELINE_FILE = "use.json"
NOTHING_NEW = NewTrackFit(0, None, None)


@dataclass(frozen=True)
class CatalogUsage:
    """How a catalog uses a bundle.

    Attributes:
        modalities: modality to the use of its codes.
        unknown_entries: share of the playlists' entries that name no track of the catalog; None without playlists.
    """

    modalities: Mapping[str, CodeUsage]
    unknown_entries: float | None


@dataclass(frozen=True)
class DriftReport:
    """What changed since the bundle was first published.

    Attributes:
        since: the release that it is compared with.
        modalities: modality to how far it moved.
        unknown_entries_then: share of the playlists' entries that named no track then; None without playlists.
        unknown_entries_now: the same now.
        warnings: what is past its limit, in words.
    """

    since: str
    modalities: Mapping[str, Drift]
    unknown_entries_then: float | None
    unknown_entries_now: float | None
    warnings: tuple[str, ...]


def usage_baseline(store: Store, bundle: BundleManifest) -> UsageBaseline | None:
    """How a bundle was used when it was first published; None before that.

    What its codebooks that were kept from an older bundle were used for counts from that one's first release on.

    Raises:
        InvalidDataError: it cannot be read.
    """
    path = _path(store, bundle.bundle_id)
    return UsageBaseline.from_json(files.read_bytes(path), path) if files.exists(path) else None


def write_usage_baseline(store: Store, bundle: BundleManifest, release_id: str, now: CatalogUsage) -> None:
    """Keep how a bundle is used by its first release."""
    modalities = {m: asdict(_inherited(store, bundle, m) or use) for m, use in now.modalities.items()}
    use = UsageBaseline(release_id, modalities, now.unknown_entries)
    files.write_bytes(_path(store, bundle.bundle_id), use.to_json().encode())


def modality_usages(use: UsageBaseline) -> dict[str, CodeUsage]:
    """The use of each modality's codes, out of a manifest."""
    return {modality: CodeUsage(**fields) for modality, fields in use.modalities.items()}


def catalog_usage(
    measured: Mapping[str, Mapping[str, Any]], rows: int, playlists: PlaylistsManifest | None
) -> CatalogUsage:
    """Put together how a catalog uses a bundle.

    Args:
        measured: modality to ``quality`` and ``counts``, as ``WriteCodebookQuality`` leaves them.
        rows: tracks in the token table.
        playlists: what was read of playlists.
    """
    uses = {
        modality: code_usage(_quality(found["quality"]), np.array(found["counts"], np.int64), rows)
        for modality, found in measured.items()
    }
    read = 0 if playlists is None else playlists.entries_read
    return CatalogUsage(uses, playlists.entries_unknown / read if playlists is not None and read else None)


def drift_report(
    then: UsageBaseline, now: CatalogUsage, fits: Mapping[str, NewTrackFit], limits: DriftLimits
) -> DriftReport:
    """Compare how a catalog uses a bundle with its first release."""
    uses = modality_usages(then)
    moved = {m: drift(uses[m], use, fits.get(m, NOTHING_NEW)) for m, use in now.modalities.items() if m in uses}
    warnings = [f"{modality}: {text}" for modality, found in moved.items() for text in excesses(found, limits)]
    before, after = then.unknown_entries, now.unknown_entries
    if before is not None and after is not None and after - before > limits.unknown_growth:
        warnings.append(f"playlists: {after:.0%} of the entries name no known track, {before:.0%} did at first")
    return DriftReport(then.release_id, moved, before, after, tuple(warnings))


def drift_message(report: DriftReport) -> str:
    """Say when to retrain, after what was found."""
    return (
        f"since release {report.since}, " + "; ".join(report.warnings) + ": `tracktokens retrain` renews the codebooks "
        "and keeps what it can of the tokens' meaning; do so before the model is next trained"
    )


def _inherited(store: Store, bundle: BundleManifest, modality: str) -> CodeUsage | None:
    parent = bundle.codebooks[modality]["kept_from"]
    if parent is None or not files.exists(_path(store, parent)):
        return None
    use = usage_baseline(store, read_manifest(store, parent))
    return None if use is None else modality_usages(use).get(modality)


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
    return files.join(store.bundle(bundle_id), BASELINE_FILE)
