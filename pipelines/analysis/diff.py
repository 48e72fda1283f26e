"""What changed between two releases of a store."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Group
from rich.table import Table

from tracktokens.codebooks.metrics.churn import Churn, CodeMove, moved_codes
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.release.compare_tables import compare
from tracktokens.transforms.store.bundles import read_bundle
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import find_release
from tracktokens.transforms.store.token_tables import TokenTable

SHOWN_TRACKS = 10
SHOWN_CODES = 5


@dataclass(frozen=True)
class Diff:
    """What changed between two releases.

    Attributes:
        old: id of the older release.
        new: id of the newer one.
        old_bundle: bundle of the older one.
        new_bundle: bundle of the newer one.
        churn: what became of the tokens of the tracks of both.
        moved: modality to the codes whose centroid moved furthest; None where the codebooks have no space in common.
        names: of the worst affected tracks, id to title and artist.
    """

    old: str
    new: str
    old_bundle: str
    new_bundle: str
    churn: Churn
    moved: Mapping[str, tuple[CodeMove, ...] | None]
    names: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return asdict(self)


def diff_releases(root: str, old_id: str, new_id: str) -> Diff:
    """Compare two releases of the store at ``root``, each named by its id, or by a bundle, whose newest is meant.

    Raises:
        UsageError: there is no such store or release.
        InvalidDataError: the vocabularies have different sizes, or a token table is of another bundle.
    """
    store = Store.open(root)
    old, new = find_release(store, old_id), find_release(store, new_id)
    if old.codebook_size != new.codebook_size:
        raise InvalidDataError(
            f"{old.release_id} has {old.codebook_size} codes a modality, {new.release_id} {new.codebook_size}: "
            "tokens of vocabularies of different sizes cannot be compared"
        )
    table = TokenTable.of(store, new)
    churn = compare(TokenTable.of(store, old), table, new.codebook_size)
    books = read_bundle(store, old.bundle_id), read_bundle(store, new.bundle_id)
    moved = {modality: moved_codes(books[0][modality], books[1][modality]) for modality in MODALITIES}
    names = _names(table, {track.track_id for track in churn.worst})
    return Diff(old.release_id, new.release_id, old.bundle_id, new.bundle_id, churn, moved, names)


def diff_report(diff: Diff) -> Group:
    """Show a diff to people: churn of each modality, codes that moved, and the worst affected tracks."""
    return Group(
        f"{diff.old} (bundle {diff.old_bundle}) to {diff.new} (bundle {diff.new_bundle}):",
        f"of {diff.churn.tracks} tracks in both, {diff.churn.changed_tracks} have another token",
        _modality_table(diff.churn),
        _code_table(diff.moved),
        _track_table(diff),
    )


def _names(table: TokenTable, track_ids: Collection[str]) -> dict[str, str]:
    """Title and artist of a few tracks."""
    names: dict[str, str] = {}
    wanted = pa.array(sorted(track_ids), pa.string())
    for bucket in range(table.catalog.buckets):
        if len(names) == len(wanted):
            break
        tracks = table.tracks(bucket, ["track_id", "title", "artist"])
        for row in tracks.filter(pc.is_in(tracks["track_id"], value_set=wanted)).to_pylist():
            names[row["track_id"]] = " - ".join(row[name] for name in ("title", "artist") if row[name])
    return names


def _modality_table(churn: Churn) -> Table:
    table = Table("modality", "another code", "gained", "lost", "churn", "by popularity", "codes gone", "codes new")
    for modality, found in churn.modalities.items():
        table.add_row(
            modality,
            f"{found.changed} ({_share(found.recoded)})",
            str(found.gained),
            str(found.lost),
            _share(found.churn),
            _share(found.churn_by_popularity),
            str(len(found.codes_gone)),
            str(len(found.codes_new)),
        )
    table.add_row("any", "", "", "", _share(churn.churn), _share(churn.churn_by_popularity), "", "")
    return table


def _code_table(moved: Mapping[str, tuple[CodeMove, ...] | None]) -> Table:
    table = Table("codes moved furthest", "squared distance", "now nearest to what was")
    for modality, moves in moved.items():
        if moves is None:
            table.add_row(f"{modality}: no space in common", "", "")
        for move in (moves or ())[:SHOWN_CODES]:
            table.add_row(f"{modality} {move.code}", f"{move.distance:.4f}", str(move.nearest))
    return table


def _track_table(diff: Diff) -> Table:
    table = Table("most affected tracks", "", "other tokens")
    for track in diff.churn.worst[:SHOWN_TRACKS]:
        table.add_row(track.track_id, diff.names.get(track.track_id, ""), ", ".join(track.modalities))
    return table


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"
