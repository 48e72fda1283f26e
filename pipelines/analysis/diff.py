"""Diff of two releases of a store."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Group
from rich.table import Table

from tracktokens.codebooks.metrics.churn import Churn, CodeMove, moved_codes
from tracktokens.pipelines.terminal import catalog_text
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.release.compare_tables import compare
from tracktokens.transforms.store.bundles import read_bundle
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import find_release
from tracktokens.transforms.store.token_tables import TokenTable

SHOWN_TRACKS = 10
SHOWN_CODES = 5


@dataclass(frozen=True)
class Diff:
    """Changes between two releases.

    Attributes:
        old: id of the older release.
        new: id of the newer release.
        old_bundle: bundle of the older release.
        new_bundle: bundle of the newer release.
        churn: token changes of the tracks that both releases have.
        moved: column to the codes whose centroid moved furthest; None where the codebooks share no space.
        names: track id to title and artist, of the most affected tracks.
    """

    old: str
    new: str
    old_bundle: str
    new_bundle: str
    churn: Churn
    moved: Mapping[str, tuple[CodeMove, ...] | None]
    names: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)


def diff_releases(root: str, old_id: str, new_id: str) -> Diff:
    """Compare two releases of the store at ``root``, each named by its id, or by the bundle that it is the newest of.

    Raises:
        UsageError: the store or a release does not exist.
        InvalidDataError: the vocabularies differ in size, or a token table has codes of another bundle.
    """
    store = Store.open(root)
    old, new = find_release(store, old_id), find_release(store, new_id)
    if old.codebook_size != new.codebook_size:
        raise InvalidDataError(
            f"{old.release_id} has {old.codebook_size} codes per modality, {new.release_id} {new.codebook_size}: "
            "vocabularies of different sizes cannot be compared"
        )
    table = TokenTable.of(store, new)
    churn = compare(TokenTable.of(store, old), table)
    books = read_bundle(store, old.bundle_id), read_bundle(store, new.bundle_id)
    names = [book.name for book in books[1].codebooks if book.name in books[0].token_format.names]
    moved = {name: moved_codes(books[0][name], books[1][name]) for name in names}
    texts = _names(table, {track.track_id for track in churn.worst})
    return Diff(
        old=old.release_id,
        new=new.release_id,
        old_bundle=old.bundle_id,
        new_bundle=new.bundle_id,
        churn=churn,
        moved=moved,
        names=texts,
    )


def diff_report(diff: Diff) -> Group:
    """Build the tables of a diff: churn per modality, codes that moved, and the most affected tracks."""
    return Group(
        f"{diff.old} (bundle {diff.old_bundle}) to {diff.new} (bundle {diff.new_bundle}):",
        f"{diff.churn.changed_tracks} of {diff.churn.tracks} common tracks have changed tokens",
        _modality_table(diff.churn),
        _code_table(diff.moved),
        _track_table(diff),
    )


def _names(table: TokenTable, track_ids: Collection[str]) -> dict[str, str]:
    """Read title and artist of a few tracks: id to text."""
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
    table = Table(
        "modality",
        "code changed",
        "code gained",
        "code lost",
        "churn",
        "churn by popularity",
        "codes no longer used",
        "codes newly used",
    )
    for modality, change in churn.modalities.items():
        table.add_row(
            modality,
            f"{change.changed} ({_share(change.recoded)})",
            str(change.gained),
            str(change.lost),
            _share(change.churn),
            _share(change.churn_by_popularity),
            str(len(change.codes_gone)),
            str(len(change.codes_new)),
        )
    table.add_row("any", "", "", "", _share(churn.churn), _share(churn.churn_by_popularity), "", "")
    return table


def _code_table(moved: Mapping[str, tuple[CodeMove, ...] | None]) -> Table:
    table = Table("codes moved furthest", "squared distance", "nearest old code")
    for modality, moves in moved.items():
        if moves is None:
            table.add_row(f"{modality}: no common space", "", "")
        for move in (moves or ())[:SHOWN_CODES]:
            table.add_row(f"{modality} {move.code}", f"{move.distance:.4f}", str(move.nearest))
    return table


def _track_table(diff: Diff) -> Table:
    table = Table("most affected tracks", "title and artist", "changed tokens")
    for track in diff.churn.worst[:SHOWN_TRACKS]:
        name = diff.names.get(track.track_id, "")
        table.add_row(catalog_text(track.track_id), catalog_text(name), ", ".join(track.modalities))
    return table


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"
