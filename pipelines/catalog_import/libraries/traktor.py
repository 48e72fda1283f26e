"""A collection of Traktor, ``collection.nml``, or a playlist that was exported as NML.

Format: collections of Traktor 3 (NML version 19) in public repositories, and the loaders of traktor-nml-utils and other
converters. ``COLLECTION`` has an ``ENTRY`` per track, whose ``LOCATION`` is the file: ``VOLUME``, ``DIR`` with ``/:``
as separator, and ``FILE``. ``PLAYLISTS`` is a tree of ``NODE``. An entry of a playlist has the location as one text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
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

RANKING_SCALE = 255

BUILT_IN = ("_LOOPS", "_RECORDINGS")
"""Playlists that every collection has."""

_DRIVE = re.compile(r"[A-Za-z]:")
_SEPARATOR = re.compile(r":?/:?")


def import_traktor(source: str, out: CatalogFolder, report: Report, *, audio_root: str | None = None) -> None:
    """Import a collection.

    Args:
        source: the NML file.
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
        if element.tag == "ENTRY" and parent.tag == "COLLECTION":
            self._rows += 1
            self.tables.add_track(_track(element, self._rows))
            found.forget()
        elif element.tag == "ENTRY" and parent.tag == "PLAYLIST":
            self._keys.append(_normal(_attribute(element, "PRIMARYKEY", "KEY") or ""))
            found.forget()
        elif element.tag == "NODE":
            self._read_node(element, [outer for outer in found.parents if outer.tag == "NODE"])
            found.forget()
        elif element.tag == "SET":
            self.tables.out.counts.found["remix sets"] += 1
            found.forget()

    def _read_node(self, node: Element, folders: list[Element]) -> None:
        found, name = self.tables.out.counts.found, text_of(node.get("NAME"))
        if node.get("TYPE") == "FOLDER":
            if folders:  # not $ROOT
                found["folders of playlists"] += 1
        elif node.get("TYPE") == "SMARTLIST":
            found["smart playlists"] += 1
        elif name in BUILT_IN:
            found["built-in playlists"] += 1
        else:
            path = [folder.get("NAME", "") for folder in folders[1:]]
            self.tables.add_playlist(
                _attribute(node, "PLAYLIST", "UUID") or "/".join([*path, name or "playlist"]), name, self._keys
            )
        self._keys.clear()


def _track(entry: Element, row: int) -> LibraryTrack:
    location = entry.find("LOCATION")
    key = _normal(_file_key(location)) if location is not None else ""
    ranking = number_of(_attribute(entry, "INFO", "RANKING"))
    return LibraryTrack(
        track_id=path_id(key) if key else None,
        row=row,
        location=None if location is None else _path(location),
        keys=(key,) if key else (),
        columns={
            "title": text_of(entry.get("TITLE")),
            "artist": text_of(entry.get("ARTIST")),
            "album": _attribute(entry, "ALBUM", "TITLE"),
            "year": year_of(_attribute(entry, "INFO", "RELEASE_DATE")),
            "tags": list(split_tags([_attribute(entry, "INFO", "GENRE")])) or None,
            "popularity": popularity(number_of(_attribute(entry, "INFO", "PLAYCOUNT")), (ranking or 0) / RANKING_SCALE),
        },
    )


def _file_key(location: Element) -> str:
    """Return the location as playlists write it; blank without a file."""
    parts = [location.get(name, "") for name in ("VOLUME", "DIR", "FILE")]
    return "".join(parts) if parts[-1] else ""


def _path(location: Element) -> str:
    """Return the location as a path: of a drive of Windows, or with the volume as the first folder."""
    volume = location.get("VOLUME", "")
    folder = location.get("DIR", "").replace("/:", "/")
    return f"{volume if _DRIVE.fullmatch(volume) else f'/{volume}'}{folder}{location.get('FILE', '')}"


def _attribute(element: Element, child: str, name: str) -> str | None:
    found = element.find(child)
    return None if found is None else text_of(found.get(name))


def _normal(key: str) -> str:
    """Convert a key to a form in which separators are equal, which other programs than Traktor write as ``/``."""
    return _SEPARATOR.sub("/", unicodedata.normalize("NFC", key.strip()))
