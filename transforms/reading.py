"""Reading: the files of an input table, split into fragments, and every fragment as batches of rows and rejects.

A fragment is what one worker reads: a row group of a Parquet file, or a whole CSV or JSON Lines file. Fragments are
numbered in the order of their paths, so a row's ``position`` is the same in every run over the same files.

* Parquet: ``.parquet``, ``.pq``.
* CSV as RFC 4180 has it: ``.csv``, and with tabs ``.tsv``. The first row names the columns; an empty field is null;
  a quoted field may hold line breaks. White space around a column's name does not count.
* JSON Lines, one object a line: ``.jsonl``, ``.ndjson``, ``.json``. ``NaN`` is taken as null.

CSV and JSON Lines are UTF-8, with or without a byte order mark, and may be compressed: ``.gz``, ``.bz2``, ``.zst``.
Blank lines are no rows. A row that cannot be taken apart is a ``malformed_row`` reject and costs only itself: a CSV row
whose quotes do not pair costs its first line.
"""

from __future__ import annotations

import glob
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.schemas.errors import DataRefusedError, UsageError
from tracktokens.schemas.rejects import MALFORMED_ROW, READ, make_rejects
from tracktokens.schemas.tracks import POSITION_SHIFT
from tracktokens.transforms.conforming import (
    Conformed,
    Reject,
    conform,
    conform_rows,
    conform_text,
    conform_values,
    encodable,
    shown,
    table_of,
)

PARQUET, CSV, JSONL = "parquet", "csv", "jsonl"

FORMAT_OF_ENDING = {
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".csv": CSV,
    ".tsv": CSV,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".json": JSONL,
}
CODEC_OF_ENDING = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}

MAX_ROW_BYTES = 8 << 20
"""A longer row of CSV or JSON Lines is malformed, so that a missing quote or line break cannot fill the memory."""

_BLOCK_BYTES = 1 << 20
_BATCH_BYTES = 32 << 20  # a batch of text ends early here, however few its rows
_SAMPLE_BYTES = 4 << 20
_CHECKED_LINES = 100
_IO_THREADS = 16
_ENDINGS_HINT = f"use {', '.join(FORMAT_OF_ENDING)}; text may also end in {', '.join(CODEC_OF_ENDING)} after that"


@dataclass(frozen=True)
class Fragment:
    """A part of an input table that is read in one go.

    Attributes:
        number: place in the order of all fragments, from 0.
        path: file, absolute where it is local.
        format: ``"parquet"``, ``"csv"`` or ``"jsonl"``.
        row_group: row group of a Parquet file; None for text, and for a Parquet file that has none.
        rows: rows in it: exact for Parquet, for text an estimate (exact where the file is small).
    """

    number: int
    path: str
    format: str
    row_group: int | None
    rows: int


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


# Finding


def find_fragments(pattern: str, table: str) -> list[Fragment]:
    """Find the files of an input table and split them into numbered fragments.

    A folder counts with all folders below it (links to folders are not followed). In a folder and for a glob (``*``,
    ``?``, ``[...]``, and ``**`` across folders), names that start with ``_`` or ``.`` and unknown endings are skipped.

    Args:
        pattern: a file, a folder or a glob, on any filesystem of Beam.
        table: what the table is called in messages.

    Raises:
        UsageError: when nothing is there, or nothing that can be read.
        DataRefusedError: when a file is corrupt.
    """
    files = _usable_files(pattern, table)
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        parts = list(threads.map(_parts, files))
    flat = [(path, *part) for (path, _), found in zip(files, parts, strict=True) for part in found]
    return [
        Fragment(number, path, _format_of(path) or "", row_group, rows)
        for number, (path, row_group, rows) in enumerate(flat)
    ]


def estimate_rows(fragments: Sequence[Fragment]) -> int:
    """Add up the rows of fragments: exact for Parquet, estimated from the first 4 MiB of text of each other file.

    The same files give the same estimate. It is as good as a file's beginning is like the rest of it, and some percent
    low for a compressed file, as the decompressor has read up to 64 KiB ahead of the text that it gave out.
    """
    return sum(fragment.rows for fragment in fragments)


