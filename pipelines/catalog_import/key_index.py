"""Keys of a source and the ids that they mean."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tracktokens.pipelines.catalog_import.scratch_database import scratch_database


@dataclass(frozen=True)
class KeyIndex:
    """A map of texts to texts.

    Example:
        >>> with key_index() as index:
        ...     index.add([("a", "1"), ("a", "2")])
        ...     index.get("a"), index.get("b")
        ('1', None)
    """

    database: sqlite3.Connection

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Add pairs of key and id; of several ids of a key, the first stays."""
        self.database.executemany(
            "INSERT OR IGNORE INTO ids VALUES (?, ?)", ((_encode(key), known) for key, known in pairs)
        )

    def claim(self, key: str, known: str) -> str | None:
        """Add a pair; return the id that the key has already, in which case nothing is added."""
        added = self.database.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (_encode(key), known)).rowcount
        return None if added else self.get(key)

    def get(self, key: str) -> str | None:
        """Return the id of a key."""
        found = self.database.execute("SELECT id FROM ids WHERE key = ?", (_encode(key),)).fetchone()
        return found[0] if found else None


def _encode(key: str) -> bytes:
    """Convert a key to bytes; names of files that are not UTF-8 have surrogates."""
    return key.encode("utf-8", "surrogatepass")


@contextlib.contextmanager
def key_index() -> Iterator[KeyIndex]:
    """Make an index in a temporary file."""
    with scratch_database("CREATE TABLE ids (key BLOB PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID") as database:
        yield KeyIndex(database)
