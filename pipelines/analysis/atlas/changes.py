"""Changes by a new training: tracks that moved from one code to another, and centroids that moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.metrics.churn import CodeMove, moved_codes
from tracktokens.pipelines.analysis.atlas.source import AtlasSource
from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.tables.token_changes import CHANGES, CODEBOOK_CHANGED
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_released_bundle
from tracktokens.transforms.store.releases import find_release

FLOWS = 10
"""Most pairs of codes per column."""

MOVES = 10
"""Most moved centroids per column."""


@dataclass(frozen=True)
class Flow:
    """Tracks that had one code and have another; ``None`` if a track had or has none."""

    old: int | None
    new: int | None
    tracks: int


@dataclass(frozen=True)
class ColumnChange:
    """Changes of one column by a new codebook.

    Attributes:
        tracks: tracks whose token changed since the codebook changed.
        flows: the most frequent pairs of codes.
        moves: codes whose centroid moved furthest; None if old and new codebook have no common space, or the old one
            is missing.
    """

    tracks: int
    flows: tuple[Flow, ...]
    moves: tuple[CodeMove, ...] | None


def retraining_changes(source: AtlasSource) -> dict[str, ColumnChange]:
    """Describe the changes since the previous release that a new codebook caused, by column; empty without any."""
    if source.previous is None:
        return {}
    flows = _flows(source)
    moves = _moves(source) if flows else {}
    return {
        name: ColumnChange(sum(flow.tracks for flow in column), tuple(column[:FLOWS]), moves.get(name))
        for name, column in flows.items()
    }


def _flows(source: AtlasSource) -> Mapping[str, list[Flow]]:
    """Count the tokens that a new codebook changed, by column, old and new code, the most frequent first."""
    keys = ["modality", "old_code", "new_code"]
    counted: list[pa.Table] = []
    for batch in files.read_folder(source.table.release.changes, CHANGES, [*keys, "why"]):
        rows = pa.table(batch).filter(pc.equal(batch["why"], CODEBOOK_CHANGED))
        counted.append(rows.group_by(keys).aggregate([([], "count_all")]))
    flows: dict[str, list[Flow]] = defaultdict(list)
    if not counted:
        return flows
    total = pa.concat_tables(counted).group_by(keys).aggregate([("count_all", "sum")])
    order = [("modality", "ascending"), ("count_all_sum", "descending"), ("old_code", "ascending")]
    for row in total.sort_by([*order, ("new_code", "ascending")]).to_pylist():
        flows[row["modality"]].append(Flow(row["old_code"], row["new_code"], row["count_all_sum"]))
    return flows


def _moves(source: AtlasSource) -> dict[str, tuple[CodeMove, ...] | None]:
    """Find the centroids that moved furthest, by column; empty if the previous bundle cannot be read."""
    try:
        old = read_released_bundle(source.store, find_release(source.store, source.previous or ""))
    except TracktokensError:  # an old bundle may have been collected
        return {}
    return {
        book.name: moved_codes(old[book.name], book, MOVES)
        for book in source.bundle.codebooks
        if book.name in old.token_format.names and old[book.name].content_hash != book.content_hash
    }
