"""Garbage collection: delete the releases that are not kept, and everything that no kept release needs.

Manifests alone decide what is kept. Deletion runs from the top: a release before its catalog, a catalog before the
records of its keys, codes before their bundle. The manifest of a folder is deleted first. A killed collection therefore
leaves incomplete folders, which the next one deletes, and never a manifest that names deleted data.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracktokens.pipelines.maintenance.bucket_jobs import count_in_buckets
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.transforms.maintenance.purge_records import BYTES, PURGE, ROWS, PurgeRecords
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest
from tracktokens.transforms.store.ids import LATEST_ID, complete_id, show_ids
from tracktokens.transforms.store.layout import (
    BUNDLES,
    CATALOG_MANIFEST,
    CATALOGS,
    CODES,
    ENCODER_MANIFEST,
    FAILED,
    MANIFEST,
    OLDER_MANIFEST,
    RELEASES,
    VECTORS,
    WORKING,
    Store,
    made_at,
)
from tracktokens.transforms.store.record_buckets import RecordBucket, list_record_buckets
from tracktokens.transforms.store.releases import latest_id, latest_release, releases
from tracktokens.transforms.store.snapshots import Snapshot, open_snapshot
from tracktokens.transforms.store.writer_lock import require_writer, writes

_logger = logging.getLogger(__name__)

LEFTOVERS = "leftovers"

DEPTHS = {RELEASES: 1, CATALOGS: 1, CODES: 1, BUNDLES: 1, FAILED: 2, VECTORS: 2, WORKING: 1}
"""Top folder to the number of path parts below it that name one item, in the order of deletion."""

MANIFESTS = {RELEASES: MANIFEST, CATALOGS: CATALOG_MANIFEST, BUNDLES: MANIFEST, VECTORS: ENCODER_MANIFEST}
"""Top folder to the file that makes an item complete."""

Encoder = tuple[str, str]
"""Modality and encoder id."""


@dataclass(frozen=True)
class StoreItem:
    """One folder or file of a store that is kept or deleted as a whole.

    Attributes:
        path: its path, relative to the store.
        sizes: path below it to size in bytes.
    """

    path: str
    sizes: Mapping[str, int]

    @property
    def name(self) -> str:
        """Path below the top folder."""
        return self.path.partition("/")[2] or self.path


@dataclass(frozen=True)
class RetentionSet:
    """Names that a collection keeps.

    Attributes:
        releases: release ids.
        catalogs: catalogs of these releases, and unpublished snapshots that may become a release.
        bundles: bundles of these releases, and those created since the latest release.
        encoders: encoders of kept releases, catalogs and bundles, and those described since the latest release.
    """

    releases: frozenset[str]
    catalogs: frozenset[str]
    bundles: frozenset[str]
    encoders: frozenset[Encoder]

    def owns(self, bucket: RecordBucket) -> bool:
        """Return whether the encoder or bundle of a bucket of records is kept."""
        if bucket.kind == CODES:
            return bucket.owner in self.bundles
        return (bucket.modality, bucket.owner) in self.encoders

    def names(self) -> dict[str, frozenset[str]]:
        """Return top folder to the names that are kept in it."""
        encoders = frozenset("/".join(encoder) for encoder in self.encoders)
        return {
            RELEASES: self.releases,
            CATALOGS: self.catalogs,
            BUNDLES: self.bundles,
            CODES: self.bundles,
            VECTORS: encoders,
            FAILED: encoders,
            WORKING: frozenset(),
        }


@dataclass(frozen=True)
class Garbage:
    """Result of a collection.

    Attributes:
        deleted: whether the garbage was deleted; otherwise it was only counted.
        kept: names that are kept.
        items: kind to the items that are deleted as a whole; kinds are the top folders of the store, and
            ``leftovers``.
        rows: kind and modality to the number of records in kept folders whose key no kept catalog has.
        row_bytes: kind and modality to their approximate size in bytes.
    """

    deleted: bool
    kept: RetentionSet
    items: Mapping[str, tuple[StoreItem, ...]]
    rows: Mapping[str, int]
    row_bytes: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: per kind the paths with their bytes, and the names that are kept."""
        items = {kind: {item.path: sum(item.sizes.values()) for item in found} for kind, found in self.items.items()}
        kept = {kind: sorted(names) for kind, names in self.kept.names().items()}
        rows = {name: {"rows": count, "bytes": self.row_bytes[name]} for name, count in self.rows.items()}
        return {"deleted": self.deleted, "items": items, "records": rows, "kept": kept}


