"""Tracks of one catalog, found by the ids and names that another catalog has for them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracktokens.pipelines.catalog_import.scratch_database import scratch_database
from tracktokens.pipelines.catalog_import.track_names import (
    artist_keys,
    plain_name,
    share_first_artist,
    title_key,
    version_words,
)
from tracktokens.schemas.tables.tracks import TRACK_ID

ISRC = "isrc"
"""Column of the ISRC, which a table of tracks may have."""

BY_ID, BY_ISRC, BY_NAME, BY_SIMILAR_NAME = "id", "isrc", "name", "similar name"
MATCHED_BY = (BY_ID, BY_ISRC, BY_NAME, BY_SIMILAR_NAME)
"""Ways of matching, the surest first."""

THRESHOLD = 90
"""Default of the lowest similarity of titles or artists, in percent."""

MOST_CANDIDATES = 2_000
"""Most tracks of an artist, or of a title, that are compared."""

_EXACT = 100.0
_ISRC_PREFIX = "isrc:"
_URI_PREFIX = "spotify:track:"
_TABLES = (
    "CREATE TABLE tracks (id TEXT PRIMARY KEY, row INTEGER, title TEXT, artist TEXT, album TEXT) WITHOUT ROWID",
    "CREATE TABLE codes (code TEXT PRIMARY KEY, id TEXT) WITHOUT ROWID",
    "CREATE TABLE names (title TEXT, artist TEXT, row INTEGER, id TEXT)",
)
_INDEXES = ("CREATE INDEX by_title ON names (title, artist, row)", "CREATE INDEX by_artist ON names (artist, row)")


@dataclass(frozen=True)
class TrackMatch:
    """A track that was found.

    Attributes:
        track_id: its id in the catalog.
        title: its title in the catalog.
        artist: its artist in the catalog.
        by: one of ``MATCHED_BY``.
        score: similarity of the title or the artist in percent; the other one is equal.
    """

    track_id: str
    title: str | None
    artist: str | None
    by: str
    score: float = _EXACT


@dataclass(frozen=True)
class TrackMatcher:
    """Finds tracks by id, else by ISRC, else by title and artist, else by a similar title or a similar artist.

    Names are compared as :mod:`.track_names` writes them. The first artist of each has to be an artist of the other:
    *Five, Queen* is a cover of *Queen*. Of several tracks of a name, one of the same album and with the same title as
    it is written goes first, then the one that the table has first.

    Example:
        >>> with track_matcher([{"track_id": "t1", "title": "Blue - Remastered", "artist": "The Anns"}]) as matcher:
        ...     matcher.match({"track_id": "x", "title": "Blue", "artist": "Anns"}).track_id
        't1'
    """

    database: sqlite3.Connection
    threshold: float = THRESHOLD

    def match(self, track: Mapping[str, Any]) -> TrackMatch | None:
        """Find a track.

        Args:
            track: ``track_id``, and as far as they are known ``title``, ``artist``, ``album`` and ``isrc``.

        Returns:
            None if it is not in the catalog.
        """
        for by, found in ((BY_ID, self._by_id(track)), (BY_ISRC, self._by_isrc(track))):
            if found is not None:
                return self._result(found, by)
        title, artist = track.get("title"), track.get("artist")
        if not title or not artist:
            return None
        return self._by_name(track, title, artist) or self._by_similar_name(title, artist)

    def _by_id(self, track: Mapping[str, Any]) -> str | None:
        track_id = str(track[TRACK_ID])
        forms = (track_id, track_id.removeprefix(_URI_PREFIX), _URI_PREFIX + track_id)
        rows = (self._one("SELECT id FROM tracks WHERE id = ?", form) for form in forms)
        return next((row[0] for row in rows if row), None)

    def _by_isrc(self, track: Mapping[str, Any]) -> str | None:
        code = _isrc(track)
        row = self._one("SELECT id FROM codes WHERE code = ?", code) if code else None
        return None if row is None else str(row[0])

    def _by_name(self, track: Mapping[str, Any], title: str, artist: str) -> TrackMatch | None:
        for name in artist_keys(artist):
            rows = self.database.execute(
                "SELECT tracks.id, tracks.title, tracks.album, tracks.artist FROM names JOIN tracks USING (id) "
                "WHERE names.title = ? AND names.artist = ? ORDER BY names.row LIMIT ?",
                (title_key(title), name, MOST_CANDIDATES),
            )
            if same := [row for row in rows if share_first_artist(artist, row[3])]:
                best = min(same, key=lambda row: _difference(track, row[1], row[2]))
                return self._result(best[0], BY_NAME)
        return None

    def _by_similar_name(self, title: str, artist: str) -> TrackMatch | None:
        """Find a track of the same artist with a similar title, or of the same title with a similar artist."""
        similar = [*self._similar_titles(title_key(title), artist), *self._similar_artists(title_key(title), artist)]
        if not similar:
            return None
        score, track_id = max(similar, key=lambda found: found[0])
        return self._result(track_id, BY_SIMILAR_NAME, round(score, 1))

    def _similar_titles(self, title: str, artist: str) -> Iterator[tuple[float, str]]:
        from rapidfuzz import fuzz

        for name in artist_keys(artist):
            statement = (
                "SELECT names.title, id, tracks.artist FROM names JOIN tracks USING (id) "
                "WHERE names.artist = ? ORDER BY names.row LIMIT ?"
            )
            for other, track_id, other_artist in self.database.execute(statement, (name, MOST_CANDIDATES)):
                score = fuzz.ratio(title, other, score_cutoff=self.threshold)
                if score and version_words(title) == version_words(other) and share_first_artist(artist, other_artist):
                    yield score, track_id

    def _similar_artists(self, title: str, artist: str) -> Iterator[tuple[float, str]]:
        from rapidfuzz import fuzz

        statement = (
            "SELECT tracks.artist, id FROM names JOIN tracks USING (id) "
            "WHERE names.title = ? ORDER BY names.row LIMIT ?"
        )
        for other, track_id in self.database.execute(statement, (title, MOST_CANDIDATES)):
            names, others = artist_keys(artist), artist_keys(other)
            if names and (score := fuzz.token_sort_ratio(names[0], others[0], score_cutoff=self.threshold)):
                yield score, track_id

    def _one(self, statement: str, value: str) -> Any:
        return self.database.execute(statement, (value,)).fetchone()

    def _result(self, track_id: str, by: str, score: float = _EXACT) -> TrackMatch:
        title, artist = self._one("SELECT title, artist FROM tracks WHERE id = ?", track_id)
        return TrackMatch(track_id, title, artist, by, score)


@contextlib.contextmanager
def track_matcher(tracks: Iterable[Mapping[str, Any]], threshold: float = THRESHOLD) -> Iterator[TrackMatcher]:
    """Index a catalog in a temporary file.

    Args:
        tracks: its tracks, as :meth:`TrackMatcher.match` takes them. Of several tracks of an id, the first counts.
        threshold: lowest similarity of titles or artists, in percent.
    """
    with scratch_database(*_TABLES) as database:
        for row, track in enumerate(tracks):
            _add(database, row, track)
        for index in _INDEXES:
            database.execute(index)
        yield TrackMatcher(database, threshold)


def _add(database: sqlite3.Connection, row: int, track: Mapping[str, Any]) -> None:
    track_id, title, artist = str(track[TRACK_ID]), track.get("title"), track.get("artist")
    values = (track_id, row, title, artist, track.get("album"))
    if not database.execute("INSERT OR IGNORE INTO tracks VALUES (?, ?, ?, ?, ?)", values).rowcount:
        return
    if code := _isrc(track):
        database.execute("INSERT OR IGNORE INTO codes VALUES (?, ?)", (code, track_id))
    if title and artist:
        names = ((title_key(title), name, row, track_id) for name in artist_keys(artist))
        database.executemany("INSERT INTO names VALUES (?, ?, ?, ?)", names)


def _difference(track: Mapping[str, Any], title: str | None, album: str | None) -> tuple[bool, bool]:
    """Return whether the album of a track differs from an album, and its title as it is written from a title."""
    return _plain(track.get("album")) != _plain(album), _plain(track["title"]) != _plain(title)


def _plain(name: str | None) -> str:
    return plain_name(name or "")


def _isrc(track: Mapping[str, Any]) -> str | None:
    """Return the ISRC of a track, of its column or of its id."""
    track_id = str(track[TRACK_ID])
    code = track.get(ISRC) or (track_id if track_id.startswith(_ISRC_PREFIX) else None)
    return str(code).removeprefix(_ISRC_PREFIX).replace("-", "").strip().upper() or None if code else None
