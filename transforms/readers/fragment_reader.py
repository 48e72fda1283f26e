"""Fragment reader: read a fragment of an input table as batches of rows and rejects.

* Parquet: ``.parquet``, ``.pq``.
* CSV as in RFC 4180: ``.csv``, and with tabs ``.tsv``. The first row contains the column names; an empty field is null;
  a quoted field may contain line breaks. White space around a column name is ignored.
* JSON Lines, one object per line: ``.jsonl``, ``.ndjson``, ``.json``. ``NaN`` is read as null.

CSV and JSON Lines are UTF-8, with or without a byte order mark, and may be compressed: ``.gz``, ``.bz2``, ``.zst``.
Blank lines are skipped. A row that cannot be parsed is a ``malformed_row`` reject and does not affect other rows: of a
CSV row with unbalanced quotes, only the first line is lost.

A column that a file lacks is read from its path if a folder is named ``column=value``; the text is coerced as in CSV.
In JSON Lines the path fills in each row that lacks the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.display import escape_surrogates
from tracktokens.schemas.tables.rejects import MALFORMED_ROW, READ, make_rejects
from tracktokens.schemas.tables.tracks import POSITION_SHIFT
from tracktokens.transforms.readers.coercion import CoercedColumn, coerce_text
from tracktokens.transforms.readers.csv_reader import read_csv
from tracktokens.transforms.readers.file_discovery import CSV, JSONL
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.readers.jsonl_reader import read_json_lines
from tracktokens.transforms.readers.parquet_reader import read_row_group
from tracktokens.transforms.readers.row_assembly import ColumnCounts, Reject, assemble_rows, table_of
from tracktokens.transforms.readers.row_chunks import Chunk, ignored_columns, misnamed_columns


@dataclass(frozen=True)
class ScanBatch:
    """Consecutive rows of a fragment.

    Attributes:
        rows: batch of ``SCANNED_TRACKS`` or ``SCANNED_PLAYLISTS``; the id may still be null or blank.
        rejects: batch of ``REJECTS``, stage ``read``.
        rows_read: input rows: ``rows``, and rows that were rejected as a whole.
        ignored_columns: columns of the input that the schema does not have.
        misnamed_columns: ignored column to the column of the schema that it probably means, and that is missing or
            mostly null.
        columns: counts of the values of each column, without the id.
    """

    rows: pa.RecordBatch
    rejects: pa.RecordBatch
    rows_read: int
    ignored_columns: tuple[str, ...]
    misnamed_columns: Mapping[str, str]
    columns: Mapping[str, ColumnCounts]


def read_fragment(fragment: Fragment, schema: pa.Schema, batch_rows: int = 4096) -> Iterator[ScanBatch]:
    """Read a fragment in batches of at most ``batch_rows`` input rows, in order.

    Args:
        fragment: the fragment.
        schema: ``TRACKS`` or ``PLAYLISTS``. Its columns that the input lacks become null.
        batch_rows: input rows per batch, malformed rows included; a batch of very long rows has fewer.

    Raises:
        InvalidDataError: the file as a whole cannot be read.
    """
    for chunk in _chunks(fragment, schema, batch_rows):
        yield _scan_batch(chunk, fragment, schema)


def _chunks(fragment: Fragment, schema: pa.Schema, batch_rows: int) -> Iterator[Chunk]:
    path_columns = fragment.path_values
    if fragment.format == CSV:
        return read_csv(fragment.path, schema, batch_rows, path_columns)
    if fragment.format == JSONL:
        return read_json_lines(fragment.path, schema, batch_rows)
    if fragment.row_group is None:  # a Parquet file without row groups
        return iter(())
    return read_row_group(fragment.path, fragment.row_group, schema, batch_rows, path_columns)


def _with_path_values(chunk: Chunk, fragment: Fragment, schema: pa.Schema) -> Chunk:
    """Fill in the columns of the path that the file lacks; in JSON Lines, the values that a row lacks."""
    values = fragment.path_values
    filled = {
        field.name: _fill(chunk.columns.get(field.name), len(chunk.rows), values[field.name], field)
        for field in schema
        if field.name in values and (field.name not in chunk.columns or fragment.format == JSONL)
    }
    ignored = tuple(dict.fromkeys([*chunk.ignored, *ignored_columns(values, schema)]))
    return replace(chunk, columns={**chunk.columns, **filled}, ignored=ignored)


def _fill(column: CoercedColumn | None, rows: int, value: bytes | None, field: pa.Field) -> CoercedColumn:
    """Fill the values that are absent, and were not lost, with a value of the path, which is coerced as CSV is."""
    lost = [] if column is None else [problem.row for problem in column.problems]
    absent = np.ones(rows, np.bool_) if column is None else column.column.is_null().to_numpy(zero_copy_only=False)
    absent[lost] = False
    text = [value if is_absent else None for is_absent in absent.tolist()]
    filled = coerce_text(pa.array(text, pa.binary()), field)
    if column is None:
        return filled
    merged = pc.if_else(pa.array(absent), filled.column, column.column)
    return replace(column, column=merged, problems=column.problems + filled.problems)


def _scan_batch(chunk: Chunk, fragment: Fragment, schema: pa.Schema) -> ScanBatch:
    chunk = _with_path_values(chunk, fragment, schema) if fragment.path_values else chunk
    rows = np.asarray(chunk.rows, np.int64)
    positions = (fragment.number << POSITION_SHIFT) + rows
    assembled = assemble_rows(chunk.columns, schema, positions, lambda row: _row_name(fragment, int(rows[row])))
    malformed: list[Reject] = [
        {
            "table": table_of(schema),
            "stage": READ,
            "reason": MALFORMED_ROW,
            "detail": f"{_row_name(fragment, row)}: {detail}",
        }
        for row, detail in chunk.malformed
    ]
    return ScanBatch(
        rows=assembled.rows,
        rejects=make_rejects(malformed + assembled.rejects),
        rows_read=len(rows) + len(malformed),
        ignored_columns=chunk.ignored,
        misnamed_columns=misnamed_columns(chunk.ignored, _filled_columns(chunk), schema),
        columns=assembled.columns,
    )


def _filled_columns(chunk: Chunk) -> list[str]:
    """List the columns that are not mostly null: a row of JSON may lack a key that other rows have."""
    return [name for name, column in chunk.columns.items() if 2 * column.column.null_count <= len(column.column)]


def _row_name(fragment: Fragment, row: int) -> str:
    """Name a row for people: file, row group, and row number from 1 without the header."""
    group = "" if fragment.row_group is None else f", row group {fragment.row_group + 1}"
    return escape_surrogates(f"{fragment.path.rpartition('/')[2]}{group}, row {row + 1}")