def _usable_files(pattern: str, table: str) -> list[tuple[str, int]]:
    """List (path, bytes), sorted by path."""
    found, explicit = _match(pattern, table)
    if not found:
        raise UsageError(f"no such file or folder: {pattern}; give the {table} table as a file, a folder or a glob")
    usable = sorted(file for file in found if _format_of(file[0]))
    if not usable and explicit:
        raise UsageError(f"{pattern}: its ending tells no format that the {table} table may have; {_ENDINGS_HINT}")
    if not usable:
        raise UsageError(f"{pattern} holds no file of the {table} table; {_ENDINGS_HINT}")
    return usable


def _match(pattern: str, table: str) -> tuple[list[tuple[str, int]], bool]:
    """List (path, bytes) of what a pattern names, and whether it names one file."""
    try:
        if "://" not in pattern:
            return _match_local(pattern)
        return _match_remote(pattern)
    except ValueError as error:  # Beam knows no such filesystem, or the path holds a NUL byte
        raise UsageError(f"cannot look for the {table} table at {shown(pattern)}: {error}") from error


def _match_local(pattern: str) -> tuple[list[tuple[str, int]], bool]:
    named = Path(pattern).absolute()  # workers may run in another folder
    if named.is_file():
        return [(str(named), named.stat().st_size)], True
    if named.is_dir():
        found = _visible(_beam_match(f"{_without_wildcards(named)}/**"), str(named))
    else:
        here = Path.cwd()
        wanted = os.path.normpath(_without_wildcards(here) / pattern)
        found = _visible(_beam_match(wanted), os.path.normpath(here / _fixed_part(pattern)))
    return [file for file in found if Path(file[0]).is_file()], False  # a named pipe would be waited for without end


def _without_wildcards(folder: Path) -> Path:
    # Beam cannot quote a wildcard in a folder's name; what else its place may hold is filtered out after.
    return Path(re.sub(r"[*?\[]", "?", str(folder)))


def _match_remote(pattern: str) -> tuple[list[tuple[str, int]], bool]:
    if not glob.has_magic(pattern):
        exact = _beam_match(pattern) if not pattern.endswith("/") else []
        below = [] if exact else _beam_match(pattern.rstrip("/") + "/**")
        return exact or _visible(below, pattern), bool(exact)
    return _visible(_beam_match(pattern), _fixed_part(pattern)), False


def _beam_match(pattern: str) -> list[tuple[str, int]]:
    from apache_beam.io.filesystems import FileSystems

    (matched,) = FileSystems.match([pattern])  # type: ignore[no-untyped-call]
    return [(file.path, file.size_in_bytes) for file in matched.metadata_list]


def _fixed_part(pattern: str) -> str:
    wild = re.search(r"[*?\[]", pattern)
    return pattern[: wild.start()].rpartition("/")[0] if wild else pattern.rpartition("/")[0]


def _visible(files: Iterable[tuple[str, int]], folder: str) -> list[tuple[str, int]]:
    """Keep files below ``folder`` where no name from there on starts with ``_`` or ``.``, as markers and drafts do."""
    start = len(folder.rstrip("/"))
    below = [file for file in files if file[0].startswith(folder)]
    return [file for file in below if not any(name.startswith(("_", ".")) for name in file[0][start:].split("/"))]


def _format_of(path: str) -> str | None:
    *_, ending = endings = ["", *PurePosixPath(path.lower()).suffixes]
    if ending not in CODEC_OF_ENDING:
        return FORMAT_OF_ENDING.get(ending)
    kind = FORMAT_OF_ENDING.get(endings[-2])
    return None if kind == PARQUET else kind


def _parts(file: tuple[str, int]) -> list[tuple[int | None, int]]:
    """List (row group, rows) of the fragments of one file."""
    path, size = file
    if _format_of(path) != PARQUET:
        return [(None, _estimate_text_rows(path, size))]
    with _opened_parquet(path) as parquet:
        groups = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
    # A file without row groups stays in the list, so that its columns are checked like any other's.
    return list(enumerate(groups)) if groups else [(None, 0)]


