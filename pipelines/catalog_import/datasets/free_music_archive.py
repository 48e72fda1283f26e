"""FMA, the dataset of the Free Music Archive: the folder ``fma_metadata``.

Format: the README, ``utils.py`` and ``creation.py`` of the repository ``mdeff/fma``. ``tracks.csv`` has two lines of
column names, the group above the name, and a third one that names the index, ``track_id``. Lists are Python's.
``genres.csv`` names the genres. The audio of track 2 is ``000/000002.mp3`` below ``fma_small``, ``fma_medium``,
``fma_large`` or ``fma_full``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.delimited_rows import (
    COLUMNS_NOT_USED,
    DelimitedFile,
    number_or_null,
    read_value,
    text_or_null,
    year_or_null,
)
from tracktokens.pipelines.catalog_import.key_index import KeyIndex, key_index
from tracktokens.pipelines.catalog_import.source_files import count_unused_files
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import TRACKS_TABLE

SUBSETS = ("small", "medium", "large", "full")
"""Subsets, each of which has all tracks of the one before it."""

TRACKS_CSV, GENRES_CSV = "tracks.csv", "genres.csv"

_ID = ("", "")
_SUBSET, _TITLE, _ARTIST, _ALBUM = ("set", "subset"), ("track", "title"), ("artist", "name"), ("album", "title")
_GENRES, _TAGS, _LISTENS = ("track", "genres_all"), ("track", "tags"), ("track", "listens")
_DATES = (("album", "date_released"), ("track", "date_recorded"))

Row = dict[tuple[str, str], str | None]
"""Fields of a track by group and name of their columns."""


def find_audio(source: str) -> str | None:
    """Return the folder of the audio files beside or in the folder of the metadata, the largest of several."""
    folders = (Path(parent, f"fma_{subset}") for subset in SUBSETS[::-1] for parent in (source, Path(source).parent))
    return next((str(folder) for folder in folders if folder.is_dir()), None)


def import_free_music_archive(
    source: str, out: CatalogFolder, report: Report, *, subset: str = "full", audio_root: str | None = None
) -> None:
    """Import the tracks; the dataset has no playlists.

    Args:
        source: folder with ``tracks.csv``, or its parent.
        out: folder to write.
        report: called as tracks are read.
        subset: one of ``SUBSETS``.
        audio_root: folder of the audio files, if there are any.

    Raises:
        UsageError: the folder has no ``tracks.csv``.
        InvalidDataError: it is not of FMA, or has no track of the subset.
    """
    folder = next((one for one in (Path(source), Path(source, "fma_metadata")) if (one / TRACKS_CSV).is_file()), None)
    if folder is None:
        raise UsageError(f"{source} has no {TRACKS_CSV}: give the folder fma_metadata")
    count_unused_files(folder, (TRACKS_CSV, GENRES_CSV), out)
    with key_index() as seen:
        job = _FmaImport(out, _read_genres(folder, out), seen, None if audio_root is None else Path(audio_root))
        for line, row in _read_tracks(folder / TRACKS_CSV, out):
            report("tracks", 1)
            if _in_subset(row[_SUBSET], subset):
                job.add(line, row)
            else:
                out.counts.found["tracks of larger subsets"] += 1
    if not out.counts.written[TRACKS_TABLE]:
        raise InvalidDataError(f"{folder / TRACKS_CSV} has no track of the subset {subset}: choose a larger one")


def _read_tracks(path: Path, out: CatalogFolder) -> Iterator[tuple[int, Row]]:
    """Read the rows below the three lines of the header."""
    records = DelimitedFile(path=path, table=TRACKS_TABLE, delimiter=",").records(out)
    groups, names = next(records, (0, []))[1], next(records, (0, []))[1]
    columns = list(zip(groups, names, strict=False))[1:]
    needed = (_SUBSET, _TITLE, _ARTIST, _ALBUM, _GENRES)
    if missing := [column for column in needed if column not in columns]:
        raise InvalidDataError(f"{path} has no column {'/'.join(missing[0])} in its first two lines: give FMA's file")
    used = {*needed, _TAGS, _LISTENS, *_DATES}
    out.counts.found[COLUMNS_NOT_USED] += sum(column not in used for column in columns)
    for line, fields in records:
        if fields[0] == "track_id":
            continue
        out.counts.found["rows"] += 1
        if len(fields) != len(columns) + 1:
            detail = f"{len(fields)} fields, not {len(columns) + 1}"
            out.reject(TRACKS_TABLE, reasons.MALFORMED, path.name, line=line, detail=detail)
            continue
        row: Row = dict(zip(columns, map(text_or_null, fields[1:]), strict=True))
        row[_ID] = fields[0].strip()
        yield line, row


def _read_genres(folder: Path, out: CatalogFolder) -> dict[str, str]:
    path = folder / GENRES_CSV
    if not path.is_file():
        raise UsageError(f"{folder} has no {GENRES_CSV}: give the folder fma_metadata as it was unpacked")
    rows = DelimitedFile(path=path, table=TRACKS_TABLE, delimiter=",").rows(out, ("genre_id", "title"))
    return {row["genre_id"]: row["title"] for _, row in rows if row["genre_id"] and row["title"]}


def _in_subset(text: str | None, subset: str) -> bool:
    rank = SUBSETS.index(text) if text in SUBSETS else len(SUBSETS) - 1
    return rank <= SUBSETS.index(subset)


@dataclass(frozen=True)
class _FmaImport:
    out: CatalogFolder
    genres: dict[str, str]
    seen: KeyIndex
    audio_root: Path | None

    def add(self, line: int, row: Row) -> None:
        """Write a track, or reject it."""
        number = row[_ID] or ""
        if not number.isascii() or not number.isdigit():
            self.out.reject(TRACKS_TABLE, reasons.NO_ID, TRACKS_CSV, line=line, detail=number)
            return
        track_id = str(int(number))
        if first := self.seen.get(track_id):
            detail = f"the same as line {first}"
            self.out.reject(TRACKS_TABLE, reasons.SAME_ID, TRACKS_CSV, line=line, id=track_id, detail=detail)
            return
        self.seen.add([(track_id, str(line))])
        reject = partial(self._reject_value, line, track_id)
        self.out.add_track(
            track_id=track_id,
            title=row[_TITLE],
            artist=row[_ARTIST],
            album=row[_ALBUM],
            year=next((year for date in _DATES if (year := read_value(year_or_null, row.get(date), reject))), None),
            tags=self._tags(line, track_id, row) or None,
            audio_path=self._audio(int(number)),
            popularity=read_value(number_or_null, row.get(_LISTENS), reject),
        )

    def _tags(self, line: int, track_id: str, row: Row) -> list[str]:
        tags = []
        for number in self._list(line, track_id, row[_GENRES]):
            if name := self.genres.get(str(number)):
                tags.append(name)
            else:
                self._reject_value(line, track_id, f"genre {number} is not in {GENRES_CSV}")
        tags += [text for tag in self._list(line, track_id, row.get(_TAGS)) if (text := " ".join(str(tag).split()))]
        return list(dict.fromkeys(tags))

    def _list(self, line: int, track_id: str, text: str | None) -> list[Any]:
        try:
            value = ast.literal_eval(text or "[]")
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            value = None
        if isinstance(value, list):
            return value
        self._reject_value(line, track_id, "a list that is not in Python's notation")
        return []

    def _reject_value(self, line: int, track_id: str, detail: str) -> None:
        self.out.reject(TRACKS_TABLE, reasons.VALUE_UNREADABLE, TRACKS_CSV, line=line, id=track_id, detail=detail)

    def _audio(self, number: int) -> str | None:
        if self.audio_root is None:
            return None
        name = f"{number:06d}"
        path = f"{name[:3]}/{name}.mp3"
        if (self.audio_root / path).is_file():
            return path
        self.out.counts.found["tracks without audio file"] += 1
        return None
