"""A temporary database for what an import has to look up or sort: memory does not grow with the source."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

CACHE_KIB = 64 << 10
"""Memory of a database, in KiB."""


@contextlib.contextmanager
def scratch_database(*tables: str) -> Iterator[sqlite3.Connection]:
    """Make a database with some tables, and delete it afterwards. All is one transaction, of which nothing is kept.

    Args:
        tables: ``CREATE TABLE`` statements.
    """
    with TemporaryDirectory(prefix="tracktokens-import-") as folder:
        database = sqlite3.connect(Path(folder) / "scratch.sqlite", isolation_level=None)
        with contextlib.closing(database):
            for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
                database.execute(f"PRAGMA {setting}")
            for table in tables:
                database.execute(table)
            database.execute("BEGIN")
            yield database
