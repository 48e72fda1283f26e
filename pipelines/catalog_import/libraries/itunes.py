"""The library of iTunes and of Apple Music, ``Library.xml``: a property list with tracks and playlists.

Format: what ``File > Library > Export Library`` writes, after exports of versions 10 to 12 in public repositories and
their loaders. plistlib holds a whole file in memory, 4 KB per track; so elements are read one by one, by defusedxml.
Persistent ids are the ids of tracks and playlists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.libraries.library_tables import (
    LibraryTables,
    LibraryTrack,
    library_tables,
    number_of,
    popularity,
    text_of,
)
from tracktokens.pipelines.catalog_import.libraries.xml_elements import XmlElement, read_xml
from tracktokens.pipelines.catalog_import.music_folder.audio_tags import split_tags, year_of
from tracktokens.pipelines.catalog_import.music_folder.import_folder import path_id
from tracktokens.schemas.tables import import_rejects as reasons

RATING_SCALE = 100

TRACKS, PLAYLISTS, ITEMS, TRACK_ID = "Tracks", "Playlists", "Playlist Items", "Track ID"

BUILT_IN = ("Master", "Distinguished Kind", "Music", "Movies", "TV Shows", "Podcasts", "Audiobooks", "iTunesU")
"""Fields of playlists that every library has: the library itself, Music, Downloaded, Purchased, Genius, ..."""

NOT_MUSIC = ("Movie", "TV Show", "Has Video", "Music Video", "Audiobook", "iTunesU", "Voice Memo", "Ringtone")
"""Flags of tracks that are not music."""

_SECTION, _RECORD, _ITEM = 2, 3, 5
"""Number of elements around a section's name, around a track or playlist, and around an entry of a playlist."""


def import_itunes(source: str, out: CatalogFolder, report: Report, *, audio_root: str | None = None) -> None:
    """Import a library.

    Args:
        source: the XML file.
        out: folder to write.
        report: called as tracks and playlists are read.
        audio_root: folder with the audio files.

    Raises:
        UsageError: the file cannot be opened, or the audio root is not a folder.
        InvalidDataError: it has no track.
    """
    with library_tables(source, out, report, audio_root) as tables:
        first = _Reader(tables)
        for found in read_xml(source, tables):
            first.read(found)
        if first.postponed:
            second = _Reader(tables, tracks_are_known=True)
            for found in read_xml(source, tables):
                second.read(found)
                if second.section == TRACKS:
                    break


@dataclass
class _Reader:
    """Reads the sections of the property list, which other programs sort: then playlists come before their tracks."""

    tables: LibraryTables
    tracks_are_known: bool = False
    postponed: bool = False
    section: str = ""
    _rows: int = 0
    _items: list[str] = field(default_factory=list)

    def read(self, found: XmlElement) -> None:
        element, depth = found.element, len(found.parents)
        if depth == _SECTION and element.tag == "key":
            self.section = element.text or ""
            self.postponed |= self.section == PLAYLISTS and not self.tracks_are_known
            self.tracks_are_known |= self.section == TRACKS
        elif depth == _RECORD and self.section == TRACKS:
            if element.tag != "key":
                self._rows += 1
                self._read_track(element)
            found.forget()
        elif depth == _RECORD and self.section == PLAYLISTS:
            if self.tracks_are_known:
                self._read_playlist(element)
            self._items.clear()
            found.forget()
        elif depth == _ITEM and self.section == PLAYLISTS:
            self._items.append(_key(_values(element)))
            found.forget()

    def _read_track(self, element: Element) -> None:
        track = _values(element)
        if element.tag != "dict":
            self.tables.reject_track(reasons.MALFORMED, self._rows, f"{element.tag} in place of dict")
        elif track.get("Podcast"):
            self.tables.reject_track(reasons.PODCAST, self._rows, text_of(track.get("Name")))
        elif flags := [flag for flag in NOT_MUSIC if track.get(flag)]:
            self.tables.reject_track(reasons.NOT_MUSIC, self._rows, flags[0])
        elif track.get("Track Type") == "URL":
            self.tables.reject_track(reasons.NOT_A_FILE, self._rows, text_of(track.get("Location")))
        else:
            self.tables.add_track(_track(track, self._rows))

    def _read_playlist(self, element: Element) -> None:
        playlist = _values(element)
        found = self.tables.out.counts.found
        if playlist.get("Folder"):  # has the tracks of the playlists in it
            found["folders of playlists"] += 1
        elif any(name in playlist for name in BUILT_IN):
            found["built-in playlists"] += 1
        elif "Smart Info" in playlist:
            found["smart playlists"] += 1
        else:
            name = text_of(playlist.get("Name"))
            playlist_id = text_of(playlist.get("Playlist Persistent ID")) or name or "playlist"
            self.tables.add_playlist(playlist_id, name, self._items)


def _track(track: Mapping[str, Any], row: int) -> LibraryTrack:
    location = text_of(track.get("Location"))
    rating = None if track.get("Rating Computed") else number_of(track.get("Rating"))  # computed: the album's
    return LibraryTrack(
        track_id=text_of(track.get("Persistent ID")) or (path_id(location) if location else None),
        row=row,
        location=location,
        keys=(_key(track),) if TRACK_ID in track else (),
        columns={
            "title": text_of(track.get("Name")),
            "artist": text_of(track.get("Artist")) or text_of(track.get("Album Artist")),
            "album": text_of(track.get("Album")),
            "year": year_of(track.get("Year"), track.get("Release Date")),
            "tags": list(split_tags([text_of(track.get("Genre"))])) or None,
            "popularity": popularity(number_of(track.get("Play Count")), (rating or 0) / RATING_SCALE),
        },
    )


def _key(values: Mapping[str, Any]) -> str:
    return str(values.get(TRACK_ID, ""))


def _values(element: Element) -> dict[str, Any]:
    """Read the plain values of a dictionary: true, false, and all others as text."""
    return {key.text or "": _value(value) for key, value in _pairs(element) if key.tag == "key"}


def _pairs(element: Element) -> Iterator[tuple[Element, Element]]:
    children = iter(element)
    return zip(children, children)  # noqa: B905  (a key without a value is dropped)


def _value(element: Element) -> Any:
    if element.tag in ("true", "false"):
        return element.tag == "true"
    return element.text or ""
