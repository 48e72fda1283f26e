"""Export of a Spotify account: playlists, liked songs and the streaming history.

Format: the page "Understanding my data" of Spotify, and public readers of exports. ``Playlist1.json`` has ``playlists``
with ``items``, of whose ``track``, ``episode``, ``audiobook`` and ``localTrack`` all but one are null.
``YourLibrary.json`` has ``tracks``. The extended history, ``Streaming_History_Audio_*.json`` or ``endsong_*.json``, is
a list with the end of each play, ``ts``, and ``spotify_track_uri``. That of the last year, ``StreamingHistory*.json``,
has ``endTime``, by the minute, and names instead of URIs. Addresses, user agents, devices, countries and names of users
are not read.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote_plus

import ijson

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.delimited_rows import text_or_null
from tracktokens.pipelines.catalog_import.distinct_tracks import DistinctTracks, distinct_tracks
from tracktokens.pipelines.catalog_import.key_index import KeyIndex, key_index
from tracktokens.pipelines.catalog_import.listening_sessions import GAP_MINUTES, ListeningHistory, listening_history
from tracktokens.pipelines.catalog_import.source_files import BROKEN_ARCHIVE, SourceFiles, natural_order
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

SHORTEST_PLAY = 30
"""Seconds: a shorter play is counted and not imported."""

SHORT, COVERED = "plays under 30 seconds", "plays in the period of the extended history"

PLAYLISTS, LIBRARY, EXTENDED, RECENT = "playlists", "library", "extended", "recent"
KINDS = {
    PLAYLISTS: re.compile(r"playlist\d*\.json"),
    LIBRARY: re.compile(r"yourlibrary\.json"),
    EXTENDED: re.compile(r"(streaming_history_(audio|video)|endsong)_.*\.json"),
    RECENT: re.compile(r"streaminghistory(_music_)?\d*\.json"),
}
"""Kinds of files by name, in the order of their import: names without URI are looked up in the files before."""

_LISTS = {PLAYLISTS: "playlists.item", LIBRARY: "tracks.item", EXTENDED: "item", RECENT: "item"}
_URI = re.compile(r"spotify:track:\w+")
_LISTENER = "spotify"
_UNKNOWN = {"Unknown Artist", "Unknown Track"}

Place = tuple[str, int | None]
"""A file, and the number in its list, from 1."""


def import_spotify(source: str, out: CatalogFolder, report: Report, *, gap_minutes: float = GAP_MINUTES) -> None:
    """Import playlists and liked songs as they are, and plays as sessions.

    Args:
        source: the export as a zip file or a folder, or one of its files.
        out: folder to write.
        report: called as plays and playlists are read.
        gap_minutes: pause between two plays that ends a session.

    Raises:
        UsageError: the source does not exist.
        InvalidDataError: no entry of it can be read.
    """
    with distinct_tracks() as tracks, listening_history() as history, key_index() as names:
        job = _SpotifyImport(out, report, tracks, history, names)
        files = SourceFiles(source=Path(source), is_used=lambda name: _kind(name) is not None, order=_order)
        for name, stream in files.open(out):
            job.add_file(name, stream)
        history.write(out, gap_minutes)
        if not out.counts.entries:
            raise InvalidDataError(f"{source} has no track that can be read: give the export as it was downloaded")
        tracks.set_plays(history.play_counts())
        tracks.write(out)


def name_id(artist: str | None, title: str) -> str:
    """Return the id of a track without URI: a hash of artist and title, without regard to letter case.

    Example:
        >>> name_id("Burial", "Archangel") == name_id("BURIAL", "archangel")
        True
    """
    return f"name:{hashlib.blake2b(_name_key(artist, title).encode(), digest_size=8).hexdigest()}"


def _name_key(artist: str | None, title: str) -> str:
    return "\0".join(unicodedata.normalize("NFKC", name or "").casefold() for name in (artist, title))


def _kind(name: str) -> str | None:
    base = PurePosixPath(name).name.lower()
    return next((kind for kind, pattern in KINDS.items() if pattern.fullmatch(base)), None)


def _order(name: str) -> tuple[int, Any]:
    return list(KINDS).index(_kind(name) or RECENT), natural_order(name)


def _items(stream: BufferedReader, prefix: str) -> Iterator[Mapping[str, Any]]:
    if stream.peek(3).startswith(b"\xef\xbb\xbf"):
        stream.read(3)
    for value in ijson.items(stream, prefix, use_float=True):
        yield _map(value)


@dataclass
class _SpotifyImport:
    out: CatalogFolder
    report: Report
    tracks: DistinctTracks
    history: ListeningHistory
    names: KeyIndex
    """Artist and title to the track with a URI."""
    first: float = math.inf
    """Earliest play of the extended history."""
    last: float = -math.inf

    def add_file(self, file: str, stream: BufferedReader) -> None:
        """Add a file; of one that is cut, the values before the cut."""
        kind = _kind(file)
        if kind is None:
            self._reject((file, None), reasons.MALFORMED, "not named as a file of the export")
            return
        values = self._values(file, _items(stream, _LISTS[kind]))
        if kind == LIBRARY:
            liked = ({"track": _liked(value)} for value in values)
            self._add_playlist((file, None), "Liked Songs", liked)
            return
        for number, value in enumerate(values, 1):
            place = (file, number)
            if kind == PLAYLISTS:
                items = value.get("items")
                if isinstance(items, list):
                    self._add_playlist(place, _text(value.get("name")), map(_map, items))
                else:
                    self._reject(place, reasons.MALFORMED, "a playlist without items")
            else:
                self.report("plays", 1)
                self.out.counts.found["plays"] += 1
                (self._add_play if kind == EXTENDED else self._add_recent)(place, value)

    def _values(self, file: str, values: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        empty = True
        try:
            for value in values:
                empty = False
                yield value
        except (ijson.JSONError, *BROKEN_ARCHIVE) as error:
            self._reject((file, None), reasons.MALFORMED, f"the rest of the file is lost: {error}")
        else:
            self.out.counts.found["files without entries"] += empty

    def _add_playlist(self, place: Place, name: str | None, items: Iterable[Mapping[str, Any]]) -> None:
        file, number = place
        playlist_id = file if number is None else f"{file}:{number}"
        track_ids = self._entries(place, playlist_id, items)
        self.out.add_playlist(playlist_id, track_ids, name, file=file, line=number)
        self.report("playlists", 1)

    def _entries(self, place: Place, playlist_id: str, items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        for item in items:
            self.out.counts.found["playlist entries"] += 1
            if track_id := self._entry(place, playlist_id, item):
                yield track_id

    def _entry(self, place: Place, playlist_id: str, item: Mapping[str, Any]) -> str | None:
        track, local = _map(item.get("track")), _text(_map(item.get("localTrack")).get("uri"))
        if track:
            names = {"title": "trackName", "artist": "artistName", "album": "albumName"}
            uri, columns = track.get("trackUri"), {column: _text(track.get(name)) for column, name in names.items()}
        else:
            uri, columns = None, _local_columns(local or "")
        if track_id := self._add_track(uri, columns):
            return track_id
        detail = next((kind for kind in ("episode", "audiobook") if item.get(kind)), None)
        reason = {"episode": reasons.PODCAST, "audiobook": reasons.NOT_MUSIC, None: reasons.NO_ID}[detail]
        self._reject(place, reason, detail or "an entry without track", playlist_id)
        return None

    def _add_play(self, place: Place, play: Mapping[str, Any]) -> None:
        """Add a play of the extended history."""
        end, length = _seconds(play.get("ts")), _length(play.get("ms_played"))
        if end is None or length is None:
            self._reject(place, reasons.MALFORMED, "a play without ts or ms_played")
            return
        self.first, self.last = min(self.first, end), max(self.last, end)
        if length < SHORTEST_PLAY:
            self.out.counts.found[SHORT] += 1
            return
        prefix = "master_metadata_"
        names = {"title": "track_name", "artist": "album_artist_name", "album": "album_album_name"}
        columns = {column: _text(play.get(prefix + name)) for column, name in names.items()}
        track_id = self._add_track(play.get("spotify_track_uri"), columns)
        if track_id:
            self.history.add(_LISTENER, end, track_id, length)
        elif play.get("spotify_episode_uri") or play.get("episode_name"):
            self._reject(place, reasons.PODCAST, "episode")
        elif play.get("audiobook_uri") or play.get("audiobook_title"):
            self._reject(place, reasons.NOT_MUSIC, "audiobook")
        else:
            self._reject(place, reasons.NO_ID, "a play without URI and name")

    def _add_recent(self, place: Place, play: Mapping[str, Any]) -> None:
        """Add a play of the last year, unless it is in the period of the extended history."""
        end, length = _seconds(play.get("endTime")), _length(play.get("msPlayed"))
        columns = {"title": _text(play.get("trackName")), "artist": _text(play.get("artistName"))}
        if end is None or length is None:
            self._reject(place, reasons.MALFORMED, "a play without endTime or msPlayed")
        elif self.first - 60 <= end <= self.last:
            self.out.counts.found[COVERED] += 1
        elif length < SHORTEST_PLAY:
            self.out.counts.found[SHORT] += 1
        elif track_id := self._add_track(None, columns):
            self.history.add(_LISTENER, end, track_id, length)
        else:
            self._reject(place, reasons.NO_ID, "a play without URI and name")

    def _add_track(self, uri: Any, columns: Mapping[str, str | None]) -> str | None:
        """Add a track by its URI, else by its names; None without both."""
        title, artist = columns["title"], columns["artist"]
        if isinstance(uri, str) and _URI.fullmatch(uri.strip()):
            track_id = uri.strip()
            if title:
                self.names.add([(_name_key(artist, title), track_id)])
        elif title is None or {title, artist} & _UNKNOWN:
            return None
        else:
            track_id = self.names.get(_name_key(artist, title)) or name_id(artist, title)
        self.tracks.add(track_id, columns)
        return track_id

    def _reject(self, place: Place, reason: str, detail: str | None, playlist_id: str | None = None) -> None:
        known = {"line": place[1], "id": playlist_id, "detail": detail}
        self.out.reject(PLAYLISTS_TABLE, reason, place[0], **known)


def _liked(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name the fields of a track of the library as those of a playlist."""
    names = {"trackUri": "uri", "trackName": "track", "artistName": "artist", "albumName": "album"}
    return {field: value.get(name) for field, name in names.items()}


def _local_columns(uri: str) -> dict[str, str | None]:
    """Return the names in the URI of a local file: ``spotify:local:Artist:Album:Title:SECONDS``."""
    parts = [text_or_null(unquote_plus(part)) for part in uri.removeprefix("spotify:local:").split(":")]
    artist, album, title = parts[:3] if uri.startswith("spotify:local:") and len(parts) == 4 else (None, None, None)
    return {"title": title, "artist": artist, "album": album}


def _seconds(value: Any) -> float | None:
    """Convert a time in UTC, such as ``2023-07-01T10:00:00Z``, ``2019-07-01 10:00:00 UTC`` or ``2023-07-01 10:00``."""
    try:
        return datetime.fromisoformat(value.removesuffix("Z").removesuffix(" UTC")).replace(tzinfo=UTC).timestamp()
    except (AttributeError, TypeError, ValueError):
        return None


def _length(milliseconds: Any) -> float | None:
    """Convert a length to seconds."""
    number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
    return milliseconds / 1000 if number and 0 <= milliseconds < 1e12 else None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return text_or_null(value) if isinstance(value, str) else None
