"""JSON Lines: read one object per line. ``NaN`` is read as null."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

import orjson
import pyarrow as pa

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers import text_stream
from tracktokens.transforms.readers.coercion import coerce_values
from tracktokens.transforms.readers.display import show_text
from tracktokens.transforms.readers.row_chunks import Chunk, batched, ignored_columns
from tracktokens.transforms.readers.text_stream import open_text

_CHECKED_LINES = 100


def json_lines(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Skip blank lines."""
    return (line for line in lines if not line.isspace())


def json_columns(path: str) -> list[str] | None:
    """Collect the keys of the first 100 lines; None for a file without rows.

    Raises:
        InvalidDataError: none of these lines is an object, or the file cannot be read.
    """
    with open_text(path) as text:
        lines = list(islice(json_lines(text.lines()), _CHECKED_LINES))
    objects = [parsed for parsed in map(_parse, lines) if isinstance(parsed, dict)]
    if lines and not objects:
        raise InvalidDataError(
            f"{path} has no JSON object in its first {len(lines)} lines; write one object per line (JSON Lines)"
        )
    return list(dict.fromkeys(key for keys in objects for key in keys)) if lines else None


def read_json_lines(path: str, schema: pa.Schema, batch_rows: int) -> Iterator[Chunk]:
    """Read a file in chunks of at most ``batch_rows`` rows of ``schema``.

    Raises:
        InvalidDataError: the file as a whole cannot be read.
    """
    with open_text(path) as text:
        start = 0
        for batch in batched(json_lines(text.lines()), batch_rows):
            yield _chunk(batch, start, schema)
            start += len(batch)


def _parse(line: bytes) -> dict[str, object] | str:
    """Parse a line into an object, or return the cause as text if it is not one."""
    if len(line) > text_stream.MAX_ROW_BYTES:
        return f"the line is longer than {text_stream.MAX_ROW_BYTES} bytes"
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _parse_leniently(line)
    return value if isinstance(value, dict) else f"{show_text(line)} is not a JSON object"


def _parse_leniently(line: bytes) -> dict[str, object] | str:
    """Parse a line that a strict parser refuses for one value: NaN, a lone surrogate, invalid UTF-8."""
    try:
        value = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return f"{show_text(line)} is not JSON"
    return value if isinstance(value, dict) else f"{show_text(line)} is not a JSON object"


def _chunk(lines: list[bytes], start: int, schema: pa.Schema) -> Chunk:
    parsed = [_parse(line) for line in lines]
    rows = [start + row for row, value in enumerate(parsed) if not isinstance(value, str)]
    objects = [value for value in parsed if not isinstance(value, str)]
    malformed = [(start + row, value) for row, value in enumerate(parsed) if isinstance(value, str)]
    keys = set().union(*objects)
    columns = {
        field.name: coerce_values([value.get(field.name) for value in objects], field)
        for field in schema
        if field.name in keys or not field.nullable
    }
    return Chunk(columns, rows, malformed, ignored_columns(sorted(keys), schema))