def _estimate_text_rows(path: str, size: int) -> int:
    """Count the rows of a file, or of its beginning and go on from the share of the text that they take."""
    with _opened_text(path) as (stream, consumed):
        lengths: list[int] = []
        rows = _text_rows(path, _measured(_decoded_blocks(stream, path), lengths))
        if _format_of(path) == CSV:
            next(rows, None)
        count = seen = 0
        for row in rows:
            count += 1
            seen += len(row.rstrip(b"\n")) + 1  # lines of JSON come without their ends
            if seen >= _SAMPLE_BYTES:
                return max(1, round(count / seen * size * sum(lengths) / consumed()))
    return count


def _measured(blocks: Iterable[bytes], lengths: list[int]) -> Iterator[bytes]:
    for block in blocks:
        lengths.append(len(block))
        yield block


# Checking


def check_table(fragments: Sequence[Fragment], schema: pa.Schema) -> None:
    """Check before a run that the columns without which it makes no sense are there, in every file.

    Args:
        fragments: all fragments of a table.
        schema: ``TRACKS`` or ``PLAYLISTS``.

    Raises:
        DataRefusedError: when a file lacks the id column (for playlists, also ``track_ids``), has a column of the
            schema twice or is corrupt, or when the table has no rows.
    """
    paths = list(dict.fromkeys(fragment.path for fragment in fragments))
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        list(threads.map(partial(_check_file, schema=schema), paths))
    if estimate_rows(fragments) == 0:
        first = f" ({paths[0]})" if paths else ""
        raise DataRefusedError(f"the {table_of(schema)} table has no rows{first}; give one with at least one row")


def _check_file(path: str, schema: pa.Schema) -> None:
    columns = {PARQUET: _parquet_columns, CSV: _csv_columns, JSONL: _json_columns}[_format_of(path) or ""](path)
    if columns is not None:
        _check_columns(columns, path, schema)


def _check_columns(columns: Sequence[str], path: str, schema: pa.Schema) -> None:
    twice = [name for name, count in Counter(columns).items() if count > 1 and name in schema.names]
    if twice:
        raise DataRefusedError(f"{path} has the column {twice[0]} more than once; rename or drop all but one")
    for name in _required(schema):
        if name not in columns:
            there = ", ".join(encodable(column) for column in columns)
            raise DataRefusedError(
                f"{path} has no column {name}; its columns are {there}; rename the one that holds it"
            )


def _required(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if not field.nullable or field.name == "track_ids"]


def _parquet_columns(path: str) -> list[str]:
    with _opened_parquet(path) as parquet:
        return list(parquet.schema_arrow.names)


def _csv_columns(path: str) -> list[str] | None:
    """Read the header; None for a file without a row, which is empty rather than wrong."""
    with _opened_text(path) as (stream, _):
        header = next(_text_rows(path, _decoded_blocks(stream, path)), None)
    return None if header is None else _header(header, _delimiter(path))


def _json_columns(path: str) -> list[str] | None:
    """Collect the keys of the first lines; None for a file without a row."""
    with _opened_text(path) as (stream, _):
        lines = list(islice(_text_rows(path, _decoded_blocks(stream, path)), _CHECKED_LINES))
    objects = [parsed for parsed in map(_parse_json, lines) if isinstance(parsed, dict)]
    if lines and not objects:
        raise DataRefusedError(
            f"{path} has no JSON object in its first {len(lines)} lines; write one object a line (JSON Lines)"
        )
    return list(dict.fromkeys(key for keys in objects for key in keys)) if lines else None


# Reading


@dataclass(frozen=True)
class _Chunk:
    """Rows of a fragment with typed columns, by their numbers in the fragment, and what was malformed between them."""

    columns: dict[str, Conformed]
    rows: list[int] | range
    malformed: list[tuple[int, str]]
    ignored: tuple[str, ...]


def read_fragment(fragment: Fragment, schema: pa.Schema, batch_rows: int = 4096) -> Iterator[ScanBatch]:
    """Read a fragment in batches of at most ``batch_rows`` rows of the input, in its order.

    Args:
        fragment: what to read.
        schema: ``TRACKS`` or ``PLAYLISTS``. Columns of it that the input lacks become null.
        batch_rows: rows of the input, malformed ones too, in a batch; a batch of very long rows ends earlier.

    Raises:
        DataRefusedError: when the file as a whole cannot be read.
    """
    read = {PARQUET: _read_parquet, CSV: _read_csv, JSONL: _read_json}[fragment.format]
    for chunk in read(fragment, schema, batch_rows):
        yield _scan_batch(chunk, fragment, schema)


