"""SQLite files of programs, read without a trace, also while the program has them open."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.store.user_files import check_input

LOCK_SECONDS = 5.0
"""Time that the program gets to end a transaction."""

_UNAVAILABLE = ("locked", "unable to open")
"""Parts of messages about a file that is not damaged."""

_JOURNAL_BYTE, _WAL = 18, 2


@dataclass(frozen=True)
class LibraryDatabase:
    """A library that is open for reading; the methods raise the same errors as :func:`open_library`."""

    source: str
    program: str
    _connection: sqlite3.Connection

    def columns(self, table: str) -> frozenset[str]:
        """Return the names of a table's columns; empty if the table is missing."""
        return frozenset(row["name"] for row in self.query("SELECT name FROM pragma_table_info(?)", [table]))

    def query(self, statement: str, values: Sequence[object] = ()) -> Iterator[sqlite3.Row]:
        """Return the rows of a query, without holding them in memory."""
        with _reading(self.source, self.program):
            yield from self._connection.execute(statement, tuple(values))


@contextlib.contextmanager
def open_library(source: str, table: str, program: str) -> Iterator[LibraryDatabase]:
    """Open a library for reading, as it is at this moment: what the program writes later is not seen.

    Texts that are not UTF-8 get U+FFFD.

    Args:
        source: the file.
        table: a table that it has to have.
        program: name of the program, for messages.

    Raises:
        UsageError: it is missing or locked.
        InvalidDataError: it is not a library of the program, or damaged.
    """
    check_input(source, f"library of {program}")
    with _reading(source, program):
        connection = _connect(source)
    with contextlib.closing(connection):
        connection.text_factory = lambda content: content.decode("utf-8", "replace")
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        library = LibraryDatabase(source, program, connection)
        if not library.columns(table):
            raise InvalidDataError(f"{source} has no table {table}: give the library of {program}")
        yield library


def select_list(alias: str, names: Iterable[str], existing: frozenset[str]) -> str:
    """Write the columns of a query: those that a version of the program does not have are null."""
    return ", ".join(f"{alias}.{name} AS {name}" if name in existing else f"NULL AS {name}" for name in names)


@contextlib.contextmanager
def _reading(source: str, program: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # messages about a damaged schema may not be text
        if any(part in str(error) for part in _UNAVAILABLE):
            raise UsageError(f"{source} cannot be read ({error}): close {program}, or give a copy of it") from error
        reason = "its schema" if isinstance(error, UnicodeDecodeError) else error
        raise InvalidDataError(f"{source} is damaged ({reason}): give a backup of it") from error


def _connect(source: str) -> sqlite3.Connection:
    """Open a file without writing beside it: a log is only there while the program has the file open."""
    with Path(source).open("rb") as file:
        header = file.read(_JOURNAL_BYTE + 1)
    logged = len(header) > _JOURNAL_BYTE and header[_JOURNAL_BYTE] == _WAL
    mode = "immutable=1" if logged and not Path(f"{source}-wal").exists() else "mode=ro"
    address = f"file:{quote(os.fsencode(Path(source).absolute()))}?{mode}"
    return sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
