"""Compaction: merge the small files that nights leave in a store's buckets of facts."""

import logging
from dataclasses import dataclass

from tracktokens.pipelines.maintenance.bucket_jobs import count_in_buckets
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import TracktokensError
from tracktokens.transforms.maintenance.compact_bucket import COMPACT, CompactBucket, due_files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.record_buckets import list_record_buckets
from tracktokens.transforms.store.writer_lock import writer

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compaction:
    """What a compaction did, in the buckets that needed it.

    Attributes:
        buckets: buckets whose files were merged.
        files_before: files in them.
        files_after: files in them now.
        bytes_before: size of these files.
        bytes_after: the same, now; less where a fact had been written twice.
    """

    buckets: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


def compact_store(store: Store, runner: PipelineRunner) -> Compaction:
    """Merge the small files of facts, in every bucket that has many; see :func:`due_files`.

    A store that needs none costs one listing of its files.

    Raises:
        StoreBusyError: another job writes the store.
        InvalidDataError: a file cannot be read; it and those beside it are left as they are.
    """
    with writer(store.root, "compact"):
        due = [bucket for bucket, sizes in list_record_buckets(store).items() if due_files(sizes)]
        work = CompactBucket(store, runner.progress)
        return Compaction(len(due), **count_in_buckets(store, COMPACT, due, work, runner))


def compact_after(store: Store, runner: PipelineRunner) -> None:
    """Merge small files after a release is out: what goes wrong then is a warning."""
    try:
        compact_store(store, runner)
    except (TracktokensError, OSError) as error:
        _logger.warning("the release is published, but its store could not be compacted: %s", error)
