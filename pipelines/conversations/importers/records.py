"""Records of a published dataset: one object per row of JSON Lines or Parquet, or per element of a JSON array."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.pipelines.conversations.conversation import RejectedLineError
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers.file_discovery import PARQUET, corrupt_file_errors, format_of
from tracktokens.transforms.readers.text_stream import MAX_ROW_BYTES, open_text
from tracktokens.transforms.store import files

Record = dict[str, Any]

_BATCH_ROWS = 256


def read_records(path: str) -> Iterator[tuple[int, Record | RejectedLineError]]:
    """Read the records of a file, with the number of the line, row or element, from 1.

    A ``.json`` file may be one array, or JSON Lines. Text may be compressed, as tables are.

    Raises:
        InvalidDataError: the file cannot be read as a whole, or its extension is unknown.
    """
    try:
        kind = format_of(path)
    except ValueError as error:
        raise InvalidDataError(str(error)) from error
    yield from _read_parquet(path) if kind == PARQUET else _read_json(path)


def _read_parquet(path: str) -> Iterator[tuple[int, Record | RejectedLineError]]:
    number = 0
    with corrupt_file_errors(path), files.open_bytes(path) as file:
        for batch in pq.ParquetFile(pa.PythonFile(file, mode="r")).iter_batches(_BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield number, row


def _read_json(path: str) -> Iterator[tuple[int, Record | RejectedLineError]]:
    with open_text(path) as text:
        lines = ((number, line) for number, line in enumerate(text.lines(), 1) if line.strip())
        first, line = next(lines, (0, b""))
        if line.lstrip().startswith(b"["):
            yield from enumerate(_read_array(path, b"".join([line, *(rest for _, rest in lines)])), 1)
        elif line:
            yield first, _parse(line)
            yield from ((number, _parse(rest)) for number, rest in lines)


def _read_array(path: str, text: bytes) -> Iterator[Record | RejectedLineError]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidDataError(f"{path} is not a JSON array: {error}") from error
    yield from (value if isinstance(value, dict) else RejectedLineError("not an object") for value in values)


def _parse(line: bytes) -> Record | RejectedLineError:
    if len(line) > MAX_ROW_BYTES:
        return RejectedLineError(f"longer than {MAX_ROW_BYTES} bytes")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return RejectedLineError(f"invalid JSON: {error}")
    return value if isinstance(value, dict) else RejectedLineError("not an object")
