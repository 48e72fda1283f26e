"""Rewrite buckets of facts: many small files become few, and facts that nobody wants go.

New files are complete before old ones are deleted, so whatever is killed leaves every wanted fact at least once, and
a fact that stands there twice is read once. A file is merged with files of about its size only: each fact is rewritten
a few times in the store's life, not every night.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

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
"""So many files of a tier are merged, and no fewer."""

TIERS = (1 << 20, 1 << 23, 1 << 26)
"""Sizes in bytes at which a tier ends and the next begins."""

MOST_BYTES = 1 << 28
"""A new file is closed when it has so many bytes."""

FULL_BYTES = MOST_BYTES // 2
"""A file of so many bytes is never merged."""


def due_files(sizes: Mapping[str, int]) -> list[str]:
    """Choose files of a folder that are to be merged to one: those of the lowest tier that has enough; none else.

    Args:
        sizes: name to size in bytes.
    """
    tiers: dict[int, list[str]] = {}
    for name, size in sorted(sizes.items()):
        if size < FULL_BYTES:
            tiers.setdefault(sum(size >= limit for limit in TIERS), []).append(name)
    return next((names for _, names in sorted(tiers.items()) if len(names) >= MERGED_FILES), [])


def rows_to_keep(keys: pa.Array, wanted: pa.Array | None) -> npt.NDArray[np.bool_]:
    """Mark the first row of each key that is wanted; any key is where ``wanted`` is None."""
    keep = np.zeros(len(keys), np.bool_)
    _, first = np.unique(keys.dictionary_encode().indices.to_numpy(), return_index=True)
    keep[first] = True
    if wanted is not None:
        keep &= pc.is_in(keys, value_set=wanted).to_numpy(zero_copy_only=False)
    return keep


def rewrite(store: Store, bucket: RecordBucket, names: list[str], wanted: pa.Array | None = None) -> None:
    """Put the facts of some files of a bucket into new files, each key once, and delete the old ones.

    Checksums are compared: the new files get their own, which would hide a damage for good.

    Args:
        store: where the bucket is.
        bucket: the bucket.
        names: files that are replaced.
        wanted: keys that stay; all where it is None.

    Raises:
        InvalidDataError: a file cannot be read, or vectors differ in dimension. Nothing is deleted.
    """
    folder = bucket.folder(store)
    paths = [files.join(folder, name) for name in names]
    schema = bucket.schema(paths[0])
    keys = [batch[KEY.name] for path in paths for batch in files.read_batches(path, schema, [KEY.name])]
    keep = rows_to_keep(pa.chunked_array(keys, KEY.type).combine_chunks(), wanted)
    kept = _filtered((batch for path in paths for batch in files.read_batches(path, schema, checked=True)), keep)
    files.sync(_write(folder, _name_of(names, wanted), schema, _gathered(kept, schema)))
    for path in paths:
        files.delete_tree(path)


def _filtered(batches: Iterable[pa.RecordBatch], keep: npt.NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
    """Rows that are marked; ``keep`` runs over all batches."""
    start = 0
    for batch in batches:
        marked = keep[start : start + batch.num_rows]
        start += batch.num_rows
        if marked.any():
            yield batch if marked.all() else batch.filter(pa.array(marked))


def _gathered(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Put batches together to row groups of at least ``READ_ROWS`` rows, so that they are read as quickly."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= files.READ_ROWS:
            yield pa.Table.from_batches(waiting, schema)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _name_of(names: list[str], wanted: pa.Array | None) -> str:
    """A name after the files that are replaced, so that a retry overwrites its own; never the name of one of them."""
    told = "\n".join([*sorted(names), "" if wanted is None else str(len(wanted))])
    return f"merged-{hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"


def _write(folder: str, name: str, schema: pa.Schema, tables: Iterator[pa.Table]) -> list[str]:
    """Write row groups to files of bounded size; gives their paths."""
    paths: list[str] = []
    for first in tables:
        path = files.join(folder, f"{name}-{len(paths):04d}.parquet")
        files.write_batches(path, schema, _up_to(first, tables), **VECTOR_FILE)
        paths.append(path)
    return paths


def _up_to(first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tables until they have ``MOST_BYTES``; what is left stays in ``rest``."""
    size = first.nbytes
    yield first
    while size < MOST_BYTES and (table := next(rest, None)) is not None:
        size += table.nbytes
        yield table


class CompactBucket(beam.DoFn):
    """Merges small files of a bucket until none are due. Counts files and bytes before and after."""

    def __init__(self, store: Store, progress: ProgressReporter) -> None:
        self._store = store
        self._progress = progress

    def process(self, bucket: RecordBucket) -> Iterator[tuple[str, int]]:
        """Compact one bucket."""
        folder = bucket.folder(self._store)
        sizes = parquet_sizes(folder)
        yield "files_before", len(sizes)
        yield "bytes_before", sum(sizes.values())
        while due := due_files(sizes):
            rewrite(self._store, bucket, due)
            sizes = parquet_sizes(folder)
        yield "files_after", len(sizes)
        yield "bytes_after", sum(sizes.values())
        self._progress.add(COMPACT, done=1)


def parquet_sizes(folder: str) -> dict[str, int]:
    """Names of the Parquet files right in a folder, and their sizes in bytes."""
    return {name: size for name, size in files.list_tree(folder).items() if name.endswith(".parquet")}
