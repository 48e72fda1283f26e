"""Parquet: count the row groups of a file, and read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.schemas.display import escape_surrogates
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers import text_stream
from tracktokens.transforms.readers.coercion import coerce_column
from tracktokens.transforms.readers.file_discovery import corrupt_file_errors
from tracktokens.transforms.readers.row_chunks import Chunk, check_columns, ignored_columns, with_path_columns
from tracktokens.transforms.readers.row_sizes import check_row_group, dictionary_columns, split_rows, text_bytes
from tracktokens.transforms.store import files
from tracktokens.transforms.store.object_store import open_arrow, open_ranges

_BUFFER_BYTES = 1 << 20

_REMOTE_BUFFER_BYTES = 1 << 22
"""Most bytes of a column that a request reads: fewer and larger requests need more memory per column."""


def count_group_rows(path: str) -> list[int]:
    """Count the rows of each row group of a file.

    Raises:
        InvalidDataError: the file is corrupt.
    """
    with open_row_groups(path) as parquet:
        return [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]


def parquet_columns(path: str) -> list[str]:
    """Read the column names.

    Raises:
        InvalidDataError: the file is corrupt.
    """
    with open_row_groups(path) as parquet:
        return list(parquet.schema_arrow.names)


def read_row_group(
    path: str, row_group: int, schema: pa.Schema, batch_rows: int, path_columns: Collection[str] = ()
) -> Iterator[Chunk]:
    """Read a row group in chunks of at most ``batch_rows`` rows of ``schema``.

    ``path_columns`` are in the path of the file, so the file may lack them. A row whose text is longer than a row of
    JSON Lines may be is malformed, and a chunk has fewer rows if they are long.

    Raises:
        InvalidDataError: the file cannot be read, or has far more text than bytes; see :func:`.check_row_group`.
    """
    with open_row_groups(path, lambda metadata: dictionary_columns(metadata.row_group(row_group))) as parquet:
        names = parquet.schema_arrow.names
        check_columns(with_path_columns(names, path_columns), path, schema)
        wanted = [field for field in schema if field.name in names]
        columns = [field.name for field in wanted]
        check_row_group(parquet.metadata.row_group(row_group), path, columns)
        start = 0
        for batch in parquet.iter_batches(batch_rows, [row_group], columns, use_threads=False):
            yield from _chunks(batch, start, wanted, ignored_columns(names, schema))
            start += batch.num_rows


def _chunks(batch: pa.RecordBatch, start: int, wanted: list[pa.Field], ignored: tuple[str, ...]) -> Iterator[Chunk]:
    """Coerce a batch whose first row has the index ``start``, in parts that fit into memory."""
    sizes = text_bytes(batch)
    for part in split_rows(sizes):
        long = sizes[part] > text_stream.MAX_ROW_BYTES
        rows = np.arange(start, start + batch.num_rows)[part]
        malformed = [(row, f"the row is longer than {text_stream.MAX_ROW_BYTES} bytes") for row in rows[long].tolist()]
        kept = batch.slice(part.start, part.stop - part.start)
        kept = kept.filter(pa.array(~long)) if malformed else kept
        columns = {field.name: coerce_column(kept.column(field.name), field) for field in wanted}
        yield Chunk(columns, rows[~long].tolist(), malformed, ignored)


@contextmanager
def open_row_groups(
    path: str, dictionaries: Callable[[pq.FileMetaData], list[str]] = lambda metadata: []
) -> Iterator[pq.ParquetFile]:
    """Open a file to read its row groups one at a time.

    Args:
        path: the file.
        dictionaries: selects columns to read as dictionaries, without decoding them.

    Raises:
        InvalidDataError: the file is corrupt; also raised for what the block reads.
    """
    # With a buffer and without pre-buffering, a row group is read in small parts instead of all at once.
    buffer_size = _REMOTE_BUFFER_BYTES if files.is_remote(path) else _BUFFER_BYTES
    with (
        corrupt_file_errors(path),
        _explaining_nulls(path),
        _source(path) as source,
        _open(source, buffer_size, dictionaries) as parquet,
    ):
        yield parquet


def _open(
    source: pa.NativeFile, buffer_size: int, dictionaries: Callable[[pq.FileMetaData], list[str]]
) -> pq.ParquetFile:
    """Open a file, whose footer is read once."""
    metadata = pq.ParquetFile(source, buffer_size=buffer_size, pre_buffer=False).metadata
    return pq.ParquetFile(
        source, metadata=metadata, buffer_size=buffer_size, pre_buffer=False, read_dictionary=dictionaries(metadata)
    )


@contextmanager
def _source(path: str) -> Iterator[str | pa.NativeFile]:
    """Open a file for Arrow, or return its path if Arrow can open it."""
    if files.is_remote(path):
        with open_arrow(path, open_ranges) as source:
            yield source
    elif _is_utf8(path):
        yield path
    else:
        with files.open_bytes(path) as raw:
            yield pa.PythonFile(raw, mode="r")


@contextmanager
def _explaining_nulls(path: str) -> Iterator[None]:
    """Explain the error of Arrow (25.0) on files that it writes but cannot read."""
    try:
        yield
    except pa.ArrowInvalid as error:
        if "Expected all lists to be of size" not in str(error):
            raise
        raise InvalidDataError(
            f"{path}: Arrow cannot read fixed-size lists if some are null; "
            "write them as lists of any length, or leave out the rows without a list"
        ) from error


def _is_utf8(path: str) -> bool:
    """Return whether Arrow can open a path itself: it encodes every path as UTF-8."""
    return path == escape_surrogates(path)
