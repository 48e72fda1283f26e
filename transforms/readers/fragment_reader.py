"""Reading: every fragment of an input table as batches of rows and rejects.

* Parquet: ``.parquet``, ``.pq``.
* CSV as RFC 4180 has it: ``.csv``, and with tabs ``.tsv``. The first row names the columns; an empty field is null;
  a quoted field may hold line breaks. White space around a column's name does not count.
* JSON Lines, one object a line: ``.jsonl``, ``.ndjson``, ``.json``. ``NaN`` is taken as null.

CSV and JSON Lines are UTF-8, with or without a byte order mark, and may be compressed: ``.gz``, ``.bz2``, ``.zst``.
Blank lines are no rows. A row that cannot be taken apart is a ``malformed_row`` reject and costs only itself: a CSV row
whose quotes do not pair costs its first line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tracktokens.schemas.tables.rejects import MALFORMED_ROW, READ, make_rejects
from tracktokens.schemas.tables.tracks import POSITION_SHIFT
from tracktokens.transforms.readers.coercion import Reject, conform_rows, encodable, table_of
from tracktokens.transforms.readers.csv_reader import read_csv
from tracktokens.transforms.readers.file_discovery import CSV, JSONL
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.readers.jsonl_reader import read_json_lines
from tracktokens.transforms.readers.parquet_reader import read_row_group
from tracktokens.transforms.readers.row_chunks import Chunk


@dataclass(frozen=True)
class ScanBatch:
    """Consecutive rows of a fragment.

    Attributes:
        rows: batch of ``SCANNED_TRACKS`` or ``SCANNED_PLAYLISTS``; the id may still be null or blank.
        rejects: batch of ``REJECTS``, stage ``read``.
        rows_read: rows that the input had here: ``rows`` and those that a reject lost whole.
        ignored_columns: columns of the input that the schema does not have.
    """

    rows: pa.RecordBatch
    rejects: pa.RecordBatch
    rows_read: int
    ignored_columns: tuple[str, ...]


def read_fragment(fragment: Fragment, schema: pa.Schema, batch_rows: int = 4096) -> Iterator[ScanBatch]:
    """Read a fragment in batches of at most ``batch_rows`` rows of the input, in its order.

    Args:
        fragment: what to read.
        schema: ``TRACKS`` or ``PLAYLISTS``. Columns of it that the input lacks become null.
        batch_rows: rows of the input, malformed ones too, in a batch; a batch of very long rows ends earlier.

    Raises:
        InvalidDataError: when the file as a whole cannot be read.
    """
    for chunk in _chunks(fragment, schema, batch_rows):
        yield _scan_batch(chunk, fragment, schema)


def _chunks(fragment: Fragment, schema: pa.Schema, batch_rows: int) -> Iterator[Chunk]:
    if fragment.format == CSV:
        return read_csv(fragment.path, schema, batch_rows)
    if fragment.format == JSONL:
        return read_json_lines(fragment.path, schema, batch_rows)
    if fragment.row_group is None:  # a Parquet file that has none
        return iter(())
    return read_row_group(fragment.path, fragment.row_group, schema, batch_rows)


def _scan_batch(chunk: Chunk, fragment: Fragment, schema: pa.Schema) -> ScanBatch:
    rows = np.asarray(chunk.rows, np.int64)
    conformed = conform_rows(
        chunk.columns, schema, (fragment.number << POSITION_SHIFT) + rows, lambda row: _where(fragment, int(rows[row]))
    )
    malformed: list[Reject] = [
        {
            "table": table_of(schema),
            "stage": READ,
            "reason": MALFORMED_ROW,
            "detail": f"{_where(fragment, row)}: {detail}",
        }
        for row, detail in chunk.malformed
    ]
    return ScanBatch(
        conformed.rows, make_rejects(malformed + conformed.rejects), len(rows) + len(malformed), chunk.ignored
    )


def _where(fragment: Fragment, row: int) -> str:
    """Name a row for people, who count from 1 and leave out a header."""
    group = "" if fragment.row_group is None else f", row group {fragment.row_group + 1}"
    return encodable(f"{fragment.path.rpartition('/')[2]}{group}, row {row + 1}")
