"""Rebucketing: copy the rows of a folder's buckets into the buckets of another division.

A bucket is the first bits of a hash. With more buckets, the files of one bucket are therefore split into several, and
with fewer, the files of several go to one. Nothing is sent between workers.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.schemas.tables.records import CODE_RECORDS, FAILURES, KEY
from tracktokens.schemas.tables.vectors import VECTOR_LOCATIONS
from tracktokens.transforms.catalog.snapshot_writer import TRACKS_FILE
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, overlapping_buckets, split_by_bucket, track_buckets
from tracktokens.transforms.store.layout import CATALOGS, CODES, FAILED, VECTORS, Store
from tracktokens.transforms.store.records import VECTOR_FILE, vector_schema

REBUCKET = "divide buckets"
"""Stage of the progress."""

DIVIDED = (VECTORS, FAILED, CODES, CATALOGS)
"""Top folders of the store that have buckets."""

CHUNK_BYTES = 1 << 26
"""Bytes of rows to gather before they are split; a row group gets a bucket's share of them."""

CATALOG_SCHEMAS = {"tracks": CATALOG_TRACKS, "keys": TRACK_KEYS, "failures": FAILURES, "places": VECTOR_LOCATIONS}
"""Folder of a catalog to the schema of its buckets."""


@dataclass(frozen=True)
class BucketGroup:
    """Buckets of one folder that share no keys with others, before or after: one bucket on one side, or on both.

    Attributes:
        folder: the folder of the buckets, relative to the store.
        buckets: current buckets with files.
    """

    folder: str
    buckets: tuple[int, ...]

    @property
    def is_tracks(self) -> bool:
        """True if the rows are the tracks of a catalog, which are sorted by id."""
        kind, *names = self.folder.split("/")
        return kind == CATALOGS and names[1:] == ["tracks"]

    def schema(self, path: str) -> pa.Schema:
        """Return the expected schema of one of the files.

        Raises:
            InvalidDataError: the file cannot be read.
        """
        kind, *names = self.folder.split("/")
        if kind == VECTORS:
            return vector_schema(path)
        return {FAILED: FAILURES, CODES: CODE_RECORDS}.get(kind) or CATALOG_SCHEMAS[names[1]]


def bucket_groups(store: Store, buckets: int) -> list[BucketGroup]:
    """List what is to be copied for a division into ``buckets``."""
    groups: dict[tuple[str, int], set[int]] = {}
    for kind in DIVIDED:
        for path in files.list_tree(files.join(store.root, kind)):
            folder, _, name = f"{kind}/{path}".rpartition("/bucket=")
            if folder and not store.is_outdated(path):
                bucket = int(name.partition("-")[0].partition("/")[0])
                first = overlapping_buckets(bucket, store.buckets, min(buckets, store.buckets))[0]
                groups.setdefault((folder, first), set()).add(bucket)
    return [BucketGroup(folder, tuple(sorted(members))) for (folder, _), members in sorted(groups.items())]


def row_buckets(rows: pa.RecordBatch, buckets: int) -> npt.NDArray[np.int64]:
    """Return the bucket of each row: that of its key, or of its track in a table by track."""
    by_track = rows.schema.names != TRACK_KEYS.names and "track" in rows.schema.names
    return track_buckets(rows["track"].to_numpy(), buckets) if by_track else bucket_numbers(rows[KEY.name], buckets)


@dataclass(eq=False)
class DivideBuckets(beam.DoFn):
    """Copy the rows of a group of buckets into another division. Counts the rows. Old files are not changed.

    A retry overwrites its own files. Checksums are verified, since the new files get new ones.

    Attributes:
        old: the store as it is.
        new: the store with the other division.
        progress: report of finished groups.
    """

    old: Store
    new: Store
    progress: ProgressReporter

    def process(self, group: BucketGroup) -> Iterator[tuple[str, int]]:
        """Copy one group."""
        for name, schema, batches in self._read(group):
            yield "rows", self._write(group, name, schema, batches)
        self.progress.add(REBUCKET, done=1)

    def _read(self, group: BucketGroup) -> Iterator[tuple[str, pa.Schema, Iterator[pa.RecordBatch]]]:
        """Read the files of a group, in order of bucket: name of the copy, schema and rows."""
        folders = [
            (bucket, files.join(self.old.root, group.folder, self.old.bucket_folder(bucket)))
            for bucket in group.buckets
        ]
        if group.is_tracks and len(folders) > 1:
            tracks = pa.concat_tables(files.read_table(folder, CATALOG_TRACKS) for _, folder in folders)
            yield "part.parquet", CATALOG_TRACKS, iter(tracks.sort_by("track_id").to_batches())
            return
        for bucket, folder in folders:
            for path in files.list_files(folder, ".parquet"):
                name = path.rsplit("/", 1)[-1]
                merged = self.new.buckets < self.old.buckets
                copy = f"{name.removesuffix('.parquet')}-{bucket:04d}.parquet" if merged else name
                schema = group.schema(path)
                yield copy, schema, files.read_batches(path, schema, checked=True)

    def _write(self, group: BucketGroup, name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Write the rows of one file into one file per new bucket, and return their number."""
        writers: dict[str, pq.ParquetWriter] = {}
        rows = 0
        with ExitStack() as stack:
            for chunk in _chunks(batches, schema):
                for bucket, part in split_by_bucket(chunk, row_buckets(chunk, self.new.buckets)):
                    path = files.join(self.new.root, group.folder, self.new.bucket_folder(bucket), name)
                    if path not in writers:
                        options = TRACKS_FILE if group.is_tracks else VECTOR_FILE
                        writers[path] = stack.enter_context(files.parquet_writer(path, schema, **options))
                    writers[path].write(part)
                    rows += part.num_rows
        files.sync(writers)
        return rows


def _chunks(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Combine batches into batches of about ``CHUNK_BYTES``."""
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        pending.append(batch)
        if sum(part.nbytes for part in pending) >= CHUNK_BYTES:
            yield _combine(pending, schema)
            pending = []
    if pending:
        yield _combine(pending, schema)


def _combine(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    [combined] = pa.Table.from_batches(batches, schema).combine_chunks().to_batches() or [
        pa.RecordBatch.from_pylist([], schema)
    ]
    return combined
