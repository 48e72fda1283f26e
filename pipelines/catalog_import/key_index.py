"""Keys of a source and the ids that they mean, in a temporary file: memory does not grow with their number."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

CACHE_KIB = 64 << 10
"""Memory of the index, in KiB."""


@dataclass(frozen=True)
class KeyIndex:
    """A map of texts to texts.

    Example:
        >>> with key_index() as index:
        ...     index.add([("a", "1"), ("a", "2")])
        ...     index.get("a"), index.get("b")
        ('1', None)
    """

    _database: sqlite3.Connection

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Add pairs of key and id; of several ids of a key, the first stays."""
        self._database.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", pairs)

    def get(self, key: str) -> str | None:
        """Return the id of a key."""
        found = self._database.execute("SELECT id FROM ids WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None


@contextlib.contextmanager
def key_index() -> Iterator[KeyIndex]:
    """Make an index, and delete its file afterwards."""
    with TemporaryDirectory(prefix="tracktokens-import-") as folder:
        database = sqlite3.connect(Path(folder) / "ids.sqlite", isolation_level=None)
        with contextlib.closing(database):
            for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
                database.execute(f"PRAGMA {setting}")
            database.execute("CREATE TABLE ids (key TEXT PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID")
            database.execute("BEGIN")  # one transaction for all: nothing of it is kept
            yield KeyIndex(database)
