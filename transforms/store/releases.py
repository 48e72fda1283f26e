"""Releases of a store: list and find them, move ``LATEST``, and choose the default bundle of a job."""

from collections.abc import Iterator
from itertools import chain

from tracktokens.schemas.display import show_value
from tracktokens.schemas.errors import InvalidDataError, StoreBusyError, UsageError
from tracktokens.schemas.manifests.field_types import is_name
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.transforms.store import files
from tracktokens.transforms.store.conditional import (
    ConflictError,
    NotConditionalError,
    ObjectStore,
    object_store,
    replace,
)
from tracktokens.transforms.store.ids import LATEST_ID, complete_id, show_ids
from tracktokens.transforms.store.layout import (
    BUNDLES,
    LATEST,
    MANIFEST,
    RELEASES,
    ReleasePaths,
    Store,
    store_file,
    store_manifest,
)
from tracktokens.transforms.store.writer_lock import require_writer


def latest_id(root: str) -> str:
    """Read the id in ``LATEST`` of the store at ``root``; empty before the first release, or without a store."""
    content = files.read_existing(store_file(root, LATEST))
    return "" if content is None else content.decode(errors="replace").strip()


def require_latest(store: Store, expected: str) -> None:
    """Check that ``LATEST`` did not move; see :func:`point_latest` for ``expected``.

    Raises:
        StoreBusyError: ``LATEST`` names a different release: another job moved it.
    """
    latest = latest_id(store.root)
    if latest != expected:
        raise _moved(store, latest, expected)


def _moved(store: Store, latest: str, expected: str) -> StoreBusyError:
    return StoreBusyError(
        f"{files.join(store.root, LATEST)} names {latest or 'nothing'} now, and {expected or 'nothing'} when this "
        "job began: another job moved it; this job did not move it, run this job again"
    )


def point_latest(store: Store, release_id: str, expected: str) -> None:
    """Make ``LATEST`` name a release. No other function writes ``LATEST``.

    Before the call, the release must be complete and synced to disk: after a power failure, ``LATEST`` must not name a
    release that was not written yet. On an object store the write is conditional, so that of two jobs one moves it; on
    another filesystem ``LATEST`` is read and then written, under the lock of the store.

    Args:
        store: the store.
        release_id: a complete release.
        expected: result of :func:`latest_id` when the job began; ``""`` if there was no ``LATEST``.

    Raises:
        StoreBusyError: ``LATEST`` no longer names ``expected``, or another process took over the lease of the store; it
            is not moved then.
    """
    require_writer(store.root)
    path, content = files.join(store.root, LATEST), f"{release_id}\n".encode()
    objects = object_store(path) if files.is_remote(path) else None
    if objects is not None and _replace_latest(objects, path, content, expected, store):
        return
    require_latest(store, expected)
    files.write_bytes(path, content)


def _replace_latest(objects: ObjectStore, path: str, content: bytes, expected: str, store: Store) -> bool:
    """Write ``LATEST`` if it still names a release. Return False if the object store has no conditional writes."""
    found = objects.read(path)
    latest = found.content.decode(errors="replace").strip() if found else ""
    if latest != expected:
        raise _moved(store, latest, expected)
    try:
        replace(objects, path, content, found.version if found else None)
    except ConflictError as error:
        raise _moved(store, latest_id(store.root), expected) from error
    except NotConditionalError:
        return False
    return True


def latest_release(store: Store) -> ReleaseManifest | None:
    """Read the release that ``LATEST`` names; None before the first.

    Raises:
        InvalidDataError: ``LATEST`` names a release that is not complete, or is damaged.
    """
    release_id = latest_id(store.root)
    if not release_id:
        return None
    if not is_name(release_id):
        raise InvalidDataError(
            f"{files.join(store.root, LATEST)} has {show_value(release_id)}, which is not an id: choose a release with "
            "`tracktokens releases rollback`"
        )
    path = store.release(release_id).manifest
    content = files.read_existing(path)
    if content is None:
        raise InvalidDataError(
            f"{files.join(store.root, LATEST)} names {release_id}, and {path} is missing: restore that file, or choose "
            "a release with `tracktokens releases rollback`"
        )
    return _parse_release(content, path, release_id)


def published_release(store: Store) -> ReleaseManifest:
    """Read the release that ``LATEST`` names, for a job that needs one.

    Raises:
        UsageError: the store has no release.
        InvalidDataError: the release is not complete, or ``LATEST`` is missing.
    """
    latest = latest_release(store)
    if latest is not None:
        return latest
    if next(releases(store), None) is None:
        raise UsageError(f"{store.root} has no release yet: create the first with `tracktokens run`")
    raise InvalidDataError(
        f"{files.join(store.root, LATEST)} is missing, although the store has releases: choose the one in use with "
        "`tracktokens releases rollback`"
    )


