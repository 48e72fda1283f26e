"""JSON Lines: read one object per line. ``NaN`` is read as null.

A line that is not an object, or that gives two values to a column of the schema, is malformed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import orjson
import pyarrow as pa

from tracktokens.schemas.display import show_name, show_text
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers import text_stream
from tracktokens.transforms.readers.coercion import coerce_values
from tracktokens.transforms.readers.row_chunks import Chunk, batched, ignored_columns
from tracktokens.transforms.readers.text_stream import open_text

_CHECKED_LINES = 100
_ARRAY = re.compile(rb"\s*\[\s*(\{|\Z)")

_ONE_PER_LINE = "write one object per line (JSON Lines, UTF-8), as `jq -c` does"


def json_lines(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Skip blank lines."""
    return (line for line in lines if not line.isspace())


def json_columns(path: str, required: Sequence[str] = ()) -> list[str] | None:
    """Collect the keys of the first lines; None for a file without rows.

    These are 100 lines, and as many more as it takes to find an object and the required keys.

    Raises:
        InvalidDataError: no line is an object, the file is a JSON array, or it cannot be read.
    """
    keys: dict[str, None] = {}
    found, number = False, 0
    with open_text(path) as text:
        for number, line in enumerate(json_lines(text.lines()), 1):
            if number == 1 and _ARRAY.match(line):
                raise InvalidDataError(f"{path} is a JSON array; {_ONE_PER_LINE}: `jq -c '.[]'`")
            parsed = _parse(line)
            if number == 1 and (way := _way_to_rows(line, parsed, required)):
                raise InvalidDataError(f"{path} {way}")
            found |= isinstance(parsed, dict)
            keys |= dict.fromkeys(parsed) if isinstance(parsed, dict) else {}
            if number >= _CHECKED_LINES and found and keys.keys() >= set(required):
                break
    if number and not found:
        raise InvalidDataError(f"{path} has {number} lines and none of them is a JSON object; {_ONE_PER_LINE}")
    return list(keys) if number else None


def _way_to_rows(line: bytes, parsed: object, required: Sequence[str]) -> str | None:
    """Describe how to get rows from a file whose first line is not one of them; None where it may be."""
    if line.strip() == b"{":
        return f"has JSON objects of several lines; {_ONE_PER_LINE}: `jq -c .`"
    if not isinstance(parsed, dict) or not required or parsed.keys() >= set(required):
        return None
    for name, value in parsed.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return f"has its rows in an array {show_name(name)}; {_ONE_PER_LINE}: `jq -c '.[{json.dumps(name)}][]'`"
    return None


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


def _parse_row(line: bytes, names: Sequence[bytes]) -> dict[str, object] | str:
    """Parse a line as :func:`_parse` does; two different values for one of the quoted names are a fault."""
    parsed = _parse(line)
    if not isinstance(parsed, dict) or line.count(b":") <= len(parsed):  # one colon for each key: none is repeated
        return parsed
    if any(line.count(name) > 1 for name in names):  # or one of them is a value
        repeated = next((name for name in _repeated_keys(line) if f'"{name}"'.encode() in names), None)
        return parsed if repeated is None else f"{show_text(line)} has the key {repeated} more than once"
    return parsed


def _repeated_keys(line: bytes) -> Iterator[str]:
    try:
        pairs = json.loads(line.decode("utf-8", "surrogateescape"), object_pairs_hook=list)
    except RecursionError:  # the strict parser reads deeper objects
        return
    last = dict(pairs)
    yield from (name for name, value in pairs if value != last[name])


def _chunk(lines: list[bytes], start: int, schema: pa.Schema) -> Chunk:
    names = [f'"{name}"'.encode() for name in schema.names]
    parsed = [_parse_row(line, names) for line in lines]
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
