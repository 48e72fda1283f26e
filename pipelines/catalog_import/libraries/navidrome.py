"""The database of Navidrome, ``navidrome.db``.

Format: the migrations of Navidrome from 2020 to 2026. ``media_file`` has a row per track, whose path is absolute, or
since the migration of October 2024 relative to its library's. Tags are JSON in a column since then; before, genres are
in tables. ``annotation`` has the plays and ratings of each user, which are added up and averaged. Nothing of users,
players and shares is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import orjson

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
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
from tracktokens.schemas.tables import import_rejects as reasons

RATING_SCALE = 5

COLUMNS = (
    "id",
    "path",
    "title",
    "artist",
    "album_artist",
    "album",
    "year",
    "release_year",
    "original_year",
    "genre",
    "tags",
    "lyrics",
    "missing",
)
TAG_NAMES = ("genre", "mood", "style")
"""Names in the column of tags that become tags."""

_PLAYS = """WITH plays AS (
    SELECT item_id, SUM(play_count) AS play_count, AVG(NULLIF(rating, 0)) AS rating
    FROM annotation WHERE item_type = 'media_file' GROUP BY item_id
)"""
_GENRES = """SELECT genre.name FROM media_file_genres JOIN genre ON genre.id = genre_id
    WHERE media_file_id = ? ORDER BY genre.name"""


def import_navidrome(source: str, out: CatalogFolder, report: Report, *, audio_root: str | None = None) -> None:
    """Import a database.

    Args:
        source: the database.
        out: folder to write.
        report: called as tracks and playlists are read.
        audio_root: folder with the audio files.

    Raises:
        UsageError: the file is missing or locked, or the audio root is not a folder.
        InvalidDataError: it is not a database of Navidrome, is damaged, or has no track.
    """
    with (
        library_tables(source, out, report, audio_root) as tables,
        open_library(source, "media_file", "Navidrome") as database,
    ):
        _add_tracks(database, tables)
        _add_playlists(database, tables)


def _add_tracks(database: LibraryDatabase, tables: LibraryTables) -> None:
    has_genres = bool(database.columns("media_file_genres"))
    for number, file in enumerate(database.query(_statement(database)), 1):
        if file["missing"]:
            tables.reject_track(reasons.FILE_MISSING, number, text_of(file["path"]))
        else:
            genres = [name for (name,) in database.query(_GENRES, [file["id"]])] if has_genres else []
            tables.add_track(_track(file, genres, number))


def _statement(database: LibraryDatabase) -> str:
    existing = database.columns("media_file")
    plays, library = _PLAYS if database.columns("annotation") else "", "library_id" in existing
    selected = ", ".join(
        (
            select_list("media_file", COLUMNS, existing),
            "plays.play_count, plays.rating" if plays else "NULL AS play_count, NULL AS rating",
            "library.path AS library_path" if library else "NULL AS library_path",
        )
    )
    joined = "LEFT JOIN plays ON plays.item_id = media_file.id " if plays else ""
    joined += "LEFT JOIN library ON library.id = media_file.library_id" if library else ""
    return f"{plays} SELECT {selected} FROM media_file {joined} ORDER BY media_file.id"  # noqa: S608


def _track(file: sqlite3.Row, genres: list[str], row: int) -> LibraryTrack:
    track_id, path = text_of(file["id"]), text_of(file["path"])
    library = text_of(file["library_path"])
    tags = [*_tag_values(file["tags"]), *genres] or [file["genre"]]
    return LibraryTrack(
        track_id=track_id,
        row=row,
        location=f"{library}/{path}" if path and library and not path.startswith("/") else path,
        keys=(track_id,) if track_id else (),
        columns={
            "title": text_of(file["title"]),
            "artist": text_of(file["artist"]) or text_of(file["album_artist"]),
            "album": text_of(file["album"]),
            "year": year_of(file["year"], file["release_year"], file["original_year"]),
            "tags": list(split_tags(map(text_of, tags))) or None,
            "lyrics": _lyrics(file["lyrics"]),
            "popularity": popularity(number_of(file["play_count"]), (number_of(file["rating"]) or 0) / RATING_SCALE),
        },
    )


def _tag_values(content: object) -> Iterator[str]:
    """List values out of ``{"genre": [{"id": "...", "value": "Folk"}], ...}``."""
    tags = _parse(content)
    for name in TAG_NAMES:
        values = tags.get(name) if isinstance(tags, dict) else None
        for value in values if isinstance(values, list) else ():
            text = value.get("value") if isinstance(value, dict) else value
            if isinstance(text, str):
                yield text


def _lyrics(content: object) -> str | None:
    """Convert lyrics, ``[{"line": [{"start": 1000, "value": "..."}], ...}]``, to plain text or to lines with stamps."""
    versions = _parse(content)
    if not isinstance(versions, list):
        return text_of(content)
    texts = (_lines(version) for version in versions)
    return next((text for text in texts if text), None)


def _lines(version: Any) -> str | None:
    lines = version.get("line") if isinstance(version, dict) else None
    kept = [line for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []
    return text_of("\n".join(f"{_stamp(line.get('start'))}{line.get('value') or ''}" for line in kept))


def _stamp(start: object) -> str:
    if not isinstance(start, int):
        return ""
    minutes, hundredths = divmod(start // 10, 6000)
    return f"[{minutes:02}:{hundredths // 100:02}.{hundredths % 100:02}]"


def _parse(content: object) -> Any:
    try:
        return orjson.loads(content) if isinstance(content, str | bytes) else None
    except orjson.JSONDecodeError:
        return None


def _add_playlists(database: LibraryDatabase, tables: LibraryTables) -> None:
    existing = database.columns("playlist")
    if not existing or not database.columns("playlist_tracks"):
        return
    rules = "playlist.rules" if "rules" in existing else "NULL"
    rows = database.query(
        f"SELECT playlist.id, playlist.name, {rules} AS rules, media_file_id FROM playlist "  # noqa: S608
        "LEFT JOIN playlist_tracks ON playlist_id = playlist.id ORDER BY playlist.id, playlist_tracks.id",
    )
    for playlist_id, entries in groupby(rows, key=lambda row: str(row["id"])):
        first = next(entries)
        if _parse(first["rules"]):
            tables.out.counts.found["smart playlists"] += 1
            continue
        keys = [row["media_file_id"] for row in (first, *entries) if row["media_file_id"] is not None]
        tables.add_playlist(playlist_id, text_of(first["name"]), keys)
