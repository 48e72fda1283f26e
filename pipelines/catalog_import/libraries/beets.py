"""The library of beets, ``library.db``.

Format: the models and migrations of beets. ``items`` has a row per track, whose path is a BLOB: absolute, or since
version 2.10 relative to the music folder. Genres are in ``genre``, with separators, or in newer versions in ``genres``,
with a backslash and U+2400 between them. ``item_attributes`` and ``album_attributes`` have what plugins add.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report, utf8_path
from tracktokens.pipelines.catalog_import.libraries.library_tables import (
    LibraryTables,
    LibraryTrack,
    library_tables,
    number_of,
    popularity,
    text_of,
)
from tracktokens.pipelines.catalog_import.libraries.sqlite_library import LibraryDatabase, open_library, select_list
from tracktokens.pipelines.catalog_import.music_folder.audio_tags import split_tags, year_of
from tracktokens.pipelines.catalog_import.music_folder.folder_walk import (
    PLAYLIST,
    UNLISTED,
    walk_folder,
)
from tracktokens.pipelines.catalog_import.music_folder.playlist_files import possible_paths
from tracktokens.pipelines.catalog_import.music_folder.playlist_rows import (
    add_playlist_file,
    comparable_path,
    find_entry,
    reject_folder,
)
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

SEPARATOR = "\\\u2400"
"""Separator of several values in a column."""

COLUMNS = (
    "id",
    "path",
    "album_id",
    "title",
    "artist",
    "albumartist",
    "album",
    "year",
    "original_year",
    "lyrics",
    "isrc",
)
TAG_FIELDS = ("genres", "genre", "style", "styles", "mood", "moods")
"""Columns and attributes that become tags."""

PLAYS, RATING = "play_count", "rating"
"""Attributes of the plugins mpdstats and lastimport; ratings are from 0 to 1."""


def import_beets(
    source: str, out: CatalogFolder, report: Report, *, audio_root: str | None = None, playlists: str | None = None
) -> None:
    """Import a library.

    Args:
        source: the database.
        out: folder to write.
        report: called as tracks and playlists are read.
        audio_root: folder with the audio files.
        playlists: folder with playlist files, which the plugins playlist and smartplaylist use; None without any.

    Raises:
        UsageError: the file is missing or locked, or a folder is missing.
        InvalidDataError: it is not a library of beets, is damaged, or has no track.
    """
    if playlists is not None and not Path(playlists).is_dir():
        raise UsageError(f"{playlists} is not a folder: give the folder with the playlists as --playlists")
    with library_tables(source, out, report, audio_root) as tables, open_library(source, "items", "beets") as database:
        existing = database.columns("items")
        names = [*COLUMNS, *(name for name in TAG_FIELDS if name in existing)]
        statement = f"SELECT {select_list('items', names, existing)} FROM items ORDER BY id"  # noqa: S608
        attributes = _Attributes(database, out)
        for number, item in enumerate(database.query(statement), 1):
            tables.add_track(_track(item, attributes.of_item(item), number))
        if playlists is not None:
            _add_playlists(playlists, tables, report)


class _Attributes:
    """Attributes of items; those of an item's album hold where it has none itself."""

    def __init__(self, database: LibraryDatabase, out: CatalogFolder) -> None:
        self._database = database
        self._out = out
        self._has = {kind: bool(database.columns(f"{kind}_attributes")) for kind in ("item", "album")}

    def of_item(self, item: sqlite3.Row) -> dict[str, str]:
        """Return the attributes of an item that are used, and count the others."""
        own = self._read("item", item["id"])
        used = (*TAG_FIELDS, PLAYS, RATING)
        if others := sum(name not in used for name in own):
            self._out.counts.found["attributes without a column"] += others
        album = self._read("album", item["album_id"])
        return {name: value for name, value in (album | own).items() if name in used}

    def _read(self, kind: str, number: int | None) -> dict[str, str]:
        if number is None or not self._has[kind]:
            return {}
        statement = f"SELECT key, value FROM {kind}_attributes WHERE entity_id = ? ORDER BY id"  # noqa: S608
        return {row["key"]: str(row["value"]) for row in self._database.query(statement, [number])}


def _track(item: sqlite3.Row, attributes: Mapping[str, str], row: int) -> LibraryTrack:
    path = item["path"]
    location = os.fsdecode(path) if isinstance(path, bytes) else text_of(path)
    first = next(possible_paths(location, ""), None) if location else None
    rating = number_of(attributes.get(RATING))
    values = [attributes.get(name) or (item[name] if name in item.keys() else None) for name in TAG_FIELDS]  # noqa: SIM118
    lists = [text.replace(SEPARATOR, "\n") for text in map(text_of, values) if text]
    return LibraryTrack(
        track_id=str(item["id"]),
        row=row,
        location=location,
        keys=(first, comparable_path(first)) if first else (),
        columns={
            "title": text_of(item["title"]),
            "artist": text_of(item["artist"]) or text_of(item["albumartist"]),
            "album": text_of(item["album"]),
            "year": year_of(item["year"], item["original_year"]),
            "tags": list(split_tags(lists)) or None,
            "lyrics": text_of(item["lyrics"]),
            "isrc": text_of(item["isrc"]),
            "popularity": popularity(number_of(attributes.get(PLAYS)), rating if rating and rating <= 1 else None),
        },
    )


def _add_playlists(folder: str, tables: LibraryTables, report: Report) -> None:
    """Write the playlist files of a folder; relative paths in them are relative to their place on this machine."""
    for found in walk_folder(folder):
        if found.kind == UNLISTED:
            reject_folder(found, PLAYLISTS_TABLE, tables.out)
        elif found.kind == PLAYLIST:
            tables.out.counts.found["playlists"] += 1
            path = Path(folder, found.path).absolute()
            lookup = partial(find_entry, folder=str(PurePosixPath(path.parent)).lstrip("/"), get=tables.lookup)
            add_playlist_file(path, utf8_path(found.path), lookup, tables.out)
            report("playlists", 1)
