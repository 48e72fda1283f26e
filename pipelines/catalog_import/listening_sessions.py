"""Sessions of a listening history: the plays of one listener without a long pause between two of them."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.scratch_database import scratch_database

GAP_MINUTES = 30
"""Default of the pause that ends a session, in minutes."""

SESSIONS = "sessions"
"""Name in rejects in place of a file, since a session may be of several."""

REPEATED = "repeated listens"
"""Count of plays that the source has twice: the same listener, time and track."""

_USER_DIGITS = 16


@dataclass(frozen=True)
class ListeningHistory:
    """Collects plays in any order.

    Example:
        with listening_history() as history:
            history.add("ann", 1_700_000_000, "t1")
            history.write(folder, gap_minutes=30)
    """

    database: sqlite3.Connection

    def add(self, listener: str, time: float, track_id: str, length: float = 0) -> None:
        """Add a play.

        Args:
            listener: name of the listener, which is not written anywhere.
            time: seconds since any fixed date. With a length, the time of the play's end.
            track_id: the track.
            length: seconds played, if they are known; they are not a part of the pause before the play.
        """
        self.database.execute("INSERT INTO plays VALUES (?, ?, ?, ?)", (listener, time, track_id, length))

    def play_counts(self) -> Iterator[tuple[str, int]]:
        """Count the plays of each track that are written."""
        yield from self.database.execute(
            "SELECT track, COUNT(*) FROM (SELECT DISTINCT listener, time, track FROM plays) GROUP BY track"
        )

    def write(self, out: CatalogFolder, gap_minutes: float) -> None:
        """Write a playlist per session, in the order of listeners and times; plays of one time in the order added.

        Its id is a hash of the listener's name and the number of the session.
        """
        rows = self.database.execute("SELECT listener, time, track, length FROM plays ORDER BY listener, time, rowid")
        for listener, plays in groupby(rows, key=lambda row: str(row[0])):
            hashed = hashlib.blake2b(listener.encode(), digest_size=_USER_DIGITS // 2).hexdigest()
            for number, track_ids in enumerate(_sessions(plays, 60 * gap_minutes, out), 1):
                out.add_playlist(f"{hashed}-{number}", track_ids, file=SESSIONS)


@contextlib.contextmanager
def listening_history() -> Iterator[ListeningHistory]:
    """Collect plays in a temporary file."""
    with scratch_database("CREATE TABLE plays (listener TEXT, time REAL, track TEXT, length REAL)") as database:
        yield ListeningHistory(database)


def _sessions(plays: Iterator[tuple[str, float, str, float]], gap: float, out: CatalogFolder) -> Iterator[list[str]]:
    session: list[str] = []
    now: float | None = None
    played: set[str] = set()  # tracks of this time
    for _, time, track_id, length in plays:
        if time != now:
            played.clear()
            if now is not None and time - length - now > gap:
                yield session
                session = []
        elif track_id in played:
            out.counts.found[REPEATED] += 1
            continue
        played.add(track_id)
        session.append(track_id)
        now = time
    yield session
