"""The Million Playlist Dataset: slices of playlists, ``mpd.slice.0-999.json``, and the challenge set.

Format: the README of the dataset (AIcrowd, Spotify Million Playlist Dataset Challenge). A slice is one JSON object with
``playlists``, each with ``pid``, ``name``, and ``tracks`` with ``pos``, ``track_uri``, ``track_name``, ``artist_name``
and ``album_name``. Tracks are the distinct URIs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.distinct_tracks import DistinctTracks, distinct_tracks
from tracktokens.pipelines.catalog_import.source_files import open_file
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

_NUMBERS = re.compile(r"\d+")
_NO_WORD = re.compile(r"[^\w&'+]+")

Place = tuple[str, int]
"""A slice, and the number of a playlist in it, from 1."""


def import_million_playlists(
    source: str, out: CatalogFolder, report: Report, *, tags_from_names: int | None = None
) -> None:
    """Import slices.

    Args:
        source: a slice or the challenge set, or the folder that has them.
        out: folder to write.
        report: called as playlists are read.
        tags_from_names: number of playlists of one name that have to hold a track for the name to become a tag of it;
            None for no tags.

    Raises:
        UsageError: the file is missing, or the folder has none.
        InvalidDataError: no playlist can be read.
    """
    with distinct_tracks() as tracks:
        for path in _slices(source):
            out.counts.found["slices"] += 1
            for number, playlist in enumerate(_playlists(path, out), 1):
                out.counts.found["playlists"] += 1
                _add(playlist, (path.name, number), out, tracks, tags=tags_from_names is not None)
                report("playlists", 1)
        if not out.counts.written[PLAYLISTS_TABLE]:
            raise InvalidDataError(f"{source} has no playlist that can be read: give the folder of the slices")
        tracks.write(out, tags_from_names or 1)


def name_tag(name: str) -> str | None:
    """Convert the name of a playlist to a tag: lower-case words; None without a letter.

    Example:
        >>> name_tag("  ROAD-trip!! 🚗 "), name_tag("2016"), name_tag("R&B")
        ('road trip', None, 'r&b')
    """
    text = " ".join(_NO_WORD.sub(" ", name.replace("_", " ").casefold()).split())
    return text if any(character.isalpha() for character in text) else None


def _slices(source: str) -> list[Path]:
    """List the slices by the numbers in their names."""
    path = Path(source)
    if path.is_file():
        return [path]
    found = sorted(path.glob("*.json"), key=lambda one: ([int(n) for n in _NUMBERS.findall(one.name)], one.name))
    found = found or sorted(path.glob("data/*.json"), key=lambda one: [int(n) for n in _NUMBERS.findall(one.name)])
    if not found:
        raise UsageError(f"{source} has no JSON file: give the folder of the slices (mpd.slice.*.json)")
    return found


def _playlists(path: Path, out: CatalogFolder) -> Iterator[Any]:
    """Read a slice as a whole; of one that is cut, the playlists before the cut."""
    try:
        with open_file(path) as file:
            content = file.read()
    except OSError as error:
        out.reject(PLAYLISTS_TABLE, reasons.FILE_UNREADABLE, path.name, detail=error.strerror)
        return
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        yield from _before_the_fault(path, content, out, str(error))
        return
    listed = parsed.get("playlists") if isinstance(parsed, dict) else None
    if isinstance(listed, list):
        yield from listed
    else:
        out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, path.name, detail="not an object with a list of playlists")


def _before_the_fault(path: Path, content: bytes, out: CatalogFolder, fault: str) -> Iterator[Any]:
    import ijson

    try:
        yield from ijson.items(content, "playlists.item", use_float=True)
    except (ijson.JSONError, UnicodeDecodeError):
        out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, path.name, detail=f"the rest of the file is lost: {fault}")


def _add(playlist: Any, place: Place, out: CatalogFolder, tracks: DistinctTracks, *, tags: bool) -> None:
    """Write a playlist, and add its tracks."""
    file, number = place
    entries = playlist.get("tracks") if isinstance(playlist, Mapping) else None
    playlist_id = _playlist_id(playlist) if isinstance(entries, list) else None
    if not isinstance(entries, list) or playlist_id is None:
        out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, file, line=number, detail="not an object with pid and tracks")
        return
    name, uris = _text(playlist.get("name")), _entries(entries, place, playlist_id, out, tracks)
    written = out.add_playlist(playlist_id, uris, name, file=file, line=number)
    if tags and name is not None and (tag := name_tag(name)):
        tracks.count_tags((uri, tag) for uri in dict.fromkeys(written))


def _entries(
    entries: list[Any], place: Place, playlist_id: str, out: CatalogFolder, tracks: DistinctTracks
) -> Iterator[str]:
    file, number = place
    out.counts.found["playlist entries"] += len(entries)
    for entry in sorted(entries, key=_position):
        uri = entry.get("track_uri") if isinstance(entry, Mapping) else None
        if isinstance(uri, str) and uri:
            tracks.add(uri, {column: _text(entry.get(key)) for column, key in _COLUMNS.items()})
            yield uri
        else:
            detail = "a track without URI"
            out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, file, line=number, id=playlist_id, detail=detail)


_COLUMNS = {"title": "track_name", "artist": "artist_name", "album": "album_name"}


def _playlist_id(playlist: Mapping[str, Any]) -> str | None:
    """Return the pid; None if it is not a number or a text."""
    pid = playlist.get("pid")
    return str(pid).strip() or None if isinstance(pid, int | str) and not isinstance(pid, bool) else None


def _position(entry: Any) -> float:
    position = entry.get("pos") if isinstance(entry, Mapping) else None
    return position if isinstance(position, int | float) else float("inf")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