def release_ids(store: Store) -> list[str]:
    """List the ids of all complete releases, newest first."""
    return list(reversed(files.list_folders_with(files.join(store.root, RELEASES), MANIFEST)))


def releases(store: Store) -> Iterator[ReleaseManifest]:
    """Read all complete releases, newest first.

    Raises:
        InvalidDataError: a manifest is damaged, or of another release than its folder.
    """
    for release_id in release_ids(store):
        path = store.release(release_id).manifest
        yield _parse_release(files.read_bytes(path), path, release_id)


def _parse_release(content: bytes, path: str, name: str) -> ReleaseManifest:
    """Parse the manifest of a release, which is in the folder of this name."""
    release = ReleaseManifest.from_json(content, path)
    if release.release_id != name:
        raise InvalidDataError(f"{path} is of release {release.release_id}: restore it from a backup")
    return release


def is_withdrawn(store: Store, release_id: str) -> bool:
    """Return whether a rollback went to an older release: then no job uses this one unless it is named."""
    return files.exists(store.release(release_id).withdrawn)


def active_releases(store: Store) -> Iterator[ReleaseManifest]:
    """Read the releases that jobs build on: the latest, then those that are not withdrawn, newest first."""
    latest = latest_release(store)
    if latest is not None:
        yield latest
    for release in releases(store):
        if not is_withdrawn(store, release.release_id):
            yield release


def release_in_use(root: str) -> ReleaseManifest | None:
    """Read the first of :func:`active_releases` of the store at ``root``; None without a release, or without a store.

    ``LATEST`` is not required: it may be missing, or the first run may have been killed before it was written.
    """
    exists = files.exists(store_manifest(root)) or latest_id(root)
    return next(active_releases(Store.open(root)), None) if exists else None


def find_release(store: Store, name: str) -> ReleaseManifest:
    """Find a release by its id, by the id of its bundle, by the beginning of either, or as ``latest``.

    Of several releases of a bundle, the first of :func:`active_releases` is returned, or the newest withdrawn one.

    Raises:
        UsageError: the store has no such release, or several.
    """
    if name == LATEST_ID:
        return published_release(store)
    found = list(releases(store))
    ids = [release.release_id for release in found]
    release_id = complete_id(name, ids)
    if release_id is not None:
        return found[ids.index(release_id)]
    bundle_id = complete_id(name, list(dict.fromkeys(release.bundle_id for release in found)))
    if bundle_id is None:
        raise UsageError(
            f"{store.root} has no release {name}, and no release of a bundle {name}; its releases: {show_ids(ids)}"
        )
    return next(release for release in chain(active_releases(store), found) if release.bundle_id == bundle_id)


def release_folder(name: str | None, root: str | None) -> str:
    """Return the folder of a release.

    Args:
        name: folder of a release, or a name for :func:`find_release`; None for the latest release.
        root: root of the store; not needed if ``name`` is a folder.

    Raises:
        UsageError: the store has no such release, or no store is given.
    """
    if name is not None and files.exists(ReleasePaths(name).manifest):
        return name
    if root is None:
        raise UsageError(f"{name} is not a release folder: give a folder, or --store" if name else "give --store")
    store = Store.open(root)
    return store.release(release_or_latest(store, name).release_id).folder


def release_or_latest(store: Store, name: str | None) -> ReleaseManifest:
    """Find a release by name, see :func:`find_release`, or the latest if ``name`` is None.

    Raises:
        UsageError: the store has no such release.
    """
    release = latest_release(store) if name is None else find_release(store, name)
    if release is None:
        raise UsageError(f"{store.root} has no release: run `tracktokens run`")
    return release


def frozen_bundle(store: Store, codebook_size: int) -> str | None:
    """Return the bundle of the first of :func:`active_releases` with this codebook size; None without one.

    ``LATEST`` is not required: it may be missing, or the first run may have been killed before it was written.
    """
    active = active_releases(store)
    return next((release.bundle_id for release in active if release.codebook_size == codebook_size), None)


def default_bundle(store: Store) -> str:
    """Return the bundle of the latest release, since its tokens are in use; without a release, the only bundle.

    Raises:
        UsageError: the store has no bundle, or several.
    """
    latest = latest_release(store)
    if latest is not None:
        return latest.bundle_id
    root = files.join(store.root, BUNDLES)
    bundle_ids = [path.split("/")[0] for path in files.list_tree(root) if path.endswith(f"/{MANIFEST}")]
    if len(bundle_ids) == 1:
        return bundle_ids[0]
    if bundle_ids:
        raise UsageError(f"{store.root} has the bundles {', '.join(bundle_ids)}: choose one with --bundle")
    raise UsageError(f"{store.root} has no codebook bundle: run `tracktokens train`")
