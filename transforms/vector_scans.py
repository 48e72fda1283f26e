"""What scans of vectors found, kept for the next one: a row group of a file that is as it was is not read again.

A file is taken for the same when its path, size and modification time are. As with audio, content that is exchanged
while all three stay the same is not noticed.
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from tracktokens.schemas.vectors import SCANNED_VECTORS
from tracktokens.transforms import files
from tracktokens.transforms.facts import VECTOR_FILE
from tracktokens.transforms.inputs.vector_tables import VectorTable
from tracktokens.transforms.store import Catalog

RULE = 1
"""Version of what a scan finds in a row group. Raise it when that changes."""

SETTLED_SECONDS = 2.0
"""A file that changed so short a time ago may change again within the same tick of its filesystem's clock."""

MOST_ROWS = 1 << 22
"""Rows of a row group above which nothing is kept of it: it is put together in memory."""


@dataclass(frozen=True, eq=False)
class VectorScan:
    """What was found in a row group.

    Attributes:
        found: batch of ``SCANNED_VECTORS``, in order of rows.
        read: rows in it.
        absent: rows without a vector.
    """

    found: pa.RecordBatch
    read: int
    absent: int


def fingerprint(table: VectorTable, number: int) -> str | None:
    """Name a row group by what tells whether it is still the same; None where that cannot be told yet."""
    fragment = table.fragments[number]
    size, modified = _size_and_time(fragment.path)
    if fragment.rows > MOST_ROWS or time.time() - modified / 1e9 < SETTLED_SECONDS:
        return None
    told = (RULE, fragment.path, size, modified, fragment.row_group, table.column, table.dim)
    return hashlib.blake2b(repr(told).encode(), digest_size=16).hexdigest()


def read_scan(catalog: Catalog, modality: str, name: str) -> VectorScan | None:
    """What an earlier scan found in a row group; None where there was none.

    Raises:
        DataRefusedError: the file cannot be read.
    """
    path = catalog.scan(modality, name)
    if not files.exists(path):
        return None
    found = pa.Table.from_batches(list(files.read_batches(path, SCANNED_VECTORS)), SCANNED_VECTORS).combine_chunks()
    with files.open_parquet(path) as file:
        counts = file.schema_arrow.metadata
    batch = pa.record_batch([column.combine_chunks() for column in found.columns], schema=SCANNED_VECTORS)
    return VectorScan(batch, int(counts[b"read"]), int(counts[b"absent"]))


def write_scan(catalog: Catalog, modality: str, name: str, scan: VectorScan) -> None:
    """Keep what was found in a row group."""
    schema = SCANNED_VECTORS.with_metadata({"read": str(scan.read), "absent": str(scan.absent)})
    files.write_batches(catalog.scan(modality, name), schema, [scan.found.cast(schema)], **VECTOR_FILE)


def _size_and_time(path: str) -> tuple[int, int]:
    """Size in bytes, and modification time in nanoseconds since 1970."""
    if not files.is_remote(path):
        found = Path(path).stat()
        return found.st_size, found.st_mtime_ns
    remote = FileSystems.match([path])[0].metadata_list[0]
    return remote.size_in_bytes, int(remote.last_updated_in_seconds * 1e9)
