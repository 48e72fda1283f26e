"""Garbage collection: remove the releases that are not kept, and all that no kept release needs.

What is kept is decided from manifests alone, and what goes is deleted from the top: a release before its catalog, a
catalog before the facts of its keys, codes before their bundle. A folder loses its manifest first, so that a killed
collection leaves incomplete folders, which the next one takes, and never a manifest that names what is gone.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tracktokens.pipelines.maintenance.bucket_jobs import count_in_buckets
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.transforms.maintenance.purge_records import BYTES, DROP, ROWS, PurgeRecords
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest
from tracktokens.transforms.store.layout import (
    BUNDLES,
    CATALOG_MANIFEST,
    CATALOGS,
    CODES,
    ENCODER_MANIFEST,
    FAILED,
    MANIFEST,
    RELEASES,
    VECTORS,
    WORKING,
    Store,
    made_at,
)
from tracktokens.transforms.store.record_buckets import RecordBucket, list_record_buckets
from tracktokens.transforms.store.releases import latest_id, latest_release, releases
from tracktokens.transforms.store.snapshots import Snapshot, open_snapshot
from tracktokens.transforms.store.writer_lock import writes

_logger = logging.getLogger(__name__)

LEFTOVERS = "leftovers"

DEPTHS = {RELEASES: 1, CATALOGS: 1, CODES: 1, BUNDLES: 1, FAILED: 2, VECTORS: 2, WORKING: 1}
"""Top folders in the order in which they are cleared, and how many names below them name a thing."""

MANIFESTS = {RELEASES: MANIFEST, CATALOGS: CATALOG_MANIFEST, BUNDLES: MANIFEST, VECTORS: ENCODER_MANIFEST}
"""The file that makes a thing complete."""

Encoder = tuple[str, str]
"""Modality and encoder id."""


@dataclass(frozen=True)
class StoreItem:
    """Something that is kept or removed as a whole.

    Attributes:
        path: folder or file, relative to the store.
        sizes: path below it to size in bytes.
    """

    path: str
    sizes: Mapping[str, int]

    @property
    def name(self) -> str:
        """Its path below its top folder."""
        return self.path.partition("/")[2] or self.path


@dataclass(frozen=True)
class RetentionSet:
    """What a collection leaves, by name.

    Attributes:
        releases: releases to keep.
        catalogs: the catalogs of these, and one that may become a release.
        bundles: the bundles of these, and those that were made since the latest release.
        encoders: those of kept releases, catalogs and bundles, and those that were described since then.
    """

    releases: frozenset[str]
    catalogs: frozenset[str]
    bundles: frozenset[str]
    encoders: frozenset[Encoder]

    def owns(self, bucket: RecordBucket) -> bool:
        """Whether the encoder or bundle of a bucket of facts stays."""
        if bucket.kind == CODES:
            return bucket.owner in self.bundles
        return (bucket.modality, bucket.owner) in self.encoders

    def names(self) -> dict[str, frozenset[str]]:
        """Top folder to the names in it that stay."""
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
    """What a collection found, and whether it is gone.

    Attributes:
        deleted: whether it was deleted, and not only looked for.
        kept: what stays.
        things: kind to what was removed as a whole; kinds are the folders of the store, and ``leftovers``.
        rows: kind and modality to the facts in kept folders whose key no kept catalog holds.
        row_bytes: the same to about how many bytes they take.
    """

    deleted: bool
    kept: RetentionSet
    items: Mapping[str, tuple[StoreItem, ...]]
    rows: Mapping[str, int]
    row_bytes: Mapping[str, int]


@dataclass(frozen=True)
class GcJob:
    """Remove what no kept release needs.

    Attributes:
        store: root of the store.
        keep: how many of the newest releases stay; the one that ``LATEST`` names always does.
        keep_releases: ids of others that stay.
        delete: whether to delete; otherwise it is only counted.
    """

    store: str
    keep: int
    keep_releases: tuple[str, ...] = field(default=())
    delete: bool = False

    @writes("gc")
    def run(self, runner: PipelineRunner) -> Garbage:
        """Look for garbage, and delete it when that is asked for. The store is held meanwhile: no job is in flight.

        Raises:
            UsageError: there is no such store, no release of a name that is given, or nothing that would be kept.
            InvalidDataError: a kept release lacks its catalog or bundle, or a file of facts cannot be read.
            StoreBusyError: another job writes the store.
        """
        store = Store.open(self.store)
        if self.delete and files.is_remote(store.root):
            _logger.warning("%s has no lock: see to it that no job writes it now", store.root)
        items = _items(store)
        kept = choose_retained(store, items, self._kept_releases(store))
        garbage = _garbage(items, kept)
        if self.delete:
            for kind, found in garbage.items():
                for thing in found:
                    _delete(store, kind, thing)
        drop = PurgeRecords(store, kept.catalogs, self.delete, runner.progress)
        buckets = [bucket for bucket in list_record_buckets(store) if kept.owns(bucket)]
        counts = count_in_buckets(store, DROP, buckets, drop, runner)
        return Garbage(self.delete, kept, garbage, _below(counts, ROWS), _below(counts, BYTES))

    def _kept_releases(self, store: Store) -> list[ReleaseManifest]:
        complete = list(releases(store))
        named = {*self.keep_releases, latest_id(store.root)}
        unknown = set(self.keep_releases) - {release.release_id for release in complete}
        if unknown:
            raise UsageError(f"{store.root} has no release {', '.join(unknown)}: see `tracktokens releases list`")
        return [release for n, release in enumerate(complete) if n < self.keep or release.release_id in named]


def choose_retained(store: Store, items: Mapping[str, list[StoreItem]], kept: list[ReleaseManifest]) -> RetentionSet:
    """Choose what stays beside the releases that are kept.

    Raises:
        UsageError: no complete catalog would stay.
        InvalidDataError: a kept release lacks its catalog or bundle, or ``LATEST`` names a release that is not there.
    """
    catalogs, bundles = _complete(items, CATALOGS), _complete(items, BUNDLES)
    _require(store, kept, catalogs, bundles)
    latest = latest_release(store)
    kept_ids = kept_catalogs(items[CATALOGS], kept, latest)
    snapshots = [open_snapshot(store, name) for name in kept_ids & catalogs]
    if not snapshots:
        raise UsageError(f"{store.root} has no complete catalog, so nothing in it would be kept: delete it yourself")
    since = made_at(latest.release_id) if latest else 0.0
    bundle_ids = {release.bundle_id for release in kept} | _newer(store, items, BUNDLES, since)
    encoders = _encoders([*kept, *snapshots, *(read_manifest(store, name) for name in sorted(bundle_ids))])
    encoders |= {_encoder(name) for name in _newer(store, items, VECTORS, since)}
    release_ids = frozenset(release.release_id for release in kept)
    return RetentionSet(release_ids, kept_ids, frozenset(bundle_ids), frozenset(encoders))


def kept_catalogs(
    catalogs: Iterable[StoreItem], kept: Iterable[ReleaseManifest], latest: ReleaseManifest | None
) -> frozenset[str]:
    """Choose the catalogs that stay: those of kept releases, and the newest when it may become a release.

    The newest complete one may, when it is newer than the latest release's. So may one that is newer still and not
    complete: a killed run left it, and the next one goes on from the facts of its keys.
    """
    found = {release.catalog_id for release in kept}
    newest = {True: "", False: ""}
    for thing in catalogs:
        complete = MANIFESTS[CATALOGS] in thing.sizes
        newest[complete] = max(newest[complete], thing.name)
    if newest[True] > (latest.catalog_id if latest else ""):
        found.add(newest[True])
    if newest[False] > newest[True]:
        found.add(newest[False])
    return frozenset(found)


def _items(store: Store) -> dict[str, list[StoreItem]]:
    """All that lies in a store, by top folder; files that a killed job was writing are leftovers."""
    found: dict[str, dict[str, dict[str, int]]] = {kind: {} for kind in (*DEPTHS, LEFTOVERS)}
    for path, size in files.list_all(store.root).items():
        kind, *names = path.split("/")
        depth = DEPTHS.get(kind, len(names))
        if path.endswith(files.PARTIAL):
            found[LEFTOVERS][path] = {"": size}
        elif len(names) > depth:
            thing = found[kind].setdefault("/".join([kind, *names[:depth]]), {})
            thing["/".join(names[depth:])] = size
    return {kind: [StoreItem(path, sizes) for path, sizes in items.items()] for kind, items in found.items()}


def _garbage(items: Mapping[str, list[StoreItem]], kept: RetentionSet) -> dict[str, tuple[StoreItem, ...]]:
    """What is not kept, in the order in which it is deleted; a kept folder may hold leftovers."""
    names = kept.names()
    gone = {kind: tuple(thing for thing in items[kind] if thing.name not in names[kind]) for kind in DEPTHS}
    return {**gone, LEFTOVERS: tuple(items[LEFTOVERS])}


def _delete(store: Store, kind: str, thing: StoreItem) -> None:
    path = files.join(store.root, thing.path)
    manifest = MANIFESTS.get(kind)
    if kind == VECTORS:  # facts without their encoder are damage, and an encoder without facts is not
        for folder in {name.partition("/")[0] for name in thing.sizes} - {manifest}:
            files.delete_tree(files.join(path, folder))
    elif manifest is not None:
        files.delete_tree(files.join(path, manifest))
    files.delete_tree(path)


def _complete(items: Mapping[str, list[StoreItem]], kind: str) -> set[str]:
    """Names of the things that have their manifest."""
    return {thing.name for thing in items[kind] if MANIFESTS[kind] in thing.sizes}


def _newer(store: Store, items: Mapping[str, list[StoreItem]], kind: str, since: float) -> set[str]:
    """Names of complete things that were made since a time: they may be just trained, and not published yet."""
    paths = {name: files.join(store.root, kind, *name.split("/"), MANIFESTS[kind]) for name in _complete(items, kind)}
    return {name for name, path in paths.items() if files.modified(path) > since}


def _require(store: Store, kept: Iterable[ReleaseManifest], catalogs: set[str], bundles: set[str]) -> None:
    """Refuse to judge by what is damaged."""
    for release in kept:
        for kind, name, there in (("catalog", release.catalog_id, catalogs), ("bundle", release.bundle_id, bundles)):
            if name not in there:
                raise InvalidDataError(
                    f"{store.release(release.release_id).folder} is of {kind} {name}, which {store.root} does not "
                    "have: restore it, or remove the release; see `tracktokens verify`"
                )


def _encoders(owners: Iterable[ReleaseManifest | Snapshot | BundleManifest]) -> set[Encoder]:
    return {encoder for owner in owners for encoder in owner.encoders.items()}


def _encoder(name: str) -> Encoder:
    modality, _, encoder_id = name.partition("/")
    return modality, encoder_id


def _below(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(f"{prefix}/"): n for name, n in sorted(counts.items()) if name.startswith(f"{prefix}/")}
