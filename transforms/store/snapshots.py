"""Catalog snapshots: find and open one, with its playlists and encoders."""

from dataclasses import dataclass

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.catalog import CatalogManifest, PlaylistsManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.transforms.store import files
from tracktokens.transforms.store.ids import LATEST_ID, complete_id, show_ids
from tracktokens.transforms.store.layout import CATALOG_MANIFEST, CATALOGS, Catalog, Store


@dataclass(frozen=True)
class Snapshot:
    """A complete catalog snapshot, with its playlists if it has any."""

    store: Store
    manifest: CatalogManifest
    playlists: PlaylistsManifest | None

    @property
    def catalog(self) -> Catalog:
        """Paths of the snapshot."""
        return self.store.catalog(self.manifest.catalog_id)

    @property
    def encoders(self) -> dict[str, str]:
        """Encoder id of each modality that has vectors, in token order."""
        ids = dict(self.manifest.encoders)
        if self.playlists is not None:
            ids[PLAYLIST] = self.playlists.encoder_id
        return {modality: ids[modality] for modality in MODALITIES if modality in ids}

    def tracks_with(self, modality: str) -> int:
        """Count the tracks with a key of a modality; all accepted tracks if playlist vectors were learned."""
        learned = modality == PLAYLIST and self.playlists is not None
        return self.manifest.rows_accepted if learned else self.manifest.tracks_with[modality]

    def inputs(self, modality: str) -> int:
        """Count the distinct inputs of a modality, each with a vector or a failure."""
        learned = self.playlists if modality == PLAYLIST else None
        return self.manifest.inputs.get(modality, 0) if learned is None else learned.tracks

    def buckets(self) -> list[tuple[str, int]]:
        """List every bucket of every modality that has vectors."""
        return [(modality, bucket) for modality in self.encoders for bucket in range(self.store.buckets)]


def open_snapshot(store: Store, catalog_id: str | None = None) -> Snapshot:
    """Open a snapshot: ``catalog_id``, or the newest complete one.

    Raises:
        UsageError: the store has no such snapshot.
        InvalidDataError: its manifest is damaged, or of another snapshot.
    """
    name = catalog_id or _newest(store)
    snapshot = find_snapshot(store, name)
    if snapshot is None:
        raise _no_catalog(store, name)
    return snapshot


def find_catalog_id(store: Store, name: str) -> str:
    """Complete the id of a snapshot, from its beginning, or from ``latest`` for the newest complete one.

    Raises:
        UsageError: the store has no such snapshot, or several.
    """
    if name == LATEST_ID:
        return _newest(store)
    found = complete_id(name, complete_catalogs(store))
    if found is None:
        raise _no_catalog(store, name)
    return found


def _no_catalog(store: Store, name: str) -> UsageError:
    ids = show_ids(complete_catalogs(store)[::-1])
    return UsageError(f"{store.root} has no complete catalog {name}; its catalogs: {ids}")


def find_snapshot(store: Store, catalog_id: str) -> Snapshot | None:
    """Open a snapshot; None where the store has no such snapshot, or an incomplete one."""
    catalog = store.catalog(catalog_id)
    content = files.read_existing(catalog.manifest)
    if content is None:
        return None
    manifest = CatalogManifest.from_json(content, catalog.manifest)
    if manifest.catalog_id != catalog_id:
        raise InvalidDataError(f"{catalog.manifest} is of catalog {manifest.catalog_id}: restore it from a backup")
    return Snapshot(store, manifest, _playlists(catalog))


def is_migrated(store: Store, release: ReleaseManifest) -> bool:
    """Return whether ``migrate`` removed the snapshot of a release, since it was of an older format."""
    return files.exists(store.catalog(release.catalog_id).older_manifest)


def released_snapshot(store: Store, release: ReleaseManifest) -> Snapshot:
    """Open the snapshot of a release.

    Raises:
        InvalidDataError: it is missing, or cannot be read.
    """
    manifest = store.catalog(release.catalog_id).manifest
    if is_migrated(store, release):
        raise InvalidDataError(
            f"the catalog of release {release.release_id} was of an older version, and `tracktokens migrate` removed "
            "it: scan the catalog again with `tracktokens refresh`, which keeps the tokens and encodes nothing again"
        )
    if not files.exists(manifest):
        raise InvalidDataError(
            f"{manifest} is missing, and release {release.release_id} needs that catalog: restore it from a backup, "
            "go back to another release with `tracktokens releases rollback`, or scan again with `tracktokens run`"
        )
    return open_snapshot(store, release.catalog_id)


def complete_catalogs(store: Store) -> list[str]:
    """List the ids of the complete catalog snapshots of a store, oldest first."""
    return files.list_folders_with(files.join(store.root, CATALOGS), CATALOG_MANIFEST)


def newest_catalog(store: Store) -> Catalog | None:
    """Return the newest complete catalog snapshot; None before the first."""
    complete = complete_catalogs(store)
    return store.catalog(complete[-1]) if complete else None


def _newest(store: Store) -> str:
    complete = complete_catalogs(store)
    if not complete:
        raise UsageError(f"{store.root} has no complete catalog: run `tracktokens embed`")
    return complete[-1]


def _playlists(catalog: Catalog) -> PlaylistsManifest | None:
    path = catalog.playlists_manifest
    content = files.read_existing(path)
    return None if content is None else PlaylistsManifest.from_json(content, path)
