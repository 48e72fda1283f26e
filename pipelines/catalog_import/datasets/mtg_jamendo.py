"""MTG-Jamendo: ``autotagging.tsv`` and its subsets and splits, with ``raw.meta.tsv`` for titles and artists.

Format: the README and ``scripts/commons.py`` of the repository ``MTG/mtg-jamendo-dataset``. A row has ``TRACK_ID``,
``ARTIST_ID``, ``ALBUM_ID``, ``PATH``, ``DURATION`` and ``TAGS``; each further tag is a field of its own, as
``genre---rock``. Quotes are text. Some rows of ``raw.meta.tsv`` have a blank field too many after the title. The audio
of ``14/214.mp3`` may be ``14/214.low.mp3``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.delimited_rows import (
    DelimitedFile,
    read_value,
    text_or_null,
    year_or_null,
)
from tracktokens.pipelines.catalog_import.key_index import KeyIndex, key_index
from tracktokens.pipelines.catalog_import.source_files import count_unused_files
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import TRACKS_TABLE

META_TSV = "raw.meta.tsv"
TABLES = ("autotagging.tsv", "raw_30s_cleantags_50artists.tsv", "raw_30s_cleantags.tsv", "raw_30s.tsv", "raw.tsv")
"""Tables of all tracks, of which the first that a folder has is imported."""

_COLUMNS = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
_META_HEADER = [*_COLUMNS[:3], "TRACK_NAME", "ARTIST_NAME", "ALBUM_NAME", "RELEASEDATE", "URL"]
_META_COLUMNS = len(_META_HEADER)
_CATEGORY = "---"


def import_mtg_jamendo(source: str, out: CatalogFolder, report: Report, *, audio_root: str | None = None) -> None:
    """Import the tracks; the dataset has no playlists.

    Args:
        source: a table, or the folder that has it, or the repository.
        out: folder to write.
        report: called as tracks are read.
        audio_root: folder of the audio files, if there are any.

    Raises:
        UsageError: the folder has no table.
        InvalidDataError: it is not of the dataset, or no row can be read.
    """
    table = _find_table(Path(source))
    if table != Path(source):
        count_unused_files(table.parent, (table.name, META_TSV), out)
    with key_index() as meta, key_index() as seen:
        rows = _read_meta(table, out, meta)
        job = _JamendoImport(out, table.name, meta, seen, None if audio_root is None else Path(audio_root))
        for line, fields in _read_table(table, out):
            job.add(line, fields)
            report("tracks", 1)
        if unused := rows - job.named:
            out.counts.found[f"{META_TSV} rows of unknown tracks"] += unused
    if not out.counts.written[TRACKS_TABLE]:
        raise InvalidDataError(f"{table} has no track that can be read: give {TABLES[0]}")


def _find_table(path: Path) -> Path:
    if path.is_file():
        return path
    for folder in (path, path / "data"):
        for name in TABLES:
            if (folder / name).is_file():
                return folder / name
    raise UsageError(f"{path} has no {TABLES[0]}: give a TSV file of the dataset, or the folder that has it")


def _read_table(path: Path, out: CatalogFolder) -> Iterator[tuple[int, list[str]]]:
    records = DelimitedFile(path=path, table=TRACKS_TABLE, quoted=False).records(out)
    if next(records, (0, []))[1] != _COLUMNS:
        raise InvalidDataError(f"{path} does not begin with {', '.join(_COLUMNS)}: give a table of MTG-Jamendo")
    return records


def _read_meta(table: Path, out: CatalogFolder, meta: KeyIndex) -> int:
    """Read titles, artists and albums, from beside the table or a folder above it; return the number of tracks."""
    paths = (folder / META_TSV for folder in table.absolute().parents[:4])
    path = next(filter(os.path.lexists, paths), None)
    rows = 0
    if path is None:
        return rows
    for line, fields in DelimitedFile(path=path, table=TRACKS_TABLE, quoted=False).records(out):
        if len(fields) == _META_COLUMNS + 1 and not fields[4].strip():
            del fields[4]
        if len(fields) != _META_COLUMNS:
            detail = f"{len(fields)} fields, not {_META_COLUMNS}"
            out.reject(TRACKS_TABLE, reasons.MALFORMED, META_TSV, line=line, id=fields[0], detail=detail)
        elif fields == _META_HEADER:
            continue
        elif meta.claim(fields[0], orjson.dumps([line, *map(text_or_null, fields[3:7])]).decode()):
            out.reject(TRACKS_TABLE, reasons.SAME_ID, META_TSV, line=line, id=fields[0])
        else:
            rows += 1
    return rows


@dataclass
class _JamendoImport:
    out: CatalogFolder
    file: str
    meta: KeyIndex
    seen: KeyIndex
    audio_root: Path | None
    named: int = 0
    """Tracks with title and artist."""

    def add(self, line: int, fields: list[str]) -> None:
        """Write a track, or reject it."""
        self.out.counts.found["rows"] += 1
        track_id = fields[0].strip()
        if len(fields) < len(_COLUMNS):
            detail = f"{len(fields)} fields, not {len(_COLUMNS)} or more"
            self.out.reject(TRACKS_TABLE, reasons.MALFORMED, self.file, line=line, id=track_id or None, detail=detail)
        elif not track_id:
            self.out.reject(TRACKS_TABLE, reasons.NO_ID, self.file, line=line)
        elif first := self.seen.get(track_id):
            detail = f"the same as line {first}"
            self.out.reject(TRACKS_TABLE, reasons.SAME_ID, self.file, line=line, id=track_id, detail=detail)
        else:
            self.seen.add([(track_id, str(line))])
            tags = dict.fromkeys(tag for field in fields[5:] if (tag := field.partition(_CATEGORY)[2].strip()))
            self.out.add_track(
                track_id=track_id, tags=list(tags) or None, audio_path=self._audio(fields[3]), **self._names(track_id)
            )

    def _names(self, track_id: str) -> dict[str, Any]:
        found = self.meta.get(track_id)
        if found is None:
            self.out.counts.found["tracks without title and artist"] += 1
            return {}
        self.named += 1
        line, title, artist, album, released = orjson.loads(found)
        reject = partial(self.out.reject, TRACKS_TABLE, reasons.VALUE_UNREADABLE, META_TSV, line=line, id=track_id)
        year = read_value(year_or_null, released, reject)
        return {"title": title, "artist": artist, "album": album, "year": year}

    def _audio(self, path: str) -> str | None:
        if self.audio_root is None:
            return None
        below = PurePosixPath(path.strip())
        if below.name and not below.is_absolute() and ".." not in below.parts:
            for name in (below, below.with_suffix(f".low{below.suffix}")):
                if (self.audio_root / name).is_file():
                    return str(name)
        self.out.counts.found["tracks without audio file"] += 1
        return None