def _scan_batch(chunk: _Chunk, fragment: Fragment, schema: pa.Schema) -> ScanBatch:
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


def _read_parquet(fragment: Fragment, schema: pa.Schema, batch_rows: int) -> Iterator[_Chunk]:
    if fragment.row_group is None:
        return
    with _opened_parquet(fragment.path) as parquet:
        names = parquet.schema_arrow.names
        _check_columns(names, fragment.path, schema)
        wanted = [field for field in schema if field.name in names]
        start = 0
        for batch in parquet.iter_batches(
            batch_rows, [fragment.row_group], [field.name for field in wanted], use_threads=False
        ):
            columns = {field.name: conform(batch.column(field.name), field) for field in wanted}
            yield _Chunk(columns, range(start, start + batch.num_rows), [], _ignored(names, schema))
            start += batch.num_rows


def _read_csv(fragment: Fragment, schema: pa.Schema, batch_rows: int) -> Iterator[_Chunk]:
    with _opened_text(fragment.path) as (stream, _):
        rows = _text_rows(fragment.path, _decoded_blocks(stream, fragment.path))
        header = next(rows, None)
        if header is None:
            return
        names = _header(header, _delimiter(fragment.path))
        _check_columns(names, fragment.path, schema)
        parse = _CsvRowParser(names, schema, _delimiter(fragment.path))
        start = 0
        for batch in _batched(rows, batch_rows):
            yield parse.chunk(batch, start)
            start += len(batch)


def _read_json(fragment: Fragment, schema: pa.Schema, batch_rows: int) -> Iterator[_Chunk]:
    with _opened_text(fragment.path) as (stream, _):
        rows = _text_rows(fragment.path, _decoded_blocks(stream, fragment.path))
        start = 0
        for batch in _batched(rows, batch_rows):
            yield _json_chunk(batch, start, schema)
            start += len(batch)


def _batched(rows: Iterator[bytes], batch_rows: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row)
        if len(batch) == batch_rows or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _ignored(names: Iterable[str], schema: pa.Schema) -> tuple[str, ...]:
    return tuple(encodable(name) for name in dict.fromkeys(names) if name not in schema.names)


# Files


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Turn what a corrupt file makes of a reader into one line that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataRefusedError(f"{path} cannot be read: {cause}; write the file again") from error


@contextmanager
def _opened_parquet(path: str) -> Iterator[pq.ParquetFile]:
    # Without pre-buffering, and with a buffer, a row group is read piece by piece instead of all at once.
    settings = {"buffer_size": _BLOCK_BYTES, "pre_buffer": False}
    with _refusing(path):
        if "://" not in path:
            with pq.ParquetFile(path, **settings) as parquet:
                yield parquet
        else:
            with _opened_raw(path) as raw, pq.ParquetFile(pa.PythonFile(raw, mode="r"), **settings) as parquet:
                yield parquet


@contextmanager
def _opened_raw(path: str) -> Iterator[pa.PythonFile]:
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    raw = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    try:
        yield raw
    finally:
        raw.close()


@contextmanager
def _opened_text(path: str) -> Iterator[tuple[pa.NativeFile, Callable[[], int]]]:
    """Open a text file decompressed; beside it, a function that tells how many bytes of the file are consumed.

    Arrow decompresses: it goes on over the members of a joined file and raises where one is cut off, which Beam's
    ``CompressedFile`` takes for the end of the file.
    """
    codec = CODEC_OF_ENDING.get(PurePosixPath(path.lower()).suffix)
    with _refusing(path), _opened_raw(path) as raw:
        stream = pa.PythonFile(raw, mode="r")
        yield pa.CompressedInputStream(stream, codec) if codec else stream, raw.tell


def _decoded_blocks(stream: pa.NativeFile, path: str) -> Iterator[bytes]:
    """Read blocks of UTF-8 text, without the byte order mark."""
    first = stream.read(_BLOCK_BYTES)
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataRefusedError(f"{path} is UTF-16 text; save it as UTF-8")
    yield first.removeprefix(b"\xef\xbb\xbf")
    while block := stream.read(_BLOCK_BYTES):
        yield block


