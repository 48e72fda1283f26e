"""Compaction: merge the small files that refreshes leave in a store's buckets of records."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from tracktokens.pipelines.maintenance.bucket_jobs import count_in_buckets
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import TracktokensError
from tracktokens.transforms.maintenance.compact_bucket import COMPACT, CompactBucket, due_files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.record_buckets import RecordBucket, list_record_buckets
from tracktokens.transforms.store.writer_lock import writer

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compaction:
    """Counts of a compaction, over the buckets whose files were merged.

    Attributes:
        buckets: number of these buckets.
        files_before: files in them before.
        bytes_before: size of the files before.
        files_after: files in them after.
        bytes_after: size of the files after; smaller where a record was stored twice.
    """

    buckets: int = 0
    files_before: int = 0
    bytes_before: int = 0
    files_after: int = 0
    bytes_after: int = 0


def compact_store(store: Store, runner: PipelineRunner) -> Compaction:
    """Merge the small record files in every bucket that has many; see :func:`due_files`.

    Where no bucket has many, it costs one listing of the store.

    Raises:
        StoreBusyError: another job writes the store.
        InvalidDataError: a file cannot be read; the files of its bucket are not changed.
    """
    with writer(store.root, "compact"):
        before = {bucket: sizes for bucket, sizes in list_record_buckets(store).items() if due_files(sizes)}
        if not before:
            return Compaction()
        count_in_buckets(store, COMPACT, list(before), CompactBucket(store, runner.progress), runner)
        # Counted here: a bucket that the runner retries is small already when it is counted again.
        after = {bucket: sizes for bucket, sizes in list_record_buckets(store).items() if bucket in before}
        return Compaction(len(before), *_totals(before), *_totals(after))


def _totals(buckets: Mapping[RecordBucket, Mapping[str, int]]) -> tuple[int, int]:
    """Return the number of files in some buckets, and their size in bytes."""
    sizes = [size for files in buckets.values() for size in files.values()]
    return len(sizes), sum(sizes)


def compact_after(store: Store, runner: PipelineRunner) -> None:
    """Merge small files after a release is published; an error is logged as a warning."""
    try:
        compact_store(store, runner)
    except (TracktokensError, OSError) as error:
        _logger.warning("the release is published, but compacting its store failed: %s", error)
