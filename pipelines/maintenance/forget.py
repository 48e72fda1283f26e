"""Takedown: remove tracks from a store and from all of its releases, prove it, and keep them out.

The order lets a killed takedown be run again: the tracks are put on the list of forgotten ones, so that no job brings
them back; catalogs and releases are copied without them; ``LATEST`` moves to the copy; the old folders are deleted, and
a collection removes the vectors and codes that no catalog needs; every file is searched; the receipt is written.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

import orjson

from tracktokens.pipelines.maintenance.garbage_collection import GcJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.display import show_value
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.forgotten import TakedownJournal
from tracktokens.transforms.maintenance.scrub_folder import (
    CopyFolders,
    FolderCopy,
    ids_in,
    rows_with,
    tables_with,
    write_without,
)
from tracktokens.transforms.maintenance.scrub_rows import ScrubbedTracks
from tracktokens.transforms.maintenance.search_store import SearchResult, StoreSearch, hash_files
from tracktokens.transforms.runtime.forgotten_tracks import (
    JOURNAL,
    ForgottenTracks,
    add_forgotten,
    remove_forgotten,
)
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import CATALOG_MANIFEST, CATALOGS, FAILED, MANIFEST, RELEASES, Store
from tracktokens.transforms.store.releases import latest_id, point_latest, release_ids
from tracktokens.transforms.store.user_files import open_output
from tracktokens.transforms.store.writer_lock import require_writer, writes

FORMAT = 1

SHOWN = 3
"""Ids that a message shows."""

REMAINS = (
    "centroids of codebooks, code statistics and metrics of releases: means and counts over many tracks, which were "
    "measured with these tracks",
    "vectors of other tracks in playlists, which were trained beside these tracks",
    "language models that were trained on released tokens",
    "copies outside of the store: backups and snapshots of its disk, releases that consumers copied, files written by "
    "`render` and `converse`, logs",
    "the source tables: a job rejects the tracks there as `forgotten`",
)
"""Data that a takedown does not reach."""


@dataclass(frozen=True)
class Takedown:
    """Result of a takedown.

    Attributes:
        receipt: content of the receipt.
        found: path to what the search found there; empty after a complete takedown.
    """

    receipt: Mapping[str, Any]
    found: Mapping[str, str]


@dataclass(frozen=True)
class ForgetJob:
    """Remove tracks from a store.

    Attributes:
        store: root of the store.
        track_ids: ids of the tracks.
        receipt: file for the receipt.
        missing_ok: whether an id that the store does not have is accepted; it is kept out from now on.
    """

    store: str
    track_ids: Sequence[str]
    receipt: str
    missing_ok: bool = False

    @writes("forget")
    def run(self, runner: PipelineRunner) -> Takedown:
        """Remove the tracks, and write the receipt.

        Raises:
            UsageError: the store does not exist or does not have an id, or another takedown was not finished.
            InvalidDataError: a file of the store cannot be read. Run again when it is restored.
            StoreBusyError: another job writes the store.
        """
        store = Store.open(self.store)
        tracks = ScrubbedTracks(sorted(set(self.track_ids)))
        affected = {folder: tables_with(folder, tracks) for folder in _folders(store)}
        journal = self._begin(store, tracks, affected)
        copies = list(_copies(affected, journal.tracks))
        journal = _add_rows(store, journal, copies)
        forgotten = add_forgotten(store, tracks.ids, journal.started)
        self._replace(store, tracks, copies)
        _scrub_failures(store, tracks)
        GcJob(self.store, keep=max(1, len(release_ids(store))), delete=True).run(runner)
        return self._finish(store, tracks, forgotten, journal)

    def _replace(self, store: Store, tracks: ScrubbedTracks, copies: Sequence[FolderCopy]) -> None:
        """Write the copies of catalogs and releases, make everything name them, and delete the old folders."""
        catalogs = [copy for copy in copies if copy.kind == CATALOGS]
        releases = [copy for copy in copies if copy.kind == RELEASES]
        writer = CopyFolders(store, tracks, {copy.old: copy.new for copy in copies})
        for copy in catalogs:
            writer.copy_catalog(copy)
        for copy in releases:
            writer.copy_release(copy)
        latest = latest_id(store.root)
        if latest in writer.names:
            point_latest(store, writer.names[latest], latest)
        writer.rename_baselines()
        for copy in (*releases, *catalogs):
            require_writer(store.root)
            for manifest in (MANIFEST, CATALOG_MANIFEST):
                files.delete_tree(files.join(copy.source, manifest))
            files.delete_tree(copy.source)

    def _begin(
        self, store: Store, tracks: ScrubbedTracks, affected: Mapping[str, Mapping[str, int]]
    ) -> TakedownJournal:
        """Read the journal of a killed takedown, or begin one."""
        listed = ForgottenTracks.of(store)
        path = files.join(store.root, JOURNAL)
        content = files.read_existing(path)
        if content is not None:
            journal = TakedownJournal.from_json(content, path)
            if set(journal.tracks) != {listed.hash(name) for name in tracks.ids}:
                raise UsageError(
                    f"a takedown of {len(journal.tracks)} other ids, begun at {journal.started}, was not finished: "
                    "run it again with the same ids first"
                )
            return journal
        known = _known_ids(tracks, affected)
        unknown = [name for name in tracks.ids if name not in known and listed.hash(name) not in listed.hashes]
        if unknown and not self.missing_ok:
            more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
            raise UsageError(
                f"{store.root} has no track {', '.join(map(show_value, unknown[:SHOWN]))}{more}: correct the ids, or "
                "give --missing-ok; nothing was changed"
            )
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        before = hash_files(store)
        ours = add_forgotten(store, tracks.ids, now)
        journal = TakedownJournal(now, [*map(ours.hash, tracks.ids)], [*map(ours.hash, unknown)], before, {})
        _write_journal(store, journal)
        return journal

    def _finish(
        self, store: Store, tracks: ScrubbedTracks, forgotten: ForgottenTracks, journal: TakedownJournal
    ) -> Takedown:
        """Search the store, write the receipt, and end the journal if nothing was found."""
        path = files.join(store.root, JOURNAL)
        searched = StoreSearch(store, tracks).run()
        receipt = _receipt(store, forgotten, journal, hash_files(store), searched)
        with open_output(self.receipt) as file:
            file.write(orjson.dumps(receipt, option=orjson.OPT_INDENT_2) + b"\n")
        if not searched.found:
            files.delete_tree(path)
        return Takedown(receipt, searched.found)


def allow_again(root: str, track_ids: Sequence[str]) -> list[str]:
    """Let jobs accept tracks again that were taken down; return those that were.

    Raises:
        UsageError: none of them was.
    """
    found: list[str] = _AllowJob(root, track_ids).run()
    if not found:
        raise UsageError(f"{root} has no such track on its list of forgotten ones: nothing was changed")
    return found


@dataclass(frozen=True)
class _AllowJob:
    """Remove tracks from the list of forgotten ones."""

    store: str
    track_ids: Sequence[str]

    @writes("forget")
    def run(self) -> list[str]:
        return remove_forgotten(Store.open(self.store), self.track_ids)


def _folders(store: Store) -> Iterator[str]:
    """List the folders of all catalogs, complete or not, and of complete releases."""
    catalogs = {name.split("/")[0] for name in files.list_tree(files.join(store.root, CATALOGS))}
    yield from (store.catalog(name).folder for name in sorted(catalogs))
    yield from (store.release(name).folder for name in release_ids(store))


def _known_ids(tracks: ScrubbedTracks, affected: Mapping[str, Mapping[str, int]]) -> set[str]:
    """Find the ids that a table of a catalog or release names."""
    tables = [files.join(folder, name) for folder, names in affected.items() for name in names]
    known = {name for table in tables for name in ids_in(table, tracks)}
    others = [name for name in tracks.ids if name not in known]  # in a playlist or a detail, or nowhere
    return known | {name for name in others if any(rows_with(table, ScrubbedTracks([name])) for table in tables)}


def _copies(affected: Mapping[str, Mapping[str, int]], hashes: Sequence[str]) -> Iterator[FolderCopy]:
    """List the catalogs and releases to replace; a release also if its catalog is replaced."""
    replaced: set[str] = set()
    for folder, tables in affected.items():
        manifest = files.read_existing(files.join(folder, MANIFEST)) or b""
        if tables or any(name.encode() in manifest for name in replaced):
            replaced.add(folder.rsplit("/", 1)[-1])
            yield FolderCopy.of(folder, tables, hashes)


def _scrub_failures(store: Store, tracks: ScrubbedTracks) -> None:
    """Remove ids from the details of failed inputs, which tracks may share."""
    folder = files.join(store.root, FAILED)
    for name in tables_with(folder, tracks):
        old = files.join(folder, name)
        write_without(old, f"{old.removesuffix(files.PARQUET)}-scrubbed{files.PARQUET}", tracks)
        files.delete_tree(old)


def _write_journal(store: Store, journal: TakedownJournal) -> None:
    path = files.join(store.root, JOURNAL)
    files.write_bytes(path, journal.to_json().encode())
    files.sync([path])


def _add_rows(store: Store, journal: TakedownJournal, copies: Sequence[FolderCopy]) -> TakedownJournal:
    """Add the rows that are about to be removed to the journal: a second attempt does not find all of them."""
    rows = dict(journal.rows)
    for copy in copies:
        rows |= {f"{copy.kind}/{copy.old}/{name}": count for name, count in copy.affected.items()}
    journal = TakedownJournal(journal.started, journal.tracks, journal.unknown, journal.files, rows)
    _write_journal(store, journal)
    return journal


def _receipt(
    store: Store,
    forgotten: ForgottenTracks,
    journal: TakedownJournal,
    after: Mapping[str, str],
    searched: SearchResult,
) -> dict[str, Any]:
    before = journal.files
    tables = Counter[str]()
    for path, rows in journal.rows.items():
        kind, _, table, *_ = path.split("/")
        tables[f"{kind}/{table}"] += rows
    return {
        "kind": "tracktokens.takedown",
        "format": FORMAT,
        "tracktokens": version("tracktokens"),
        "store": store.root,
        "started": journal.started,
        "finished": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "complete": not searched.found,
        "salt": forgotten.salt,
        "hash": "SHA-256 of the salt and the id",
        "tracks": [{"sha256": name, "found": name not in journal.unknown} for name in journal.tracks],
        "latest": latest_id(store.root),
        "rows_removed": dict(sorted(tables.items())),
        "files": {
            "removed": {path: before[path] for path in before if path not in after},
            "changed": {
                path: {"before": before[path], "after": after[path]}
                for path in before
                if path in after and after[path] != before[path]
            },
            "added": {path: after[path] for path in after if path not in before},
        },
        "search": asdict(searched),
        "remains": list(REMAINS),
    }
