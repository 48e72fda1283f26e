"""Compaction: merge the small files of a bucket of records, and remove unwanted records.

New files are complete before old files are deleted: a killed compaction leaves every wanted record at least once, and a
record that is stored twice is read once. Two copies of a step may replace the same files at the same time. A file is
merged only with files of about its size, so a record is rewritten a few times in total, and not by every refresh.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.tables.records import KEY
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.record_buckets import RecordBucket
from tracktokens.transforms.store.records import VECTOR_FILE

COMPACT = "compact buckets"
"""Stage of the progress."""

MERGED_FILES = 8
"""Smallest number of files of a tier to merge."""

TIERS = (1 << 20, 1 << 23, 1 << 26)
"""Size limits between tiers, in bytes."""

MAX_FILE_BYTES = 1 << 28
"""Size at which a new file is closed, in bytes."""

FULL_BYTES = MAX_FILE_BYTES // 2
"""Size from which a file is not merged, in bytes."""

ATTEMPTS = 10
"""Times that work on a bucket is begun whose files vanish."""

T = TypeVar("T")


def due_files(sizes: Mapping[str, int]) -> list[str]:
    """Choose the files of a folder to merge: those of the lowest tier with enough files, or none.

    Args:
        sizes: file name to size in bytes.
    """
    tiers: dict[int, list[str]] = {}
    for name, size in sorted(sizes.items()):
        if size < FULL_BYTES:
            tiers.setdefault(sum(size >= limit for limit in TIERS), []).append(name)
    return next((names for _, names in sorted(tiers.items()) if len(names) >= MERGED_FILES), [])


def rows_to_keep(keys: pa.Array, wanted: pa.Array | None) -> npt.NDArray[np.bool_]:
    """Mark the first row of each wanted key: bool (rows,). Every key is wanted if ``wanted`` is None."""
    keep = np.zeros(len(keys), np.bool_)
    _, first = np.unique(keys.dictionary_encode().indices.to_numpy(), return_index=True)
    keep[first] = True
    if wanted is not None:
        keep &= pc.is_in(keys, value_set=wanted).to_numpy(zero_copy_only=False)
    return keep


def rewrite(store: Store, bucket: RecordBucket, names: list[str], wanted: pa.Array | None = None) -> None:
    """Write the records of some files of a bucket into new files, each key once, and delete the old files.

    Checksums are verified: the new files get new checksums, which would hide a corrupt value forever.

    Args:
        store: the store.
        bucket: the bucket.
        names: files to replace.
        wanted: keys to keep; all if None.

    Raises:
        InvalidDataError: a file cannot be read, or vectors differ in dimension. No file is deleted.
        FileNotFoundError: a file does not exist, or vanished. No file is deleted.
    """
    folder = bucket.folder(store)
    paths = [files.join(folder, name) for name in names]
    schema = bucket.schema(paths[0])
    keys = [batch[KEY.name] for path in paths for batch in files.read_batches(path, schema, [KEY.name])]
    keep = rows_to_keep(pa.chunked_array(keys, KEY.type).combine_chunks(), wanted)
    kept = _filter_rows((batch for path in paths for batch in files.read_batches(path, schema, checked=True)), keep)
    files.sync(_write_files(folder, _merged_name(names, wanted), schema, _merge_batches(kept, schema)))
    for path in paths:
        files.delete_tree(path)


def beside_copies(work: Callable[[], T]) -> T:
    """Do work on a bucket again while its files vanish: a copy of the step, run beside this one, has replaced them.

    Args:
        work: lists the files of the bucket, and works on what it finds.

    Raises:
        FileNotFoundError: a file vanished in each of :data:`ATTEMPTS`.
    """
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(FileNotFoundError):
            return work()
    return work()


def _filter_rows(batches: Iterable[pa.RecordBatch], keep: npt.NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
    """Keep the marked rows; ``keep`` has the rows of all batches."""
    start = 0
    for batch in batches:
        marked = keep[start : start + batch.num_rows]
        start += batch.num_rows
        if marked.any():
            yield batch if marked.all() else batch.filter(pa.array(marked))


def _merge_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Combine batches into row groups of at least ``READ_ROWS`` rows, which are faster to read than small ones."""
    pending: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        pending.append(batch)
        rows += batch.num_rows
        if rows >= files.READ_ROWS:
            yield pa.Table.from_batches(pending, schema)
            pending, rows = [], 0
    if pending:
        yield pa.Table.from_batches(pending, schema)


def _merged_name(names: list[str], wanted: pa.Array | None) -> str:
    """Hash the names of the replaced files to a new name, so that a retry overwrites its own files and no old one."""
    content = "\n".join([*sorted(names), "" if wanted is None else str(len(wanted))])
    return f"merged-{hashlib.blake2b(content.encode(), digest_size=8).hexdigest()}"


def _write_files(folder: str, name: str, schema: pa.Schema, tables: Iterator[pa.Table]) -> list[str]:
    """Write row groups into files of bounded size, and return their paths."""
    paths: list[str] = []
    for first in tables:
        path = files.join(folder, f"{name}-{len(paths):04d}.parquet")
        files.write_batches(path, schema, _take_file(first, tables), **VECTOR_FILE)
        paths.append(path)
    return paths


def _take_file(first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Take tables until they have ``MAX_FILE_BYTES``; the others stay in ``rest``."""
    size = first.nbytes
    yield first
    while size < MAX_FILE_BYTES and (table := next(rest, None)) is not None:
        size += table.nbytes
        yield table


@dataclass(eq=False)
class CompactBucket(beam.DoFn):
    """Merge small files of a bucket until none are due. Count files and bytes before and after.

    Attributes:
        store: the store.
        progress: report of finished buckets.
    """

    store: Store
    progress: ProgressReporter

    def process(self, bucket: RecordBucket) -> Iterator[tuple[str, int]]:
        """Compact one bucket."""
        sizes = parquet_sizes(bucket.folder(self.store))
        yield "files_before", len(sizes)
        yield "bytes_before", sum(sizes.values())
        sizes = beside_copies(partial(self._merge, bucket))
        yield "files_after", len(sizes)
        yield "bytes_after", sum(sizes.values())
        self.progress.add(COMPACT, done=1)

    def _merge(self, bucket: RecordBucket) -> dict[str, int]:
        """Merge files until none are due; return what is left."""
        folder = bucket.folder(self.store)
        sizes = parquet_sizes(folder)
        while due := due_files(sizes):
            rewrite(self.store, bucket, due)
            sizes = parquet_sizes(folder)
        return sizes


def parquet_sizes(folder: str) -> dict[str, int]:
    """List the Parquet files of a folder: name to size in bytes."""
    return {name: size for name, size in files.list_tree(folder).items() if name.endswith(".parquet")}
