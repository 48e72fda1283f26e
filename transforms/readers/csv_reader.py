"""CSV: text as RFC 4180 has it, taken apart by Python's ``csv`` module one row at a time.

The module is asked for each row by itself and takes as many lines as it needs. So a row that it refuses costs only
itself: where the quotes do not pair, the row's first line. A quote inside a field that does not start with one is an
ordinary character, as in ``7" single``.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from tracktokens.transforms.readers import text_stream
from tracktokens.transforms.readers.coercion import conform_text
from tracktokens.transforms.readers.row_chunks import Chunk, batched, check_columns, ignored_columns
from tracktokens.transforms.readers.text_stream import open_text, shown_text

# The limit holds for the whole process, so it is only ever raised: a field may be as long as a row.
csv.field_size_limit(max(csv.field_size_limit(), text_stream.MAX_ROW_BYTES))


@dataclass(frozen=True)
class CsvRow:
    """A row that is not blank.

    Attributes:
        text: all of it, with its line end; where the quotes do not pair, its first line.
        fields: its fields, where bytes that are not UTF-8 are lone surrogates; None where the row is malformed.
        problem: why it is malformed, for people; empty where it is not.
    """

    text: bytes
    fields: list[str] | None
    problem: str = ""

    def __len__(self) -> int:
        return len(self.text)


def delimiter_of(path: str) -> str:
    """Tell what stands between the fields of a file: a tab where its ending is ``.tsv``, or else a comma."""
    return "\t" if ".tsv" in path.lower()[-len(".tsv.bz2") :] else ","


def csv_rows(lines: Iterator[bytes], delimiter: str) -> Iterator[CsvRow]:
    """Parse lines, with their ends, to rows of any number of fields. Blank lines are no rows."""
    ahead = _LinesAhead(lines)
    for line in ahead:
        if line.strip(b"\r\n"):
            yield _row(line, ahead, delimiter)


def of_width(rows: Iterator[CsvRow], width: int) -> Iterator[CsvRow]:
    """Make rows malformed that have another number of fields."""
    for row in rows:
        if row.fields is None or len(row.fields) == width:
            yield row
        else:
            problem = f"{len(row.fields)} columns instead of {width} in {shown_text(row.text)}"
            yield replace(row, fields=None, problem=problem)


def csv_columns(path: str) -> list[str] | None:
    """Read the names of the columns; None for a file without a row, which is empty rather than wrong.

    Raises:
        InvalidDataError: when the file cannot be read.
    """
    with open_text(path) as text:
        return _names(next(csv_rows(text.lines(), delimiter_of(path)), None))


def read_csv(path: str, schema: pa.Schema, batch_rows: int) -> Iterator[Chunk]:
    """Read a file in chunks of at most ``batch_rows`` rows of ``schema``.

    Raises:
        InvalidDataError: when the file as a whole cannot be read.
    """
    with open_text(path) as text:
        rows = csv_rows(text.lines(), delimiter_of(path))
        names = _names(next(rows, None))
        if names is None:
            return
        check_columns(names, path, schema)
        start = 0
        for batch in batched(of_width(rows, len(names)), batch_rows):
            yield _chunk(batch, start, names, schema)
            start += len(batch)


class _LinesAhead:
    """Lines, of which those that were read ahead in vain can be given back."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._returned: deque[bytes] = deque()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._returned.popleft() if self._returned else next(self._lines)

    def give_back(self, lines: Sequence[bytes]) -> None:
        self._returned.extendleft(reversed(lines))


def _row(line: bytes, ahead: _LinesAhead, delimiter: str) -> CsvRow:
    """Parse the row that starts with a line, and ends in it or in one of those ahead."""
    if len(line) > text_stream.MAX_ROW_BYTES:
        return CsvRow(line, None, f"the row is longer than {text_stream.MAX_ROW_BYTES} bytes")
    taken = [line]
    try:
        fields = next(csv.reader(_decoded(taken, ahead), delimiter=delimiter, strict=True))
    except csv.Error as error:
        ahead.give_back(taken[1:])
        return CsvRow(line, None, _why_malformed(line, error))
    return CsvRow(b"".join(taken), fields)


def _decoded(taken: list[bytes], ahead: Iterator[bytes]) -> Iterator[str]:
    """Decode the first line of a row, and as long as the parser asks for more, the next, until the row is too long."""
    size = len(taken[0])
    yield taken[0].decode("utf-8", "surrogateescape")
    for line in ahead:
        taken.append(line)
        size += len(line)
        if size > text_stream.MAX_ROW_BYTES:
            return
        yield line.decode("utf-8", "surrogateescape")


def _why_malformed(line: bytes, error: csv.Error) -> str:
    if "NUL" in str(error):  # Python 3.10 takes none; later ones do
        return f"there is a NUL byte in {shown_text(line)}"
    return f"the quotes do not pair in {shown_text(line)}"


def _names(header: CsvRow | None) -> list[str] | None:
    if header is None:
        return None
    fields = [header.text] if header.fields is None else [_bytes(field) for field in header.fields]
    return [field.decode("utf-8", "backslashreplace").strip() for field in fields]


def _chunk(rows: list[CsvRow], start: int, names: list[str], schema: pa.Schema) -> Chunk:
    good = [row.fields for row in rows if row.fields is not None]
    numbers = [number for number, row in enumerate(rows, start) if row.fields is not None]
    malformed = [(number, row.problem) for number, row in enumerate(rows, start) if row.fields is None]
    cells = dict(zip(names, zip(*good, strict=True) if good else [()] * len(names), strict=True))
    columns = {
        field.name: conform_text(_text_column(cells[field.name]), field) for field in schema if field.name in cells
    }
    return Chunk(columns, numbers, malformed, ignored_columns(names, schema))


def _text_column(cells: Sequence[str]) -> pa.BinaryArray:
    return pa.array([_bytes(cell) if cell else None for cell in cells], pa.binary())


def _bytes(field: str) -> bytes:
    return field.encode("utf-8", "surrogateescape")
