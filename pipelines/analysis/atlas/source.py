"""Sources of an atlas: a release that is published, or one that is about to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tracktokens.codebooks.bundle import Bundle
from tracktokens.schemas.manifests.bundle import BundleManifest, UsageBaseline
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.transforms.release.draft import ReleaseDraft
from tracktokens.transforms.release.drift_baseline import usage_baseline
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest, read_released_bundle
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.token_tables import TokenTable


@dataclass(frozen=True, eq=False)
class AtlasSource:
    """A release whose tables are written.

    Attributes:
        store: its store.
        release_id: its id.
        table: its token table.
        bundle: its codebooks.
        manifest: manifest of the bundle.
        metrics: content of its ``metrics.json``.
        previous: id of the release that ``changes/`` compares with; None without one.
        baseline: usage baseline of the bundle; None in its first release.
    """

    store: Store
    release_id: str
    table: TokenTable
    bundle: Bundle
    manifest: BundleManifest
    metrics: Mapping[str, Any] = field(repr=False)
    previous: str | None
    baseline: UsageBaseline | None = field(repr=False)

    @classmethod
    def published(cls, store: Store, release: ReleaseManifest) -> AtlasSource:
        """Open a published release.

        Raises:
            InvalidDataError: a file of the release is missing, or cannot be read.
        """
        bundle = read_released_bundle(store, release)
        manifest = read_manifest(store, release.bundle_id)
        baseline = usage_baseline(store, manifest)
        table = TokenTable.of(store, release)
        return cls(
            store=store,
            release_id=release.release_id,
            table=table,
            bundle=bundle,
            manifest=manifest,
            metrics=files.read_json(table.release.metrics),
            previous=release.previous,
            baseline=None if baseline is None or baseline.release_id == release.release_id else baseline,
        )

    @classmethod
    def draft(cls, draft: ReleaseDraft, metrics: Mapping[str, Any]) -> AtlasSource:
        """Take a release that is complete but for its report and its manifest."""
        return cls(
            store=draft.store,
            release_id=draft.release_id,
            table=draft.table,
            bundle=draft.bundle,
            manifest=draft.bundle_manifest,
            metrics=metrics,
            previous=None if draft.previous is None else draft.previous.release_id,
            baseline=draft.baseline,
        )
