"""Rebucketing: divide a store into another number of buckets, after its catalog has grown or shrunk.

The new division is written beside the old one, in folders whose names contain the number of buckets, and used from the
moment in which ``store.json`` is replaced. A killed job leaves the old division in use or the new one, and both are
complete. Releases are not rewritten: a token table keeps its number of files.
"""

from dataclasses import dataclass, replace

from tracktokens.pipelines.maintenance.bucket_jobs import count_in_buckets
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.store import StoreManifest, buckets_for
from tracktokens.transforms.maintenance.divide_folder import DIVIDED, REBUCKET, DivideBuckets, bucket_groups
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store, store_manifest
from tracktokens.transforms.store.snapshots import open_snapshot
from tracktokens.transforms.store.writer_lock import writes


@dataclass(frozen=True)
class Rebucketing:
    """Result of a rebucketing.

    Attributes:
        before: number of buckets before.
        after: number of buckets after.
        rows: rows of all tables that were copied; 0 if the number is the same.
    """

    before: int
    after: int
    rows: int


@dataclass(frozen=True)
class RebucketJob:
    """Divide a store into another number of buckets.

    Attributes:
        store: root of the store.
        buckets: the number of buckets, a power of two; None for that of a new store with the newest catalog.
    """

    store: str
    buckets: int | None = None

    @writes("rebucket")
    def run(self, runner: PipelineRunner) -> Rebucketing:
        """Copy everything that has buckets, and switch to the copy. The old division stays until ``gc``.

        Raises:
            UsageError: the store does not exist or has no complete catalog, or the number is not a power of two.
            InvalidDataError: a file cannot be read. The store is as it was.
            StoreBusyError: another job writes the store.
        """
        old = Store.open(self.store)
        manifest = self._manifest(old)
        if manifest.buckets == old.buckets:
            return Rebucketing(old.buckets, old.buckets, 0)
        new = Store(old.root, manifest.buckets, manifest.rebucketed)
        delete_outdated(old)
        groups = bucket_groups(old, new.buckets)
        counts = count_in_buckets(old, REBUCKET, groups, DivideBuckets(old, new, runner.progress), runner)
        path = store_manifest(old.root)
        files.write_bytes(path, manifest.to_json().encode())
        files.sync([path])
        return Rebucketing(old.buckets, new.buckets, counts["rows"])

    def _manifest(self, store: Store) -> StoreManifest:
        wanted = buckets_for(open_snapshot(store).manifest.rows_accepted) if self.buckets is None else self.buckets
        try:
            return replace(self._current(store), buckets=wanted, rebucketed=True)
        except InvalidDataError as error:
            raise UsageError(f"--buckets {wanted} is not a power of two up to 16384: give one, or none") from error

    def _current(self, store: Store) -> StoreManifest:
        path = store_manifest(store.root)
        return StoreManifest.from_json(files.read_bytes(path), path)


def delete_outdated(store: Store) -> None:
    """Delete the buckets of other divisions: older ones, and those of a killed rebucketing."""
    for kind in DIVIDED:
        folder = files.join(store.root, kind)
        outdated = {path.rpartition("/")[0] for path in files.list_all(folder) if store.is_outdated(path)}
        for bucket in sorted(outdated):
            files.delete_tree(files.join(folder, bucket))
