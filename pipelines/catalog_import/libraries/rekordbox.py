"""A library of rekordbox, ``File > Export Collection in xml format``.

Format: "rekordbox XML format list" of AlphaTheta (Pioneer DJ), and the loaders of pyrekordbox and rekordcrate. A
``COLLECTION`` has a ``TRACK`` per track. ``PLAYLISTS`` is a tree of ``NODE``, of which ``Type`` 0 is a folder and 1 a
playlist. A playlist names its tracks by ``TrackID``, or by ``Location`` if its ``KeyType`` is 1.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote
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

RATING_SCALE = 255

FOLDER, BY_LOCATION = "0", "1"
"""``Type`` of a folder, and ``KeyType`` of a playlist that names its tracks by their locations."""

_MY_TAGS = re.compile(r"/\*(.*?)\*/")


def import_rekordbox(source: str, out: CatalogFolder, report: Report, *, audio_root: str | None = None) -> None:
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
        reader = _Reader(tables)
        for found in read_xml(source, tables):
            reader.read(found)


@dataclass
class _Reader:
    tables: LibraryTables
    _rows: int = 0
    _keys: list[str] = field(default_factory=list)

    def read(self, found: XmlElement) -> None:
        """Read a complete element."""
        element, parent = found.element, found.parents[-1]
        if element.tag == "TRACK" and parent.tag == "COLLECTION":
            self._rows += 1
            self.tables.add_track(_track(element.attrib, self._rows))
            found.forget()
        elif element.tag == "TRACK" and parent.tag == "NODE":
            key = element.get("Key", "")
            self._keys.append(_location_key(key) if parent.get("KeyType") == BY_LOCATION else _id_key(key))
            found.forget()
        elif element.tag == "NODE":
            self._read_node(element, [outer for outer in found.parents if outer.tag == "NODE"])
            found.forget()

    def _read_node(self, node: Element, folders: list[Element]) -> None:
        if node.get("Type") != FOLDER:
            name = text_of(node.get("Name"))
            path = [folder.get("Name", "") for folder in folders[1:]]  # without ROOT
            self.tables.add_playlist("/".join([*path, name or "playlist"]), name, self._keys)
        elif folders:
            self.tables.out.counts.found["folders of playlists"] += 1
        self._keys.clear()


def _track(track: Mapping[str, str], row: int) -> LibraryTrack:
    track_id, location = text_of(track.get("TrackID")), text_of(track.get("Location"))
    return LibraryTrack(
        track_id=track_id,
        row=row,
        location=location,
        keys=(*([_id_key(track_id)] if track_id else []), *([_location_key(location)] if location else [])),
        columns={
            "title": text_of(track.get("Name")),
            "artist": text_of(track.get("Artist")),
            "album": text_of(track.get("Album")),
            "year": year_of(track.get("Year")),
            "tags": list(split_tags([track.get("Genre"), *_my_tags(track.get("Comments", ""))])) or None,
            "popularity": popularity(
                number_of(track.get("PlayCount")), (number_of(track.get("Rating")) or 0) / RATING_SCALE
            ),
        },
    )


def _my_tags(comments: str) -> Iterator[str]:
    """List the "My Tags" of a track, which rekordbox writes into its comments: ``/* Deep / Vocal */``."""
    return (match[1] for match in _MY_TAGS.finditer(comments))


def _id_key(key: str) -> str:
    return f"TrackID {key.strip()}"


def _location_key(key: str) -> str:
    return f"Location {unicodedata.normalize('NFC', unquote(key.strip()))}"
