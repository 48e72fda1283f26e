"""Music4All: a folder of tables, lyrics and clips.

Format: Santana et al., "Music4All: A New Music Database and Its Applications" (IWSSIP 2020), and public loaders. The
files end in ``.csv`` and have tabs. ``id_information.csv`` has ``id``, ``artist``, ``song`` and ``album_name``;
``id_metadata.csv`` the ``popularity`` and year of ``release``; ``id_genres.csv`` and ``id_tags.csv`` lists with commas;
``listening_history.csv`` has ``user``, ``song`` and ``timestamp``, as ``2019-02-20 12:28``. Lyrics are
``lyrics/ID.txt``, audio is ``audios/ID.mp3``.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.delimited_rows import (
    DelimitedFile,
    number_or_null,
    read_value,
    year_or_null,
)
from tracktokens.pipelines.catalog_import.key_index import KeyIndex, key_index
from tracktokens.pipelines.catalog_import.listening_sessions import (
    GAP_MINUTES,
    ListeningHistory,
    listening_history,
)
from tracktokens.pipelines.catalog_import.lyrics_files import LyricsError, read_lyrics_file
from tracktokens.pipelines.catalog_import.source_files import count_unused_files
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE, TRACKS_TABLE

INFORMATION, HISTORY = "id_information.csv", "listening_history.csv"
METADATA, GENRES, TAGS = "id_metadata.csv", "id_genres.csv", "id_tags.csv"
SIDE_FILES = {METADATA: ("popularity", "release"), GENRES: ("genres",), TAGS: ("tags",)}
"""Files that may be missing, with more columns of the tracks."""

LYRICS, AUDIOS = "lyrics", "audios"
"""Folders."""


def has_audio(source: str) -> bool:
    """Return whether the folder has the clips."""
    return Path(source, AUDIOS).is_dir()


def import_music4all(source: str, out: CatalogFolder, report: Report, *, gap_minutes: float = GAP_MINUTES) -> None:
    """Import the tracks, and the listening history as sessions.

    Args:
        source: the folder.
        out: folder to write.
        report: called as rows are read.
        gap_minutes: pause that ends a session.

    Raises:
        UsageError: the folder has no ``id_information.csv``.
        InvalidDataError: a file lacks a column, or no track can be read.
    """
    folder = Path(source)
    if not (folder / INFORMATION).is_file():
        raise UsageError(f"{source} has no {INFORMATION}: give the folder of Music4All")
    count_unused_files(folder, (INFORMATION, HISTORY, *SIDE_FILES), out)
    with contextlib.ExitStack() as stack:
        sides = {name: stack.enter_context(_side_file(folder, name, out)) for name in SIDE_FILES}
        seen = stack.enter_context(key_index())
        tracks = _Tracks(folder, out, sides, seen, has_audio(source))
        for line, row in DelimitedFile(path=folder / INFORMATION, table=TRACKS_TABLE).rows(
            out, _COLUMNS, ("album_name",)
        ):
            tracks.add(line, row)
            report("tracks", 1)
        tracks.count_unused()
        if not out.counts.written[TRACKS_TABLE]:
            raise InvalidDataError(f"{folder / INFORMATION} has no track that can be read: give the original file")
        if os.path.lexists(folder / HISTORY):
            _import_history(folder / HISTORY, out, report, seen, gap_minutes)


_COLUMNS = ("id", "artist", "song")


@dataclass(frozen=True)
class _SideFile:
    index: KeyIndex
    rows: int

    def get(self, track_id: str) -> list[str | None] | None:
        found = self.index.get(track_id)
        columns: list[str | None] | None = None if found is None else orjson.loads(found)
        return columns


@contextlib.contextmanager
def _side_file(folder: Path, name: str, out: CatalogFolder) -> Iterator[_SideFile]:
    """Read a file of more columns, if the folder has it. Of several rows of a track, the first stays."""
    columns = SIDE_FILES[name]
    with key_index() as index:
        rows = 0
        if os.path.lexists(folder / name):
            for line, row in DelimitedFile(path=folder / name, table=TRACKS_TABLE).rows(out, ("id", *columns)):
                track_id = row["id"]
                if track_id is None:
                    out.reject(TRACKS_TABLE, reasons.NO_ID, name, line=line)
                elif index.get(track_id) is not None:
                    out.reject(TRACKS_TABLE, reasons.SAME_ID, name, line=line, id=track_id)
                else:
                    index.add([(track_id, orjson.dumps([row[column] for column in columns]).decode())])
                    rows += 1
        yield _SideFile(index, rows)


@dataclass
class _Tracks:
    folder: Path
    out: CatalogFolder
    sides: Mapping[str, _SideFile]
    seen: KeyIndex
    audio: bool
    used: Counter[str] = field(default_factory=Counter)
    """Files of a folder that are of a track."""

    def add(self, line: int, row: Mapping[str, str | None]) -> None:
        """Write a track, or reject it."""
        self.out.counts.found["rows"] += 1
        track_id = row["id"]
        if track_id is None:
            self.out.reject(TRACKS_TABLE, reasons.NO_ID, INFORMATION, line=line)
            return
        if first := self.seen.get(track_id):
            detail = f"the same as line {first}"
            self.out.reject(TRACKS_TABLE, reasons.SAME_ID, INFORMATION, line=line, id=track_id, detail=detail)
            return
        self.seen.add([(track_id, str(line))])
        popularity, release = self._side(METADATA, track_id) or (None, None)
        lists = [*(self._side(GENRES, track_id) or ()), *(self._side(TAGS, track_id) or ())]
        tags = (text for listed in lists for tag in (listed or "").split(",") if (text := " ".join(tag.split())))
        reject = partial(self.out.reject, TRACKS_TABLE, reasons.VALUE_UNREADABLE, METADATA, id=track_id)
        self.out.add_track(
            track_id=track_id,
            title=row["song"],
            artist=row["artist"],
            album=row.get("album_name"),
            year=read_value(year_or_null, release, reject),
            tags=list(dict.fromkeys(tags)) or None,
            lyrics=self._lyrics(track_id),
            audio_path=self._audio(track_id),
            popularity=read_value(number_or_null, popularity, reject),
        )

    def count_unused(self) -> None:
        """Count the rows and files whose track is not in the table of tracks."""
        for name, side in self.sides.items():
            if unused := side.rows - self.out.counts.found[f"{name} rows used"]:
                self.out.counts.found[f"{name} rows of unknown tracks"] += unused
        for name in (LYRICS, AUDIOS):
            if unused := _count_entries(self.folder / name) - self.used[name]:
                self.out.counts.found[f"{name} of unknown tracks"] += unused

    def _side(self, name: str, track_id: str) -> list[str | None] | None:
        found = self.sides[name].get(track_id)
        if found is not None:
            self.out.counts.found[f"{name} rows used"] += 1
        return found

    def _lyrics(self, track_id: str) -> str | None:
        path = _below(self.folder / LYRICS, f"{track_id}.txt")
        if path is None:
            return None
        self.used[LYRICS] += 1
        try:
            return read_lyrics_file(str(path))
        except LyricsError as error:
            self.out.reject(TRACKS_TABLE, error.reason, f"{LYRICS}/{path.name}", id=track_id, detail=error.detail)
            return None

    def _audio(self, track_id: str) -> str | None:
        if not self.audio:
            return None
        path = _below(self.folder / AUDIOS, f"{track_id}.mp3")
        if path is not None:
            self.used[AUDIOS] += 1
            if path.is_file():
                return f"{AUDIOS}/{path.name}"
        self.out.counts.found["tracks without audio file"] += 1
        return None


def _below(folder: Path, name: str) -> Path | None:
    """Return the path of a name in a folder; None if it is missing, or the id is a path that leaves the folder."""
    path = folder / name
    return path if path.parent == folder and os.path.lexists(path) else None


def _count_entries(folder: Path) -> int:
    """Count what is in a folder, without hidden files; 0 without the folder."""
    if not folder.is_dir():
        return 0
    with os.scandir(folder) as entries:
        return sum(not entry.name.startswith(".") for entry in entries)


def _import_history(path: Path, out: CatalogFolder, report: Report, tracks: KeyIndex, gap_minutes: float) -> None:
    with listening_history() as history:
        for line, row in DelimitedFile(path=path, table=PLAYLISTS_TABLE).rows(out, ("user", "song", "timestamp")):
            out.counts.found["listens"] += 1
            _add_play(line, row, out, tracks, history)
            report("listens", 1)
        history.write(out, gap_minutes)


def _add_play(
    line: int, row: Mapping[str, str | None], out: CatalogFolder, tracks: KeyIndex, history: ListeningHistory
) -> None:
    listener, track_id, time = row["user"], row["song"], _seconds(row["timestamp"])
    if listener is None or track_id is None or time is None:
        detail = "a listen without user, song or time"
        out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, HISTORY, line=line, detail=detail)
    elif tracks.get(track_id) is None:
        out.reject(PLAYLISTS_TABLE, reasons.TRACK_UNKNOWN, HISTORY, line=line, detail=track_id)
    else:
        history.add(listener, time, track_id)


def _seconds(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text or "").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
