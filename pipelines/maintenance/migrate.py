"""Bring a store that an older version wrote up to date: its tokens, codebooks and vectors stay."""

import json
from dataclasses import dataclass

from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import CATALOG_MANIFEST, OLDER_MANIFEST, Store
from tracktokens.transforms.store.releases import releases
from tracktokens.transforms.store.snapshots import complete_catalogs
from tracktokens.transforms.store.writer_lock import writes


@dataclass(frozen=True)
class Migration:
    """The result of a migration.

    Attributes:
        catalogs: ids of the catalog snapshots that were removed: their format is not read any more.
        releases: ids of the releases of these catalogs, newest first.
    """

    catalogs: tuple[str, ...]
    releases: tuple[str, ...]


@dataclass(frozen=True)
class MigrateJob:
    """Remove the catalog snapshots of older formats, so that the next refresh scans the catalog again.

    Nothing else of an older store is in a format that is not read. The refresh encodes nothing again, and keeps the
    codebooks, so a track keeps its tokens. The manifests stay under another name, so that releases of these snapshots
    count as sound.

    Attributes:
        store: root of the store.
    """

    store: str

    @writes("migrate")
    def run(self) -> Migration:
        """Remove older catalog snapshots. A second migration finds nothing to do.

        Raises:
            UsageError: the store does not exist.
            InvalidDataError: a manifest is damaged, or of a newer version.
        """
        store = Store.open(self.store)
        older = tuple(name for name in complete_catalogs(store) if _remove_older(store, name))
        return Migration(older, tuple(release.release_id for release in releases(store) if release.catalog_id in older))


def _remove_older(store: Store, catalog_id: str) -> bool:
    """Remove a snapshot of an older format; return False for any other snapshot."""
    catalog = store.catalog(catalog_id)
    content = files.read_bytes(catalog.manifest)
    if not CatalogManifest.is_older(_version(content)):
        CatalogManifest.from_json(content, catalog.manifest)  # damaged, or newer?
        return False
    files.write_bytes(catalog.older_manifest, content)
    for path in files.list_all(catalog.folder):
        if path not in (OLDER_MANIFEST, CATALOG_MANIFEST):
            files.delete_tree(files.join(catalog.folder, path))
    files.delete_tree(catalog.manifest)  # last, so that a migration that was killed begins again
    return True


def _version(content: bytes) -> object:
    try:
        record = json.loads(content)
    except ValueError:
        return None
    return record.get("format") if isinstance(record, dict) else None
