"""Row sizes: the text of each row of a Parquet batch, before it is decoded, and limits on what a small file may hold.

A value that is in a dictionary once, or that is compressed well, can fill the memory out of a few kilobytes of file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracktokens.schemas.display import printable
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers import text_stream
from tracktokens.transforms.readers.list_arrays import list_lengths
from tracktokens.transforms.readers.row_chunks import BATCH_BYTES
from tracktokens.transforms.values.arrow_types import is_list, is_text

Sizes = npt.NDArray[np.int64]

MAX_CHUNK_VALUES = 1 << 27
"""Values, with the elements of lists, of one column in one row group: a run of equal ones takes no room in the file."""

LARGE_CHUNK_BYTES = 1 << 28
"""Bytes of a column in a row group from which its compression is checked."""

MAX_COMPRESSION = 500
"""Bytes of text per byte of file. Columns of music catalogs have less than 100; one letter repeated has 30,000."""


def check_row_group(group: pq.RowGroupMetaData, path: str, columns: Collection[str]) -> None:
    """Check the sizes that a file states for the columns to read, before anything is decompressed.

    Raises:
        InvalidDataError: a column has too many values, too much text per row, or hardly any information.
    """
    for number in range(group.num_columns):
        chunk = group.column(number)
        name = chunk.path_in_schema.partition(".")[0]
        if name in columns and (fault := _fault(chunk, group.num_rows)):
            raise InvalidDataError(f"{printable(path)}: the column {printable(name)} has {fault}")


def _fault(chunk: pq.ColumnChunkMetaData, rows: int) -> str | None:
    size, limit = chunk.total_uncompressed_size, text_stream.MAX_ROW_BYTES
    if chunk.num_values > MAX_CHUNK_VALUES:
        return f"{chunk.num_values} values in a row group, over {MAX_CHUNK_VALUES}: write smaller row groups"
    if size > LARGE_CHUNK_BYTES and size > rows * limit:
        return f"{size} bytes in {rows} rows, over {limit} per row: shorten its values"
    if size > LARGE_CHUNK_BYTES and size > MAX_COMPRESSION * chunk.total_compressed_size:
        return (
            f"{size} bytes out of {chunk.total_compressed_size} in the file: shorten its values, or write it as it was"
        )
    return None


def dictionary_columns(group: pq.RowGroupMetaData) -> list[str]:
    """List the text columns that are in a dictionary, as Arrow names them: they are read without being decoded."""
    chunks = (group.column(number) for number in range(group.num_columns))
    return [
        chunk.path_in_schema
        for chunk in chunks
        if chunk.physical_type == "BYTE_ARRAY" and any("DICTIONARY" in encoding for encoding in chunk.encodings)
    ]


def text_bytes(batch: pa.RecordBatch) -> Sizes:
    """Sum the bytes of text of each row: int64 (rows,)."""
    return sum(map(_sizes, batch.columns), np.zeros(batch.num_rows, np.int64))


def split_rows(sizes: Sizes) -> Iterator[slice]:
    """Divide rows into slices of at most ``BATCH_BYTES`` of text, or of one row.

    Args:
        sizes: bytes of each row: int64 (rows,).
    """
    start, total = 0, 0
    for row, size in enumerate(sizes.tolist()):
        if row > start and total + size > BATCH_BYTES:
            yield slice(start, row)
            start, total = row, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def _sizes(column: pa.Array) -> Sizes:
    if isinstance(column, pa.ExtensionArray):
        return _sizes(column.storage)
    if isinstance(column, pa.DictionaryArray):
        return _lengths(column.dictionary, column.indices)
    if is_text(column.type):
        return _lengths(column)
    if is_list(column.type):
        ends = np.concatenate([[0], np.cumsum(_sizes(column.flatten()))])
        rows = np.concatenate([[0], np.cumsum(list_lengths(column))])
        sizes: Sizes = np.diff(ends[rows])
        return sizes
    return np.zeros(len(column), np.int64)


def _lengths(values: pa.Array, indices: pa.Array | None = None) -> Sizes:
    """Return the bytes of each value, or of the value of each index: int64; 0 for null and for what is not text."""
    if not is_text(values.type):
        return np.zeros(len(values if indices is None else indices), np.int64)
    lengths = pc.binary_length(values.cast(pa.large_binary()))
    picked = lengths if indices is None else lengths.take(indices)
    sizes: Sizes = pc.fill_null(picked, 0).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return sizes