@dataclass(frozen=True)
class GcJob:
    """Delete everything that no kept release needs.

    Attributes:
        store: root of the store.
        keep: number of newest releases to keep; the one that ``LATEST`` names is always kept.
        keep_releases: ids of other releases to keep, or their beginnings.
        delete: whether to delete the garbage; otherwise it is only counted.
    """

    store: str
    keep: int
    keep_releases: tuple[str, ...] = field(default=())
    delete: bool = False

    @writes("gc")
    def run(self, runner: PipelineRunner) -> Garbage:
        """Find garbage, and delete it if ``delete``. The store is locked meanwhile, so that no other job writes it.

        Raises:
            UsageError: the store or a named release does not exist, or nothing would be kept.
            InvalidDataError: a kept release lacks its catalog or bundle, or a file of records cannot be read.
            StoreBusyError: another job writes the store.
        """
        store = Store.open(self.store)
        items = _items(store)
        kept = choose_retained(store, items, self._kept_releases(store))
        garbage = _garbage(items, kept)
        if self.delete:
            for kind, unused in garbage.items():
                require_writer(store.root)
                for item in unused:
                    _delete(store, kind, item)
        counts = self._purge(store, kept, runner)
        return Garbage(self.delete, kept, garbage, _below(counts, ROWS), _below(counts, BYTES))

    def _purge(self, store: Store, kept: RetentionSet, runner: PipelineRunner) -> Counter[str]:
        """Count the unwanted records, and then delete them: a step that a runner retries would not find them again."""
        buckets = [bucket for bucket in list_record_buckets(store) if kept.owns(bucket)]
        find, delete = (PurgeRecords(store, kept.catalogs, deletes, runner.progress) for deletes in (False, True))
        counts = count_in_buckets(store, PURGE, buckets, find, runner)
        if self.delete and counts:
            count_in_buckets(store, PURGE, buckets, delete, runner)
        return counts

    def _kept_releases(self, store: Store) -> list[ReleaseManifest]:
        complete = list(releases(store))
        ids = [release.release_id for release in complete]
        named = {name: complete_id(name, ids) for name in self.keep_releases if name != LATEST_ID}
        unknown = [name for name, release_id in named.items() if release_id is None]
        if unknown:
            raise UsageError(f"{store.root} has no release {', '.join(unknown)}; its releases: {show_ids(ids)}")
        chosen = {*named.values(), latest_id(store.root)}
        return [release for n, release in enumerate(complete) if n < self.keep or release.release_id in chosen]


def choose_retained(store: Store, items: Mapping[str, list[StoreItem]], kept: list[ReleaseManifest]) -> RetentionSet:
    """Choose the catalogs, bundles and encoders to keep with the kept releases.

    Raises:
        UsageError: no complete catalog would be kept.
        InvalidDataError: a kept release lacks its catalog or bundle, or ``LATEST`` names a missing release.
    """
    catalogs, bundles = _complete(items, CATALOGS), _complete(items, BUNDLES)
    migrated = {item.name for item in items[CATALOGS] if OLDER_MANIFEST in item.sizes}
    _require(store, kept, catalogs | migrated, bundles)
    latest = latest_release(store)
    kept_ids = kept_catalogs(items[CATALOGS], kept, latest)
    snapshots = [open_snapshot(store, name) for name in kept_ids & catalogs]
    if not snapshots:
        raise UsageError(f"{store.root} has no complete catalog, so nothing would be kept: delete the folder yourself")
    since = made_at(latest.release_id) if latest else 0.0
    bundle_ids = {release.bundle_id for release in kept} | _newer(store, items, BUNDLES, since)
    encoders = _encoders([*kept, *snapshots, *(read_manifest(store, name) for name in sorted(bundle_ids))])
    encoders |= {_encoder(name) for name in _newer(store, items, VECTORS, since)}
    release_ids = frozenset(release.release_id for release in kept)
    return RetentionSet(release_ids, kept_ids, frozenset(bundle_ids), frozenset(encoders))


