"""Tracks of a source that names them again in each playlist: one row per id, written in the order of ids."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.scratch_database import scratch_database

REMEMBERED = 200_000
"""Ids in memory that are known to be in the database, which saves most writes."""

MOST_TAGS = 20
"""Most tags of a track that are counted from names: the most frequent."""

_TABLES = (
    "CREATE TABLE tracks (id TEXT PRIMARY KEY, columns BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE tags (id TEXT, tag TEXT, number INTEGER, PRIMARY KEY (id, tag)) WITHOUT ROWID",
    "CREATE TABLE plays (id TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID",
)


@dataclass
class DistinctTracks:
    """Collects tracks and counts tags of them.

    Example:
        with distinct_tracks() as tracks:
            tracks.add("t1", {"title": "Blue"})
            tracks.count_tags([("t1", "calm")])
            tracks.write(folder, floor=1)
    """

    database: sqlite3.Connection
    _known: set[str] = field(default_factory=set)

    def add(self, track_id: str, columns: Mapping[str, Any]) -> None:
        """Add a track. Of several rows of an id, the first stays; columns that are null in it stay null."""
        if track_id in self._known:
            return
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.add(track_id)
        self.database.execute("INSERT OR IGNORE INTO tracks VALUES (?, ?)", (track_id, orjson.dumps(columns)))

    def count_tags(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Count one more occurrence of each pair of id and tag."""
        self.database.executemany(
            "INSERT INTO tags VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET number = number + 1", pairs
        )

    def set_plays(self, counts: Iterable[tuple[str, int]]) -> None:
        """Set the popularity of tracks: pairs of id and number of plays, one per id."""
        self.database.executemany("INSERT INTO plays VALUES (?, ?)", counts)

    def write(self, out: CatalogFolder, floor: int = 1) -> None:
        """Write the tracks. A tag is written if it was counted ``floor`` times or more."""
        rows = "SELECT id, columns, number FROM tracks LEFT JOIN plays USING (id) ORDER BY id"
        for track_id, columns, plays in self.database.execute(rows):
            row = orjson.loads(columns) | ({} if plays is None else {"popularity": plays})
            counted = self.database.execute(
                "SELECT tag FROM tags WHERE id = ? AND number >= ? ORDER BY number DESC, tag LIMIT ?",
                (track_id, floor, MOST_TAGS),
            )
            tags = [*(row.pop("tags", None) or ()), *(tag for (tag,) in counted)]
            out.add_track(track_id=track_id, tags=list(dict.fromkeys(tags)) or None, **row)


@contextlib.contextmanager
def distinct_tracks() -> Iterator[DistinctTracks]:
    """Collect tracks in a temporary file."""
    with scratch_database(*_TABLES) as database:
        yield DistinctTracks(database)
