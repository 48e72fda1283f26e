"""Chunks: consecutive rows as the reader of every format returns them, and checks of a file's columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from tracktokens.schemas.display import escape_surrogates, show_name
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.column_hints import suggest_column
from tracktokens.transforms.readers.coercion import CoercedColumn

BATCH_BYTES = 32 << 20
"""Bytes of text at which a batch ends, even if it has few rows."""

Row = TypeVar("Row", bound=Sized)


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a fragment, with typed columns.

    Attributes:
        columns: column name to values, of the rows that are not malformed.
        rows: row indices of these rows in the fragment, from 0.
        malformed: row index and problem of each row that could not be parsed.
        ignored: columns of the input that the schema does not have.
    """

    columns: dict[str, CoercedColumn]
    rows: list[int] | range
    malformed: list[tuple[int, str]]
    ignored: tuple[str, ...]


def batched(rows: Iterable[Row], batch_rows: int) -> Iterator[list[Row]]:
    """Group rows of text into lists of ``batch_rows``, or fewer if they are long. ``len`` of a row is its bytes."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row)
        if len(batch) == batch_rows or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def check_columns(columns: Sequence[str], path: str, schema: pa.Schema) -> None:
    """Check that a file has the required columns, and no column of the schema twice.

    Raises:
        InvalidDataError: the id column (for playlists, also ``track_ids``) is missing, or a column of the schema occurs
            more than once.
    """
    twice = [name for name, count in Counter(columns).items() if count > 1 and name in schema.names]
    if twice:
        raise InvalidDataError(f"{path} has the column {twice[0]} more than once; rename or remove all but one")
    for name in required_columns(schema):
        if name not in columns:
            present = ", ".join(escape_surrogates(column) for column in columns)
            raise InvalidDataError(f"{path} has no column {name}; its columns are {present}; {_rename(columns, name)}")


def with_path_columns(columns: Sequence[str], path_columns: Iterable[str]) -> list[str]:
    """Add the columns that the path of a file has and the file itself lacks."""
    return [*columns, *(name for name in path_columns if name not in columns)]


def ignored_columns(names: Iterable[str], schema: pa.Schema) -> tuple[str, ...]:
    """List the columns that the schema does not have, without repetition."""
    return tuple(escape_surrogates(name) for name in dict.fromkeys(names) if name not in schema.names)


def _rename(columns: Sequence[str], missing: str) -> str:
    meant = next((column for column in columns if suggest_column(column, [missing])), None)
    if meant is None:
        return "rename the one that contains it"
    return f"rename {show_name(meant)} if it contains it"


def misnamed_columns(ignored: Iterable[str], present: Collection[str], schema: pa.Schema) -> dict[str, str]:
    """Map ignored columns to the column of the schema that they probably mean, and that is not present."""
    absent = [name for name in schema.names if name not in present]
    suggestions = {name: suggest_column(name, absent) for name in ignored}
    return {name: known for name, known in suggestions.items() if known is not None}


def required_columns(schema: pa.Schema) -> list[str]:
    """List the columns that a file must have: the id, and for playlists ``track_ids``."""
    return [field.name for field in schema if not field.nullable or field.name == "track_ids"]
