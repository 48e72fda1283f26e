"""Figures of the releases up to one: coverage, drift and churn over the years."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracktokens.pipelines.analysis.atlas.source import AtlasSource
from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.transforms.store import files
from tracktokens.transforms.store.releases import is_withdrawn, release_ids

RELEASES = 60
"""Most releases that are shown, the newest."""


@dataclass(frozen=True)
class ReleaseFigures:
    """Figures of one release.

    Attributes:
        release_id: the release.
        tracks: tracks in its token table.
        conflict_rate: share of the tracks whose tokens are not theirs alone; None if not measured.
        coverage: column to the share of the tracks that have a code.
        drift: column to the population stability index since the baseline; empty in a bundle's first release.
        churn: column to the share of the tracks whose token was added, removed or changed; empty in a first release.
    """

    release_id: str
    tracks: int
    conflict_rate: float | None
    coverage: Mapping[str, float]
    drift: Mapping[str, float]
    churn: Mapping[str, float]

    @classmethod
    def of(cls, release_id: str, metrics: Mapping[str, Any]) -> ReleaseFigures:
        """Pick the figures out of the content of ``metrics.json``."""
        tracks = metrics["rows"]["published"]
        drift = (metrics.get("drift") or {}).get("modalities", {})
        return cls(
            release_id=release_id,
            tracks=tracks,
            conflict_rate=metrics["tokens"].get("conflict_rate"),
            coverage={name: usage["coverage"] for name, usage in metrics["modalities"].items()},
            drift={name: moved["stability_index"] for name, moved in drift.items()},
            churn={
                name: sum(counts.values()) / max(tracks, 1)
                for name, counts in (metrics.get("changes") or {}).items()
                if name in metrics["modalities"]
            },
        )


@dataclass(frozen=True)
class History:
    """Releases up to one, the oldest first, and the number of older ones whose figures cannot be read."""

    releases: tuple[ReleaseFigures, ...]
    unreadable: int


def release_history(source: AtlasSource) -> History:
    """Read the figures of the releases before one that were not withdrawn, and add its own.

    A damaged older release is counted: it must not prevent a new one.
    """
    figures, unreadable = [ReleaseFigures.of(source.release_id, source.metrics)], 0
    earlier = (name for name in release_ids(source.store) if name < source.release_id)
    for release_id in earlier:
        if len(figures) + unreadable == RELEASES:
            break
        try:
            found = _figures(source, release_id)
        except (TracktokensError, OSError, ValueError, KeyError, TypeError):
            unreadable += 1
        else:
            figures += found
    return History(tuple(reversed(figures)), unreadable)


def _figures(source: AtlasSource, release_id: str) -> list[ReleaseFigures]:
    """Read the figures of an older release; none if its vocabulary has another size, or if it was withdrawn."""
    paths = source.store.release(release_id)
    release = ReleaseManifest.from_json(files.read_bytes(paths.manifest), paths.manifest)
    if release.codebook_size != source.bundle.codebook_size or is_withdrawn(source.store, release_id):
        return []
    return [ReleaseFigures.of(release_id, files.read_json(paths.metrics))]
