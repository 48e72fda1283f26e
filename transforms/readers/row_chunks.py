"""Chunks: what the reader of every format makes of consecutive rows, and the checks of a file's columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers.coercion import Conformed, encodable

BATCH_BYTES = 32 << 20
"""A batch of text ends early here, however few its rows."""

Row = TypeVar("Row", bound=Sized)


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a fragment, with typed columns.

    Attributes:
        columns: column name to its values in the rows that are not malformed.
        rows: numbers of these rows in the fragment, from 0.
        malformed: number and what is wrong with it, of each row that could not be taken apart.
        ignored: columns of the input that the schema does not have.
    """

    columns: dict[str, Conformed]
    rows: list[int] | range
    malformed: list[tuple[int, str]]
    ignored: tuple[str, ...]


def batched(rows: Iterable[Row], batch_rows: int) -> Iterator[list[Row]]:
    """Take rows of text, whose length is in bytes, so many at a time, or fewer where they are long."""
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
    """Check that the columns of a file make sense as a table.

    Raises:
        InvalidDataError: when the id column is not there (for playlists, also ``track_ids``), or a column of the schema
            is there twice.
    """
    twice = [name for name, count in Counter(columns).items() if count > 1 and name in schema.names]
    if twice:
        raise InvalidDataError(f"{path} has the column {twice[0]} more than once; rename or drop all but one")
    for name in _required(schema):
        if name not in columns:
            there = ", ".join(encodable(column) for column in columns)
            raise InvalidDataError(
                f"{path} has no column {name}; its columns are {there}; rename the one that holds it"
            )


def ignored_columns(names: Iterable[str], schema: pa.Schema) -> tuple[str, ...]:
    """Name the columns that the schema does not have, each once."""
    return tuple(encodable(name) for name in dict.fromkeys(names) if name not in schema.names)


def _required(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if not field.nullable or field.name == "track_ids"]
