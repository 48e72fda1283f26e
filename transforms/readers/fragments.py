"""Fragments: split the files of an input table into units of reading, and check the table before a run.

A fragment is a row group of a Parquet file, or a whole CSV or JSON Lines file. Fragments are numbered in the order of
their paths, so a row's ``position`` is the same in every run over the same files.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain

import pyarrow as pa

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.listing.partitions import partition_values
from tracktokens.transforms.readers.csv_reader import csv_columns
from tracktokens.transforms.readers.file_discovery import CSV, JSONL, PARQUET, find_files, format_of
from tracktokens.transforms.readers.jsonl_reader import json_columns
from tracktokens.transforms.readers.parquet_reader import count_group_rows, parquet_columns
from tracktokens.transforms.readers.row_assembly import table_of
from tracktokens.transforms.readers.row_chunks import check_columns, required_columns, with_path_columns
from tracktokens.transforms.readers.row_estimates import estimate_text_rows

_IO_THREADS = 16


@dataclass(frozen=True)
class Fragment:
    """A unit of reading: one row group of a Parquet file, or one text file.

    Attributes:
        number: index in the order of all fragments, from 0.
        path: path of the file; absolute if it is local.
        format: ``"parquet"``, ``"csv"`` or ``"jsonl"``.
        row_group: row group of a Parquet file; None for text, and for a Parquet file without row groups.
        rows: number of rows: exact for Parquet, and an estimate for text (exact for a small file).
    """

    number: int
    path: str
    format: str
    row_group: int | None
    rows: int

    @property
    def path_values(self) -> dict[str, bytes | None]:
        """Columns in the folders of the path; see :func:`.partition_values`."""
        return partition_values(self.path)


def find_fragments(pattern: str, table: str) -> list[Fragment]:
    """Find the files of an input table with :func:`find_files`, and split them into numbered fragments.

    Args:
        pattern: a file, a folder or a glob, on any filesystem of Beam.
        table: name of the table in messages.

    Raises:
        UsageError: nothing matches, or no match has a known format.
        InvalidDataError: a file is corrupt.
    """
    files = find_files(pattern, table)
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        parts = list(threads.map(_parts, files))
    flat = [(path, *part) for (path, _), file_parts in zip(files, parts, strict=True) for part in file_parts]
    return [
        Fragment(number, path, format_of(path), row_group, rows) for number, (path, row_group, rows) in enumerate(flat)
    ]


def estimate_rows(fragments: Sequence[Fragment]) -> int:
    """Add up the rows of fragments: exact for Parquet, estimated from 4 MiB of text per file otherwise.

    The estimate is deterministic. Only the beginning of a compressed file is sampled: the estimate is biased if the
    beginning differs from the rest, and a few percent low.
    """
    return sum(fragment.rows for fragment in fragments)


def check_table(fragments: Sequence[Fragment], schema: pa.Schema) -> list[str]:
    """Check before a run that every file has the required columns, and return the columns of all files.

    Args:
        fragments: all fragments of a table.
        schema: ``TRACKS`` or ``PLAYLISTS``.

    Raises:
        InvalidDataError: a file lacks the id column (for playlists, also ``track_ids``), has a column of the schema
            twice or is corrupt; or the table has no rows.
    """
    paths = list(dict.fromkeys(fragment.path for fragment in fragments))
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        columns = list(threads.map(partial(_check_file, schema=schema), paths))
    if estimate_rows(fragments) == 0:
        first = f" ({paths[0]})" if paths else ""
        raise InvalidDataError(f"the {table_of(schema)} table has no rows{first}; give a table with at least one row")
    return list(dict.fromkeys(chain.from_iterable(columns)))


def _parts(file: tuple[str, int]) -> list[tuple[int | None, int]]:
    """List (row group, rows) of the fragments of one file."""
    path, size = file
    if format_of(path) != PARQUET:
        return [(None, estimate_text_rows(path, size))]
    # A file without row groups is kept, so that its columns are checked too.
    return list(enumerate(count_group_rows(path))) or [(None, 0)]


def _check_file(path: str, schema: pa.Schema) -> list[str]:
    path_columns = partition_values(path)
    columns = _columns(path, [name for name in required_columns(schema) if name not in path_columns])
    if columns is None:
        return []
    complete = with_path_columns(columns, path_columns)
    check_columns(complete, path, schema)
    return complete


def _columns(path: str, required: Sequence[str]) -> list[str] | None:
    if format_of(path) == JSONL:
        return json_columns(path, required)
    return {PARQUET: parquet_columns, CSV: csv_columns}[format_of(path)](path)
