"""List the releases of a store, and go back to one of them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest, Withdrawn
from tracktokens.transforms.maintenance.checks import check_release_files
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store, made_at
from tracktokens.transforms.store.releases import find_release, is_withdrawn, latest_id, point_latest, releases
from tracktokens.transforms.store.writer_lock import writes


@dataclass(frozen=True)
class ReleaseSummary:
    """A release in a list.

    Attributes:
        release_id: its name.
        time: when its publishing began, ISO 8601 in UTC.
        bundle_id: its codebooks.
        catalog_id: the catalog snapshot that it was made from.
        tracks: rows of its token table.
        latest: whether ``LATEST`` names it.
        withdrawn: whether a rollback has gone behind it.
    """

    release_id: str
    time: str
    bundle_id: str
    catalog_id: str
    tracks: int
    latest: bool
    withdrawn: bool

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class RollbackResult:
    """What a rollback did: release ids that ``LATEST`` named and names, and of those that are withdrawn now."""

    was: str
    now: str
    withdrawn: tuple[str, ...]


def list_releases(store: Store) -> Iterator[ReleaseSummary]:
    """All complete releases, the newest first."""
    latest = latest_id(store.root)
    for release in releases(store):
        yield summarize_release(store, release, latest)


def summarize_release(store: Store, release: ReleaseManifest, latest: str) -> ReleaseSummary:
    """Sum up a release."""
    made = datetime.fromtimestamp(made_at(release.release_id), timezone.utc)
    return ReleaseSummary(
        release.release_id,
        made.strftime("%Y-%m-%dT%H:%M:%SZ"),
        release.bundle_id,
        release.catalog_id,
        release.rows["published"],
        release.release_id == latest,
        is_withdrawn(store, release.release_id),
    )


@dataclass(frozen=True)
class RollbackJob:
    """Make ``LATEST`` name another release, from which the next run goes on.

    Releases that are newer are marked as withdrawn: no job takes a bundle from them, or compares with them, unless they
    are named. They stay, and one of them can be rolled back to, which takes its mark away.

    Attributes:
        store: root of the store.
        release_id: the release.
    """

    store: str
    release_id: str

    @writes("rollback")
    def run(self) -> RollbackResult:
        """Check the release, mark those after it, and move ``LATEST``.

        Raises:
            UsageError: there is no such store or release.
            InvalidDataError: a file of the release is missing or was changed; then nothing is moved.
            StoreBusyError: another job writes the store.
        """
        store = Store.open(self.store)
        release = find_release(store, self.release_id)
        if release.release_id != self.release_id:
            raise UsageError(f"{self.release_id} is a bundle: give a release, see `tracktokens releases list`")
        damaged = next(check_release_files(store, release), None)
        if damaged is not None:
            raise InvalidDataError(f"{damaged.path} {damaged.problem}: {damaged.remedy}; LATEST was not moved")
        was = latest_id(store.root)
        newer = tuple(other.release_id for other in releases(store) if other.release_id > self.release_id)
        for other in newer:
            files.write_bytes(store.release(other).withdrawn, Withdrawn(self.release_id).to_json().encode())
        point_latest(store, self.release_id, was)
        files.delete_tree(store.release(self.release_id).withdrawn)
        return RollbackResult(was, self.release_id, newer)