def kept_catalogs(
    catalogs: Iterable[StoreItem], kept: Iterable[ReleaseManifest], latest: ReleaseManifest | None
) -> frozenset[str]:
    """Choose the catalogs to keep: those of kept releases, and unpublished ones that may become a release.

    These are the newest complete catalog, where it is newer than the latest release's, and an incomplete one that is
    newer still: a killed run left it, and the next run continues from the records of its keys.
    """
    names = {release.catalog_id for release in kept}
    newest = {True: "", False: ""}
    for item in catalogs:
        complete = MANIFESTS[CATALOGS] in item.sizes
        newest[complete] = max(newest[complete], item.name)
    if newest[True] > (latest.catalog_id if latest else ""):
        names.add(newest[True])
    if newest[False] > newest[True]:
        names.add(newest[False])
    return frozenset(names)


def _items(store: Store) -> dict[str, list[StoreItem]]:
    """List the items of a store by top folder.

    Partial files of killed jobs, and buckets of an earlier division, are leftovers.
    """
    sizes_of: dict[str, dict[str, dict[str, int]]] = {kind: {} for kind in (*DEPTHS, LEFTOVERS)}
    for path, size in files.list_all(store.root).items():
        kind, *names = path.split("/")
        depth = DEPTHS.get(kind, len(names))
        if path.endswith(files.PARTIAL):
            sizes_of[LEFTOVERS][path] = {"": size}
        elif store.is_outdated(path):
            folder, _, name = path.rpartition("/")
            sizes_of[LEFTOVERS].setdefault(folder, {})[name] = size
        elif len(names) > depth:
            sizes = sizes_of[kind].setdefault("/".join([kind, *names[:depth]]), {})
            sizes["/".join(names[depth:])] = size
    return {kind: [StoreItem(path, sizes) for path, sizes in items.items()] for kind, items in sizes_of.items()}


def _garbage(items: Mapping[str, list[StoreItem]], kept: RetentionSet) -> dict[str, tuple[StoreItem, ...]]:
    """List the items to delete, in the order of deletion; a kept folder may contain leftovers."""
    names = kept.names()
    unused = {kind: tuple(item for item in items[kind] if item.name not in names[kind]) for kind in DEPTHS}
    return {**unused, LEFTOVERS: tuple(items[LEFTOVERS])}


def _delete(store: Store, kind: str, item: StoreItem) -> None:
    path = files.join(store.root, item.path)
    manifest = MANIFESTS.get(kind)
    if kind == VECTORS:  # records without their encoder.json are damage, an encoder.json without records is not
        for folder in {name.partition("/")[0] for name in item.sizes} - {manifest}:
            files.delete_tree(files.join(path, folder))
    elif manifest is not None:
        files.delete_tree(files.join(path, manifest))
    files.delete_tree(path)


def _complete(items: Mapping[str, list[StoreItem]], kind: str) -> set[str]:
    """List the names of items with a manifest."""
    return {item.name for item in items[kind] if MANIFESTS[kind] in item.sizes}


def _newer(store: Store, items: Mapping[str, list[StoreItem]], kind: str, since: float) -> set[str]:
    """List the names of complete items modified after a time: they may be trained and not published yet."""
    paths = {name: files.join(store.root, kind, *name.split("/"), MANIFESTS[kind]) for name in _complete(items, kind)}
    return {name for name, path in paths.items() if files.modified(path) > since}


def _require(store: Store, kept: Iterable[ReleaseManifest], catalogs: set[str], bundles: set[str]) -> None:
    """Refuse to collect where a kept release is damaged."""
    for release in kept:
        for kind, name, names in (("catalog", release.catalog_id, catalogs), ("bundle", release.bundle_id, bundles)):
            if name not in names:
                raise InvalidDataError(
                    f"{store.release(release.release_id).folder} is of {kind} {name}, which {store.root} does not "
                    "have: restore it, or delete the release; see `tracktokens verify`"
                )


def _encoders(owners: Iterable[ReleaseManifest | Snapshot | BundleManifest]) -> set[Encoder]:
    return {encoder for owner in owners for encoder in owner.encoders.items()}


def _encoder(name: str) -> Encoder:
    modality, _, encoder_id = name.partition("/")
    return modality, encoder_id


def _below(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(f"{prefix}/"): n for name, n in sorted(counts.items()) if name.startswith(f"{prefix}/")}
