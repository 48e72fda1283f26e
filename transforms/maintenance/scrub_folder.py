"""Replace the catalogs and releases that hold tracks which are taken down by copies without them, under new ids.

Nothing is changed in place: a reader sees the old folder or the new one, and a killed takedown leaves both complete.
The id of a copy depends only on the old id and the tracks, so a takedown that is run again writes the same folders.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.manifests.catalog import CatalogManifest, PlaylistsManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.tables.catalog import TRACK_KEYS
from tracktokens.schemas.tables.rejects import FORGET, REJECTS
from tracktokens.transforms.catalog.snapshot_writer import TRACKS_FILE
from tracktokens.transforms.maintenance.scrub_rows import LISTS, ScrubbedTracks, names_tracks
from tracktokens.transforms.release.write_serving import write_serving
from tracktokens.transforms.runtime.forgotten_tracks import row_rejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import BUNDLES, CATALOG_MANIFEST, MANIFEST, SERVING, Catalog, Store
from tracktokens.transforms.store.records import VECTOR_FILE
from tracktokens.transforms.store.token_tables import TokenTable

KEYS, LOCATIONS, COUNTS = "keys/", "places/", "counts.json"
"""Parts of a catalog."""

CACHED_SCAN = "scans/"
"""Prefix of the counts of row groups whose locations a catalog stores."""

PLAYLISTS_MANIFEST = "playlists/playlists.json"


@dataclass(frozen=True)
class FolderCopy:
    """One catalog or release that is replaced.

    Attributes:
        source: its folder.
        target: folder of the copy.
        affected: path below it to the number of rows with a track, of the tables that have one.
    """

    source: str
    target: str
    affected: Mapping[str, int]

    @property
    def kind(self) -> str:
        """Top folder of the store that it is in."""
        return self.source.rsplit("/", 2)[1]

    @property
    def old(self) -> str:
        """Id of the catalog or release."""
        return self.source.rsplit("/", 1)[-1]

    @property
    def new(self) -> str:
        """Id of the copy."""
        return self.target.rsplit("/", 1)[-1]

    @classmethod
    def of(cls, folder: str, affected: Mapping[str, int], hashes: Iterable[str]) -> "FolderCopy":
        """Name the copy: the time of the old id, so that ids sort as before, and another hash."""
        parent, _, old = folder.rpartition("/")
        digest = hashlib.blake2b("\n".join([old, *sorted(hashes)]).encode(), digest_size=4)
        return cls(folder, files.join(parent, f"{old.partition('-')[0]}-{digest.hexdigest()}"), affected)


def tables_with(folder: str, tracks: ScrubbedTracks) -> dict[str, int]:
    """Search the tables of a folder: path below it to the number of rows that name one of the tracks.

    A serving table is left out: it has the tracks of the token table.

    Raises:
        InvalidDataError: a table cannot be read.
    """
    tables = [name for name in files.list_tree(folder) if name.endswith(files.PARQUET)]
    rows = {name: rows_with(files.join(folder, name), tracks) for name in tables if not name.startswith(f"{SERVING}/")}
    return {name: count for name, count in rows.items() if count}


def rows_with(path: str, tracks: ScrubbedTracks) -> int:
    """Count the rows of a table that name one of the tracks.

    Raises:
        InvalidDataError: it cannot be read.
    """
    return sum(int(tracks.mask(batch).sum()) for batch in _names(path))


def ids_in(path: str, tracks: ScrubbedTracks) -> set[str]:
    """Return the tracks that a table has rows of; see :func:`rows_with`."""
    return {name for batch in _names(path) for name in tracks.ids_in(batch)}


def _names(path: str) -> Iterator[pa.RecordBatch]:
    """Read the columns of a table that may name tracks."""
    with files.open_parquet(path) as file:
        columns = [column.name for column in file.schema_arrow if names_tracks(column)]
    return files.read_batches(path, lambda found: found, columns, checked=True) if columns else iter(())


def write_without(source: str, target: str, tracks: ScrubbedTracks, **options: Any) -> None:
    """Write a table without the tracks; ``options`` are those of :func:`.files.write_batches`."""
    with files.open_parquet(source) as file:
        schema = file.schema_arrow
    batches = files.read_batches(source, lambda found: found, checked=True)
    files.write_batches(target, schema, map(tracks.scrub, batches), **options)


@dataclass(frozen=True)
class CopyFolders:
    """Write the copies of catalogs and releases.

    Attributes:
        store: the store.
        tracks: tracks to leave out.
        names: old id of each catalog and release that is replaced, to the id of its copy.
    """

    store: Store
    tracks: ScrubbedTracks
    names: Mapping[str, str]

    def rename(self, text: bytes) -> bytes:
        """Replace the ids of catalogs and releases in a text."""
        for old, new in self.names.items():
            text = text.replace(old.encode(), new.encode())
        return text

    def copy_catalog(self, copy: FolderCopy) -> None:
        """Write the copy of a catalog, its manifest last. A copy that is complete is kept as it is.

        If the locations of precomputed embeddings name a track, the copy has none: the next refresh reads them again.
        """
        old, new = self.store.catalog(copy.old), self.store.catalog(copy.new)
        if files.exists(new.manifest):
            return
        drops_locations = any(name.startswith(LOCATIONS) for name in copy.affected)
        for name in files.list_tree(copy.source):
            if name not in (CATALOG_MANIFEST, COUNTS, PLAYLISTS_MANIFEST) and not (
                drops_locations and name.startswith(LOCATIONS)
            ):
                self._copy_file(copy, name)
        self._copy_counts(old, new, drops_locations)
        self._add_rejects(new.rejects, copy, _lost_tracks(copy))
        self._copy_playlists(old, new)
        content = files.read_existing(old.manifest)
        if content is not None:
            manifest = CatalogManifest.from_json(self.rename(content), old.manifest)
            files.write_bytes(new.manifest, self._smaller(manifest, copy).to_json().encode())

    def copy_release(self, copy: FolderCopy) -> None:
        """Write the copy of a release, its manifest last. A copy that is complete is kept as it is."""
        old, new = self.store.release(copy.old), self.store.release(copy.new)
        if files.exists(new.manifest):
            return
        before = ReleaseManifest.from_json(files.read_bytes(old.manifest), old.manifest)
        lost = sum(count for name, count in copy.affected.items() if name.startswith("tokens/"))
        names = [name for name in files.list_tree(copy.source) if name != MANIFEST]
        serves = any(name.startswith(f"{SERVING}/") for name in names)
        for name in names:
            if not (lost and name.startswith(f"{SERVING}/")):
                self._copy_file(copy, name)
        self._add_rejects(new.rejects, copy, lost)
        content = self.rename(files.read_bytes(old.manifest))
        manifest = ReleaseManifest.from_json(content, old.manifest)
        rows = {**manifest.rows, "published": manifest.rows["published"] - lost}
        rows["rejected"] += lost
        manifest = replace(manifest, rows=rows)
        if lost and serves:
            write_serving(TokenTable.of(self.store, manifest), rows["published"])
        hashes = {
            name: {"bytes": size, "sha256": files.sha256(files.join(copy.target, name), size)}
            for name, size in files.list_tree(copy.target).items()
            if name in before.files or name.startswith("rejects/")
        }
        files.sync(files.join(copy.target, name) for name in hashes)
        files.write_bytes(new.manifest, replace(manifest, files=hashes).to_json().encode())
        files.sync([new.manifest])

    def rename_baselines(self) -> None:
        """Make the usage baselines of bundles name the copies of their first releases."""
        bundles = files.join(self.store.root, BUNDLES)
        for path in (files.join(bundles, name) for name in files.list_tree(bundles) if name.endswith("/use.json")):
            content = files.read_bytes(path)
            if (renamed := self.rename(content)) != content:
                files.write_bytes(path, renamed)

    def _copy_file(self, copy: FolderCopy, name: str) -> None:
        """Copy one file: rewritten if it names a track or an old id, else under a second name."""
        source, target = files.join(copy.source, name), files.join(copy.target, name)
        if name in copy.affected:
            write_without(source, target, self.tracks, **_options(copy, name))
        elif name.endswith((".json", ".html")):
            files.write_bytes(target, self.rename(files.read_bytes(source)))
        else:
            files.share_file(source, target)

    def _copy_counts(self, old: Catalog, new: Catalog, drops_locations: bool) -> None:
        content = files.read_existing(old.counts)
        if content is not None:
            counts = orjson.loads(content)
            kept = {name: n for name, n in counts.items() if not (drops_locations and name.startswith(CACHED_SCAN))}
            files.write_json(new.counts, kept)

    def _copy_playlists(self, old: Catalog, new: Catalog) -> None:
        """Copy the manifest of the playlists, with the tracks that are left in their corpus."""
        content = files.read_existing(old.playlists_manifest)
        if content is None:
            return
        manifest = PlaylistsManifest.from_json(self.rename(content), old.playlists_manifest)
        listed = Counter[bytes]()
        for path in files.list_files(old.corpus, files.PARQUET):
            for batch in files.read_batches(path, lambda found: found):
                present = pc.is_in(batch[LISTS].flatten(), value_set=self.tracks.keys)
                listed.update(batch[LISTS].flatten().filter(present).to_pylist())
        smaller = replace(manifest, tracks=manifest.tracks - len(listed))
        files.write_bytes(new.playlists_manifest, smaller.to_json().encode())

    def _add_rejects(self, folder: str, copy: FolderCopy, lost: int) -> None:
        """Add a reject for each row that left the accepted ones."""
        if lost:
            rows = (f"track {number + 1} of {lost} that were removed later" for number in range(lost))
            path = files.join(folder, f"{FORGET}-{copy.new.rpartition('-')[2]}.parquet")
            files.write_batches(path, REJECTS, [row_rejects(FORGET, rows)])

    def _smaller(self, manifest: CatalogManifest, copy: FolderCopy) -> CatalogManifest:
        """Take the removed tracks, and the inputs that only they had, from the counts of a catalog."""
        lost = _lost_tracks(copy)
        with_key, inputs = Counter[str](), Counter[str]()
        for name, rows in copy.affected.items():
            if name.startswith(KEYS):
                modality = name.split("/")[1]
                with_key[modality] += rows
                inputs[modality] += _distinct(copy.source, name) - _distinct(copy.target, name)
        return replace(
            manifest,
            rows_accepted=manifest.rows_accepted - lost,
            rows_rejected=manifest.rows_rejected + lost,
            tracks_with={name: count - with_key[name] for name, count in manifest.tracks_with.items()},
            inputs={name: count - inputs[name] for name, count in manifest.inputs.items()},
            vectors={
                name: {**c, "used": c["used"] - with_key[name], "rejected": c["rejected"] + with_key[name]}
                for name, c in manifest.vectors.items()
            },
        )


def _lost_tracks(copy: FolderCopy) -> int:
    return sum(count for name, count in copy.affected.items() if name.startswith("tracks/"))


def _distinct(folder: str, name: str) -> int:
    """Count the distinct keys of a file of a catalog's keys."""
    keys = [batch["key"] for batch in files.read_batches(files.join(folder, name), TRACK_KEYS, ["key"])]
    return int(pc.count_distinct(pa.chunked_array(keys, TRACK_KEYS.field("key").type)).as_py())


def _options(copy: FolderCopy, name: str) -> Mapping[str, Any]:
    """Return the Parquet options with which a table is written."""
    if name.startswith("tracks/"):
        return TRACKS_FILE
    return VECTOR_FILE if name.startswith((KEYS, LOCATIONS)) else {}
