"""Tables out of a library: what its importers share once they have read a track or a playlist."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report, utf8_path
from tracktokens.pipelines.catalog_import.key_index import KeyIndex, key_index
from tracktokens.pipelines.catalog_import.libraries.audio_locations import AudioRoot
from tracktokens.pipelines.catalog_import.music_folder.file_names import FileName, read_file_name
from tracktokens.pipelines.catalog_import.music_folder.playlist_files import is_address, possible_paths
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE, TRACKS_TABLE

RATING_WEIGHT = 0.9
"""Popularity of the best rating, in plays: less than one play, so that ratings only break ties."""


@dataclass(frozen=True, kw_only=True)
class LibraryTrack:
    """A track of a library.

    Attributes:
        track_id: its id; None if it has none.
        row: number of its record in the library, from 1.
        columns: columns of the tracks table but for ``track_id`` and ``audio_path``.
        location: address or path of its audio file.
        keys: what playlists call it.
    """

    track_id: str | None
    row: int
    columns: Mapping[str, Any]
    location: str | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class LibraryTables:
    """Writes tracks and playlists of a library, and counts and rejects what they lack."""

    file: str
    out: CatalogFolder
    report: Report
    audio_root: AudioRoot | None
    _ids: KeyIndex
    _keys: KeyIndex

    def add_track(self, track: LibraryTrack) -> None:
        """Write a track. Of several tracks of an id, the first is written; the keys of all of them lead to it."""
        self._count_track()
        if not track.track_id:
            self._reject_track(reasons.NO_ID, track.row)
            return
        self._keys.add((key, track.track_id) for key in track.keys)
        if first := self._ids.get(track.track_id):
            self._reject_track(reasons.SAME_ID, track.row, id=track.track_id, detail=f"the same as row {first}")
            return
        self._ids.add([(track.track_id, str(track.row))])
        columns = {**track.columns, "audio_path": self._audio_path(track)}
        if columns.get("title") is None and (name := _file_name(track.location)):
            columns["title"], columns["artist"] = name.title, columns.get("artist") or name.artist
        self.out.add_track(track_id=track.track_id, **columns)

    def reject_track(self, reason: str, row: int, detail: str | None = None) -> None:
        """Count a record of a track that cannot be written, and reject it."""
        self._count_track()
        self._reject_track(reason, row, detail=detail)

    def add_playlist(self, playlist_id: str, name: str | None, keys: Iterable[str]) -> None:
        """Write a playlist.

        Args:
            playlist_id: its id, which gets a number if a playlist before it has the same.
            name: its name.
            keys: keys of its tracks, in order.
        """
        self.out.counts.found["playlists"] += 1
        self.report("playlists", 1)
        free = self.out.free_playlist_id(playlist_id)
        self.out.add_playlist(free, self._entries(free, keys), name, file=self.file)

    def lookup(self, key: str) -> str | None:
        """Return the id of the track that a playlist calls so."""
        return self._keys.get(key)

    def lose_rest(self, fault: str) -> None:
        """Reject what follows a fault of the file."""
        self.out.reject(TRACKS_TABLE, reasons.MALFORMED, self.file, detail=f"the rest of the file is lost: {fault}")

    def check(self, source: str) -> None:
        """Raise an InvalidDataError if no track was written."""
        if not self.out.counts.written[TRACKS_TABLE]:
            remedy = "export it again, or name the right kind of library"
            raise InvalidDataError(f"{source} has no track that can be read: {remedy}")

    def _count_track(self) -> None:
        self.out.counts.found["tracks"] += 1
        self.report("tracks", 1)

    def _reject_track(self, reason: str, row: int, **known: str | None) -> None:
        self.out.reject(TRACKS_TABLE, reason, self.file, line=row, **known)

    def _audio_path(self, track: LibraryTrack) -> str | None:
        if self.audio_root is None:
            return None
        if track.location is None:
            self.out.counts.found["tracks without a location"] += 1
            return None
        path = self.audio_root.find(track.location)
        if path is None:
            detail = utf8_path(track.location)
            self._reject_track(reasons.AUDIO_UNKNOWN, track.row, id=track.track_id, detail=detail)
        return path

    def _entries(self, playlist_id: str, keys: Iterable[str]) -> Iterator[str]:
        for number, key in enumerate(keys, 1):
            self.out.counts.found["playlist entries"] += 1
            known = self._keys.get(key)
            if known is None:
                detail = key or None
                self.out.reject(
                    PLAYLISTS_TABLE, reasons.TRACK_UNKNOWN, self.file, line=number, id=playlist_id, detail=detail
                )
            else:
                yield known


@contextlib.contextmanager
def library_tables(source: str, out: CatalogFolder, report: Report, audio_root: str | None) -> Iterator[LibraryTables]:
    """Prepare the tables of a library.

    Args:
        source: file of the library.
        out: folder to write.
        report: called as tracks and playlists are read.
        audio_root: folder with the audio files; None if the tracks get no audio.

    Raises:
        UsageError: the audio root is not a folder.
        InvalidDataError: no track was read when the block ends.
    """
    root = None if audio_root is None else AudioRoot(audio_root)
    with key_index() as ids, key_index() as keys:
        tables = LibraryTables(PurePath(source).name, out, report, root, ids, keys)
        yield tables
        tables.check(source)


def _file_name(location: str | None) -> FileName | None:
    if location is None or is_address(location):
        return None
    path = next(possible_paths(location, ""), "")
    return read_file_name(utf8_path(path)) if path else None


def popularity(plays: float | None, rating: float | None) -> float | None:
    """Combine plays and rating: the number of plays, and less than one more for the rating.

    Args:
        plays: number of plays.
        rating: rating from 0 to 1.

    Returns:
        None without a play and a rating.

    Example:
        >>> popularity(3, 0.5), popularity(None, 1), popularity(0, None)
        (3.45, 0.9, None)
    """
    total = max(plays or 0, 0) + RATING_WEIGHT * min(max(rating or 0, 0), 1)
    return round(total, 4) or None


def text_of(value: object) -> str | None:
    """Return a text without white space and NUL around it; None if nothing is left or if it is not a text."""
    return (value.strip(" \t\r\n\0") or None) if isinstance(value, str) else None


def number_of(value: object) -> float | None:
    """Return a number, also out of a text; None if it is not finite or not a number."""
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
