"""Releases that a store holds, and the bundle that a job takes when none is named."""

from collections.abc import Iterator
from itertools import chain

from tracktokens.schemas.errors import InvalidDataError, StoreBusyError, UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import BUNDLES, LATEST, MANIFEST, RELEASES, ReleasePaths, Store, store_file


def latest_id(root: str) -> str:
    """What ``LATEST`` of the store at ``root`` says; empty before the first release, or the store."""
    pointer = store_file(root, LATEST)
    return files.read_bytes(pointer).decode(errors="replace").strip() if files.exists(pointer) else ""


def require_latest(store: Store, expected: str) -> None:
    """Check that ``LATEST`` did not move; see :func:`point_latest` for ``expected``.

    Raises:
        StoreBusyError: ``LATEST`` names a different release: another job moved it.
    """
    latest = latest_id(store.root)
    if latest != expected:
        raise StoreBusyError(
            f"{files.join(store.root, LATEST)} names {latest or 'nothing'} now, and {expected or 'nothing'} when this "
            "job began: another job moved it; this job did not move it, run this job again"
        )


def point_latest(store: Store, release_id: str, expected: str) -> None:
    """Make ``LATEST`` name a release. No other function writes ``LATEST``.

    Before the call, the release must be complete and synced to disk: after a power failure, ``LATEST`` must not name a
    release that was not written yet.

    Args:
        store: the store.
        release_id: a complete release.
        expected: result of :func:`latest_id` when the job began; ``""`` if there was no ``LATEST``.

    Raises:
        StoreBusyError: ``LATEST`` no longer names ``expected``; it is not moved then.
    """
    require_latest(store, expected)
    files.write_bytes(files.join(store.root, LATEST), f"{release_id}\n".encode())


def latest_release(store: Store) -> ReleaseManifest | None:
    """The release that ``LATEST`` names, or None before the first.

    Raises:
        InvalidDataError: when it names a release that is not complete.
    """
    release_id = latest_id(store.root)
    if not release_id:
        return None
    path = store.release(release_id).manifest
    if not files.exists(path):
        raise InvalidDataError(
            f"{files.join(store.root, LATEST)} names {release_id}, and there is no {path}: restore that, or choose "
            "another release with `tracktokens releases rollback`"
        )
    return ReleaseManifest.from_json(files.read_bytes(path), path)


def published_release(store: Store) -> ReleaseManifest:
    """The release that ``LATEST`` names, for a job that cannot do without.

    Raises:
        UsageError: there never was one.
        InvalidDataError: it is not complete, or ``LATEST`` is gone.
    """
    latest = latest_release(store)
    if latest is not None:
        return latest
    if next(releases(store), None) is None:
        raise UsageError(f"{store.root} has no release yet: make the first with `tracktokens run`")
    raise InvalidDataError(
        f"{files.join(store.root, LATEST)} is gone, and there are releases: say which is in use with "
        "`tracktokens releases rollback`"
    )


def releases(store: Store) -> Iterator[ReleaseManifest]:
    """All complete releases, the newest first."""
    root = files.join(store.root, RELEASES)
    for name in reversed(files.list_tree(root)):
        if name.endswith(f"/{MANIFEST}"):
            path = files.join(root, name)
            yield ReleaseManifest.from_json(files.read_bytes(path), path)


def is_withdrawn(store: Store, release_id: str) -> bool:
    """Whether a rollback has gone behind a release, and nothing goes on from it unless it is named."""
    return files.exists(store.release(release_id).withdrawn)


def standing_releases(store: Store) -> Iterator[ReleaseManifest]:
    """The releases that others go on from: the latest, then those that are not withdrawn, the newest first."""
    latest = latest_release(store)
    if latest is not None:
        yield latest
    for release in releases(store):
        if not is_withdrawn(store, release.release_id):
            yield release


def find_release(store: Store, name: str) -> ReleaseManifest:
    """Find a release by its id, or by a bundle's the one of it that others go on from; a withdrawn one if all are.

    Raises:
        UsageError: when there is none.
    """
    by_id = (release for release in releases(store) if release.release_id == name)
    of_bundle = (release for release in chain(standing_releases(store), releases(store)) if release.bundle_id == name)
    found = next(chain(by_id, of_bundle), None)
    if found is None:
        raise UsageError(f"{store.root} has neither a release {name} nor one of a bundle {name}")
    return found


def release_folder(name: str | None, root: str | None) -> str:
    """Folder of a release: the one that is named itself, or that of an id in a store, by default its latest.

    Raises:
        UsageError: nothing says which, or there is none.
    """
    if name is not None and files.exists(ReleasePaths(name).manifest):
        return name
    if root is None:
        raise UsageError(f"{name} is not the folder of a release: give one, or --store" if name else "give --store")
    store = Store.open(root)
    return store.release(release_or_latest(store, name).release_id).folder


def release_or_latest(store: Store, name: str | None) -> ReleaseManifest:
    """The release of a name, see :func:`find_release`, or the latest where there is none.

    Raises:
        UsageError: when there is no such release.
    """
    found = latest_release(store) if name is None else find_release(store, name)
    if found is None:
        raise UsageError(f"{store.root} has no release: run `tracktokens run`")
    return found


def frozen_bundle(store: Store, codebook_size: int) -> str | None:
    """The bundle of the latest release with a vocabulary of this size, or None before the first; see above.

    Without ``LATEST`` too: it is gone, or the first run was killed before it wrote one.
    """
    standing = standing_releases(store)
    return next((release.bundle_id for release in standing if release.codebook_size == codebook_size), None)


def default_bundle(store: Store) -> str:
    """The bundle of the latest release, since its tokens are in use; else the only one there is.

    Raises:
        UsageError: when there is none, or the choice is not clear.
    """
    latest = latest_release(store)
    if latest is not None:
        return latest.bundle_id
    root = files.join(store.root, BUNDLES)
    found = [path.split("/")[0] for path in files.list_tree(root) if path.endswith(f"/{MANIFEST}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{store.root} has the bundles {', '.join(found)}: choose one with --bundle")
    raise UsageError(f"{store.root} has no codebook bundle: run `tracktokens train`")
