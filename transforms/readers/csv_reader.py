"""CSV: parse text as in RFC 4180, with Python's ``csv`` module, one row at a time.

A new parser reads each row, with as many lines as it needs, so a malformed row does not affect the next: with
unbalanced quotes, only the row's first line is lost. A quote inside a field that does not start with one is an ordinary
character, as in ``7" single``.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from tracktokens.schemas.display import show_text, show_value
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers import text_stream
from tracktokens.transforms.readers.coercion import coerce_text
from tracktokens.transforms.readers.row_chunks import Chunk, batched, check_columns, ignored_columns, with_path_columns
from tracktokens.transforms.readers.text_stream import open_text

# The limit is global to the process, so it is only ever raised: a field may be as long as a row.
csv.field_size_limit(max(csv.field_size_limit(), text_stream.MAX_ROW_BYTES))

_MARK = "\ufeff"  # a second byte order mark
_DELIMITERS = (",", ";", "\t", "|")
"""Delimiters that exports use; of these, a column name does not contain any."""


@dataclass(frozen=True)
class CsvRow:
    """A row that is not blank.

    Attributes:
        text: its bytes with the line end; only the first line if quotes are unbalanced.
        fields: its fields, with bytes that are not UTF-8 as lone surrogates; None if the row is malformed.
        problem: cause of a malformed row, for people; empty otherwise.
    """

    text: bytes
    fields: list[str] | None
    problem: str = ""

    def __len__(self) -> int:
        return len(self.text)


def delimiter_of(path: str) -> str:
    """Return the delimiter of a file: a tab if its extension is ``.tsv``, otherwise a comma."""
    return "\t" if ".tsv" in path.lower()[-len(".tsv.bz2") :] else ","


def csv_rows(lines: Iterator[bytes], delimiter: str) -> Iterator[CsvRow]:
    """Parse lines, with their ends, into rows of any number of fields. Blank lines are skipped."""
    ahead = _LinesAhead(lines)
    for line in ahead:
        if line.strip(b"\r\n"):
            yield _row(line, ahead, delimiter)


def check_width(rows: Iterator[CsvRow], width: int) -> Iterator[CsvRow]:
    """Mark rows with a different number of fields as malformed; empty fields beyond the last column are dropped."""
    for row in rows:
        if row.fields is None or len(row.fields) == width:
            yield row
        elif len(row.fields) > width and not any(row.fields[width:]):
            yield replace(row, fields=row.fields[:width])
        else:
            problem = f"{len(row.fields)} columns instead of {width} in {show_text(row.text)}"
            yield replace(row, fields=None, problem=problem)


def csv_columns(path: str) -> list[str] | None:
    """Read the column names; None for a file without rows, which is empty and not an error.

    Raises:
        InvalidDataError: the file cannot be read, or its first row shows that it is not CSV with this delimiter.
    """
    with open_text(path) as text:
        names = _names(next(csv_rows(text.lines(), delimiter_of(path)), None))
    fault = None if names is None else _header_fault(names, delimiter_of(path))
    if fault is not None:
        raise InvalidDataError(f"{path}: {fault}")
    return names


def read_csv(path: str, schema: pa.Schema, batch_rows: int, path_columns: Collection[str] = ()) -> Iterator[Chunk]:
    """Read a file in chunks of at most ``batch_rows`` rows of ``schema``.

    ``path_columns`` are in the path of the file, so the file may lack them.

    Raises:
        InvalidDataError: the file as a whole cannot be read.
    """
    with open_text(path) as text:
        rows = csv_rows(text.lines(), delimiter_of(path))
        names = _names(next(rows, None))
        if names is None:
            return
        check_columns(with_path_columns(names, path_columns), path, schema)
        start = 0
        for batch in batched(check_width(rows, len(names)), batch_rows):
            yield _chunk(batch, start, names, schema)
            start += len(batch)


class _LinesAhead:
    """Lines that can be pushed back after a failed read ahead."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._returned: deque[bytes] = deque()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._returned.popleft() if self._returned else next(self._lines)

    def push_back(self, lines: Sequence[bytes]) -> None:
        self._returned.extendleft(reversed(lines))


def _row(line: bytes, ahead: _LinesAhead, delimiter: str) -> CsvRow:
    """Parse the row that starts with a line and ends in that line or a later one."""
    if len(line) > text_stream.MAX_ROW_BYTES:
        return CsvRow(line, None, f"the row is longer than {text_stream.MAX_ROW_BYTES} bytes")
    taken = [line]
    try:
        fields = next(csv.reader(_decoded(taken, ahead), delimiter=delimiter, strict=True))
    except csv.Error as error:
        ahead.push_back(taken[1:])
        return CsvRow(line, None, _malformed_cause(line, error))
    return CsvRow(b"".join(taken), fields)


def _decoded(taken: list[bytes], ahead: Iterator[bytes]) -> Iterator[str]:
    """Decode the first line of a row, then more lines as the parser asks for them, until the row is too long."""
    size = len(taken[0])
    yield taken[0].decode("utf-8", "surrogateescape")
    for line in ahead:
        taken.append(line)
        size += len(line)
        if size > text_stream.MAX_ROW_BYTES:
            return
        yield line.decode("utf-8", "surrogateescape")


def _malformed_cause(line: bytes, error: csv.Error) -> str:
    if "NUL" in str(error):  # Python 3.10 rejects it, later versions accept it
        return f"a NUL byte in {show_text(line)}"
    return f"unbalanced quotes in {show_text(line)}"


def _names(header: CsvRow | None) -> list[str] | None:
    if header is None:
        return None
    fields = [header.text] if header.fields is None else [_bytes(field) for field in header.fields]
    return [field.decode("utf-8", "backslashreplace").strip().lstrip(_MARK) for field in fields]


def _header_fault(names: Sequence[str], delimiter: str) -> str | None:
    """Describe why a first row cannot be column names, and what to do; None if it can."""
    if any("\0" in name for name in names):
        return "the column names contain NUL bytes, as in UTF-16; save it as UTF-8"
    if names[0].startswith("sep="):
        return f"the first line is {names[0]!r}, a note for Excel; remove it"
    if len(names) == 1 and any(other in names[0] for other in _DELIMITERS):
        fault = f"the only column is {show_value(names[0])}; write the file with {show_value(delimiter)} as delimiter"
        return fault + (", or name it .tsv" if "\t" in names[0] else "")
    return None


def _chunk(rows: list[CsvRow], start: int, names: list[str], schema: pa.Schema) -> Chunk:
    good = [row.fields for row in rows if row.fields is not None]
    numbers = [number for number, row in enumerate(rows, start) if row.fields is not None]
    malformed = [(number, row.problem) for number, row in enumerate(rows, start) if row.fields is None]
    cells = dict(zip(names, zip(*good, strict=True) if good else [()] * len(names), strict=True))
    columns = {
        field.name: coerce_text(_text_column(cells[field.name]), field) for field in schema if field.name in cells
    }
    return Chunk(columns, numbers, malformed, ignored_columns(names, schema))


def _text_column(cells: Sequence[str]) -> pa.BinaryArray:
    return pa.array([_bytes(cell) if cell else None for cell in cells], pa.binary())


def _bytes(field: str) -> bytes:
    return field.encode("utf-8", "surrogateescape")
