"""List the releases of a store, and roll back to one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from tracktokens.schemas.errors import InvalidDataError, StoreBusyError, UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest, Withdrawn
from tracktokens.transforms.maintenance.checks import check_release_files
from tracktokens.transforms.store import files
from tracktokens.transforms.store.ids import LATEST_ID
from tracktokens.transforms.store.layout import Store, made_at
from tracktokens.transforms.store.releases import (
    find_release,
    is_withdrawn,
    latest_id,
    point_latest,
    releases,
    require_latest,
)
from tracktokens.transforms.store.writer_lock import writes


@dataclass(frozen=True)
class ReleaseSummary:
    """One release in a list.

    Attributes:
        release_id: its id.
        time: start of its publish job, ISO 8601 in UTC.
        bundle_id: its codebooks.
        catalog_id: its catalog snapshot.
        tracks: rows of its token table.
        latest: whether ``LATEST`` names it.
        withdrawn: whether a rollback went to an older release.
    """

    release_id: str
    time: str
    bundle_id: str
    catalog_id: str
    tracks: int
    latest: bool
    withdrawn: bool

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class RollbackResult:
    """Outcome of a rollback, as release ids.

    Attributes:
        previous: release that ``LATEST`` named before; empty where it did not exist.
        current: release that it names now.
        withdrawn: newer releases, now marked as withdrawn.
    """

    previous: str
    current: str
    withdrawn: tuple[str, ...]


def list_releases(store: Store) -> Iterator[ReleaseSummary]:
    """List the complete releases, the newest first."""
    latest = latest_id(store.root)
    for release in releases(store):
        yield summarize_release(store, release, latest)


def summarize_release(store: Store, release: ReleaseManifest, latest: str) -> ReleaseSummary:
    """Summarize a release; ``latest`` is the id that ``LATEST`` names."""
    made = datetime.fromtimestamp(made_at(release.release_id), timezone.utc)
    return ReleaseSummary(
        release_id=release.release_id,
        time=made.strftime("%Y-%m-%dT%H:%M:%SZ"),
        bundle_id=release.bundle_id,
        catalog_id=release.catalog_id,
        tracks=release.rows["published"],
        latest=release.release_id == latest,
        withdrawn=is_withdrawn(store, release.release_id),
    )


@dataclass(frozen=True)
class RollbackJob:
    """Make ``LATEST`` name another release, which the next run continues from.

    Newer releases are marked as withdrawn: no job uses them unless it names them. They are not deleted. A rollback to a
    withdrawn release removes its mark.

    Attributes:
        store: root of the store.
        release_id: the release, its beginning, or ``latest``.
        expected_latest: release that ``LATEST`` must name; None for the one that it names when the job starts.
    """

    store: str
    release_id: str
    expected_latest: str | None = None

    @writes("rollback")
    def run(self) -> RollbackResult:
        """Check the release, mark newer ones, and move ``LATEST``.

        Raises:
            UsageError: the store or the release does not exist.
            InvalidDataError: a file of the release is missing or was changed; then ``LATEST`` is not moved.
            StoreBusyError: another job writes the store, or ``LATEST`` does not name the expected release; then nothing
                is changed.
        """
        store = Store.open(self.store)
        previous = latest_id(store.root) if self.expected_latest is None else self.expected_latest
        require_latest(store, previous)
        release = find_release(store, self.release_id)
        chosen = release.release_id
        if self.release_id != LATEST_ID and not chosen.startswith(self.release_id):
            raise UsageError(f"{self.release_id} is a bundle: give a release id, see `tracktokens releases list`")
        damaged = next(check_release_files(store, release), None)
        if damaged is not None:
            raise InvalidDataError(f"{damaged.path} {damaged.problem}: {damaged.remedy}; LATEST was not moved")
        newer = tuple(other.release_id for other in releases(store) if other.release_id > chosen)
        with _withdrawn(store, chosen, newer):
            point_latest(store, chosen, previous)
        files.delete_tree(store.release(chosen).withdrawn)
        return RollbackResult(previous, chosen, newer)


@contextmanager
def _withdrawn(store: Store, chosen: str, newer: tuple[str, ...]) -> Iterator[None]:
    """Mark releases as withdrawn, and remove the new marks if the block does not move ``LATEST``."""
    unmarked = [other for other in newer if not is_withdrawn(store, other)]
    for other in newer:
        files.write_bytes(store.release(other).withdrawn, Withdrawn(chosen).to_json().encode())
    try:
        yield
    except StoreBusyError:
        for other in unmarked:
            files.delete_tree(store.release(other).withdrawn)
        raise