def _text_rows(path: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Split text into rows that are not blank, however malformed."""
    return _csv_rows(blocks, _delimiter(path)) if _format_of(path) == CSV else _lines(blocks)


# JSON Lines


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Split blocks into lines that are not blank. Of a line that is too long only the beginning comes."""
    rest = b""
    for block in blocks:
        lines = (rest + block).split(b"\n")
        rest = lines.pop()[: MAX_ROW_BYTES + 1]  # one byte over the limit tells that it is too long
        yield from (line for line in lines if line and not line.isspace())
    if rest and not rest.isspace():
        yield rest


def _parse_json(line: bytes) -> dict[str, object] | str:
    """Parse a line to an object, or to a text that says why it is none."""
    if len(line) > MAX_ROW_BYTES:
        return f"the line is longer than {MAX_ROW_BYTES} bytes"
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _parse_json_leniently(line)
    return value if isinstance(value, dict) else f"{_shown_text(line)} is not a JSON object"


def _parse_json_leniently(line: bytes) -> dict[str, object] | str:
    """Save a line where a strict parser gives up for one value: NaN, a lone surrogate, bytes that are not UTF-8."""
    try:
        value = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return f"{_shown_text(line)} is not JSON"
    return value if isinstance(value, dict) else f"{_shown_text(line)} is not a JSON object"


def _json_chunk(lines: list[bytes], start: int, schema: pa.Schema) -> _Chunk:
    parsed = [_parse_json(line) for line in lines]
    rows = [start + row for row, value in enumerate(parsed) if not isinstance(value, str)]
    objects = [value for value in parsed if not isinstance(value, str)]
    malformed = [(start + row, value) for row, value in enumerate(parsed) if isinstance(value, str)]
    keys = set().union(*objects)
    columns = {
        field.name: conform_values([value.get(field.name) for value in objects], field)
        for field in schema
        if field.name in keys or not field.nullable
    }
    return _Chunk(columns, rows, malformed, _ignored(sorted(keys), schema))


def _shown_text(text: bytes) -> str:
    return shown(text[:400].rstrip(b"\r\n").decode("utf-8", "backslashreplace"))


# CSV


# No shorter repetition could match where the longest does not. Python 3.11 can be told so, and then keeps no way back,
# which takes a gigabyte of memory for a row of megabytes of quotes.
_ATOMIC = b"+" if sys.version_info >= (3, 11) else b""


def _delimiter(path: str) -> bytes:
    return b"\t" if ".tsv" in path.lower()[-len(".tsv.bz2") :] else b","


def _field_pattern(delimiter: bytes) -> bytes:
    # A field in quotes, where a doubled quote joins two of them, or without; a quote later on is an ordinary character,
    # as in: 7" single.
    return rb'(?:(?:"[^"]*%b")+%b|[^"%b\r\n][^%b\r\n]*%b|)' % (_ATOMIC, _ATOMIC, delimiter, delimiter, _ATOMIC)


@lru_cache
def _row_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    field = _field_pattern(delimiter)
    return re.compile(rb"%b(?:%b%b)*%b(?:\r\n?|\n|\Z)" % (field, delimiter, field, _ATOMIC))


def _csv_rows(blocks: Iterator[bytes], delimiter: bytes) -> Iterator[bytes]:
    """Split CSV text into rows that are not blank, with their line ends, of any number of fields.

    Rows are split here and not by ``pyarrow.csv``: that one gives up the whole file where a row of the wrong width is
    not UTF-8, where a row is longer than a block, or where a quote is left open.
    """
    buffer, at_end = b"", False
    while not at_end:
        buffer, at_end = _refill(buffer, blocks)
        start = 0
        while (end := _row_end(buffer, start, delimiter, at_end)) is not None:
            if not buffer.startswith((b"\n", b"\r"), start):
                yield buffer[start:end]
            start = end
        cut_off = start == len(buffer) and not at_end and not buffer.endswith((b"\n", b"\r"))
        buffer = _after_line(blocks) if start and cut_off else buffer[start:]


def _refill(buffer: bytes, blocks: Iterator[bytes]) -> tuple[bytes, bool]:
    """Make a buffer twice as long at least, so that a long row is looked through a few times and not once a block.

    Returns:
        The longer buffer, and whether there is no more to come.
    """
    parts, missing = [buffer], max(1, len(buffer))
    while missing > 0:
        block = next(blocks, None)
        if block is None:
            return b"".join(parts), True
        parts.append(block)
        missing -= len(block)
    return b"".join(parts), False


def _after_line(blocks: Iterator[bytes]) -> bytes:
    """Skip what is left of a line that was too long, and return what the block of its end holds after it."""
    for block in blocks:
        line_end = block.find(b"\n")
        if line_end >= 0:
            return block[line_end + 1 :]
    return b""


def _row_end(buffer: bytes, start: int, delimiter: bytes, at_end: bool) -> int | None:
    """Find where the row at ``start`` ends; None where more of the file has to be read to tell."""
    if start == len(buffer):
        return None
    row = _row_pattern(delimiter).match(buffer, start)
    if row and (at_end or buffer[row.end() - 1] in b"\r\n"):
        return row.end()
    if not at_end and len(buffer) - start <= MAX_ROW_BYTES:
        return None
    line_end = buffer.find(b"\n", start)  # quotes that do not pair, or a row too long: give up one line
    return len(buffer) if line_end < 0 else line_end + 1


def _csv_fields(row: bytes, delimiter: bytes) -> list[bytes] | None:
    """Take a row apart; None where its quotes do not pair."""
    if not _row_pattern(delimiter).fullmatch(row):
        return None
    fields = []
    for cell in re.finditer(rb"(%b)(%b|\r\n?|\n|\Z)" % (_field_pattern(delimiter), delimiter), row):
        fields.append(_unquoted(cell[1]))
        if cell[2] != delimiter:
            break
    return fields


def _unquoted(field: bytes) -> bytes:
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


def _header(row: bytes, delimiter: bytes) -> list[str]:
    fields = _csv_fields(row, delimiter) or [row]
    return [field.decode("utf-8", "backslashreplace").strip() for field in fields]


def _text_column(cells: Sequence[bytes]) -> pa.BinaryArray:
    unquoted = [_unquoted(cell) if cell[:1] == b'"' else cell for cell in cells]
    return pa.array([cell or None for cell in unquoted], pa.binary())


class _CsvRowParser:
    """Takes rows of one CSV file apart, with a pattern that captures the wanted columns only."""

    def __init__(self, names: Sequence[str], schema: pa.Schema, delimiter: bytes) -> None:
        self._names, self._schema, self._delimiter = names, schema, delimiter
        self._wanted = [schema.field(name) for name in names if name in schema.names]
        field = _field_pattern(delimiter)
        cells = [b"(%b)" % field if name in schema.names else field for name in names]
        self._pattern = re.compile(delimiter.join(cells) + rb"(?:\r\n?|\n|\Z)")

    def chunk(self, rows: list[bytes], start: int) -> _Chunk:
        """Parse consecutive rows, of which the first has the number ``start``."""
        good, numbers, malformed = [], [], []
        for number, row in enumerate(rows, start):
            match = self._pattern.fullmatch(row)
            if match and len(row) <= MAX_ROW_BYTES:
                good.append(match.groups())
                numbers.append(number)
            else:
                malformed.append((number, self._why_malformed(row)))
        return _Chunk(self._columns(good), numbers, malformed, _ignored(self._names, self._schema))

    def _columns(self, rows: list[tuple[bytes, ...]]) -> dict[str, Conformed]:
        columns = zip(*rows, strict=True) if rows else [()] * len(self._wanted)
        return {
            field.name: conform_text(_text_column(cells), field)
            for field, cells in zip(self._wanted, columns, strict=True)
        }

    def _why_malformed(self, row: bytes) -> str:
        if len(row) > MAX_ROW_BYTES:
            return f"the row is longer than {MAX_ROW_BYTES} bytes"
        fields = _csv_fields(row, self._delimiter)
        if fields is None:
            return f"the quotes do not pair in {_shown_text(row)}"
        return f"{len(fields)} columns instead of {len(self._names)} in {_shown_text(row)}"
