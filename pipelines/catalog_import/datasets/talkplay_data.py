"""TalkPlayData-2 (Choi et al., arXiv 2509.09685) and the Music-CRS challenge: Parquet or JSON files of Hugging Face.

Format: the dataset cards of ``talkpl-ai`` and the baselines of the challenge. Metadata of tracks have ``track_id``,
``track_name``, ``artist_name``, ``album_name`` and ``tag_list``, which are lists, ``popularity`` and ``release_date``.
Its splits overlap. Sessions have ``session_id`` and ``conversations``, a list of ``{turn_number, role, content}``; the
content of the role ``music`` is the id of a track.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.datasets.talkplay_embeddings import has_embeddings, name_embeddings
from tracktokens.pipelines.catalog_import.delimited_rows import text_or_null, year_or_null
from tracktokens.pipelines.catalog_import.key_index import KeyIndex, key_index
from tracktokens.pipelines.catalog_import.source_files import FILES, FILES_NOT_USED, list_files
from tracktokens.pipelines.conversations.conversation import RejectedLineError
from tracktokens.pipelines.conversations.importers.records import Record, read_records
from tracktokens.schemas.errors import InvalidDataError, TracktokensError, UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE, TRACKS_TABLE

REPEATED_TRACKS = "tracks that a file before has"

_SUFFIXES = (".parquet", ".json", ".jsonl")
_NOT_USED = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json")
_TRACK, _SESSION = "track_name", "conversations"
"""Columns that only the metadata of tracks, and only sessions have."""


def import_talkplay_data(source: str, out: CatalogFolder, report: Report) -> None:
    """Import the metadata of tracks, and sessions as playlists of the tracks that are played in them.

    Embeddings beside them are not copied; ``import.json`` names them.

    Args:
        source: folder with the files of both, or one file.
        out: folder to write.
        report: called as tracks and sessions are read.

    Raises:
        UsageError: the source has no file.
        InvalidDataError: no track can be read.
    """
    root = Path(source)
    files, embeddings = _sort_files(root, out)
    with key_index() as tracks:
        job = _TalkPlayImport(root, out, report, tracks)
        for path in files:
            job.add_tracks(path)
        if not out.counts.written[TRACKS_TABLE]:
            raise InvalidDataError(f"{source} has no track that can be read: give the folder with the track metadata")
        for path in files:
            job.add_sessions(path)
    name_embeddings(embeddings, root, out)


def _sort_files(root: Path, out: CatalogFolder) -> tuple[list[Path], list[Path]]:
    """List the files that may have tracks or sessions, and those of embeddings; others are counted."""
    found = [root] if root.is_file() else sorted(root / name for name in list_files(root, out))
    names = [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    if not any(path.suffix in _SUFFIXES for path in names):
        raise UsageError(f"{root} has no Parquet or JSON file: give a folder of the dataset")
    records, embeddings = [], []
    for path in names:
        if path.suffix in _SUFFIXES and not path.is_file():
            name = path.relative_to(root).as_posix()
            out.reject(TRACKS_TABLE, reasons.FILE_UNREADABLE, name, detail="not a regular file")
            continue
        columns = _columns(path)
        if columns & {_TRACK, _SESSION}:
            records.append(path)
        elif has_embeddings(columns):
            embeddings.append(path)
        else:
            out.counts.found[FILES_NOT_USED] += 1
    out.counts.found[FILES] += len(records)
    return records, embeddings


def _columns(path: Path) -> set[str]:
    """Return the columns of a Parquet file; of a file whose columns are not known, those of tracks and sessions."""
    if path.suffix not in _SUFFIXES or path.name in _NOT_USED:
        return set()
    try:
        return set(pq.read_schema(path).names) if path.suffix == ".parquet" else {_TRACK, _SESSION}
    except (pa.ArrowException, OSError):  # rejected when it is read
        return {_TRACK, _SESSION}


@dataclass(frozen=True)
class _TalkPlayImport:
    root: Path
    out: CatalogFolder
    report: Report
    tracks: KeyIndex
    faulty: set[Path] = field(default_factory=set)
    """Files of which a part is lost."""

    def add_tracks(self, path: Path) -> None:
        """Write the tracks of a file, and reject what is not a record."""
        file = self._name(path)
        for line, record in self._records(path, TRACKS_TABLE):
            if isinstance(record, RejectedLineError):
                self.out.reject(TRACKS_TABLE, reasons.MALFORMED, file, line=line, detail=str(record))
            elif _TRACK in record:
                self._add_track(file, line, record)
            elif _SESSION not in record:
                self.out.counts.found["records not used"] += 1

    def add_sessions(self, path: Path) -> None:
        """Write the sessions of a file; :meth:`add_tracks` rejects what is not a record."""
        if _SESSION not in _columns(path):
            return
        for line, record in self._records(path, PLAYLISTS_TABLE):
            if not isinstance(record, RejectedLineError) and _SESSION in record:
                self._add_session(self._name(path), line, record)

    def _records(self, path: Path, table: str) -> Iterator[tuple[int, Record | RejectedLineError]]:
        """Read a file up to its end or its first fault, which is rejected once."""
        try:
            yield from read_records(str(path))
        except (TracktokensError, OSError) as error:
            if path not in self.faulty:
                reason = reasons.MALFORMED if isinstance(error, InvalidDataError) else reasons.FILE_UNREADABLE
                self.out.reject(table, reason, self._name(path), detail=f"the rest of the file is lost: {error}")
            self.faulty.add(path)

    def _add_track(self, file: str, line: int, record: Record) -> None:
        self.report("tracks", 1)
        self.out.counts.found["tracks"] += 1
        track_id = _text(record.get("track_id"))
        if track_id is None:
            self.out.reject(TRACKS_TABLE, reasons.NO_ID, file, line=line)
        elif self.tracks.get(track_id):
            self.out.counts.found[REPEATED_TRACKS] += 1
        else:
            self.tracks.add([(track_id, track_id)])
            self.out.add_track(
                track_id=track_id,
                title=next(iter(_texts(record.get("track_name"))), None),
                artist=", ".join(_texts(record.get("artist_name"))) or None,
                album=next(iter(_texts(record.get("album_name"))), None),
                year=year_or_null(_text(record.get("release_date"))),
                tags=_texts(record.get("tag_list")) or None,
                popularity=_number(record.get("popularity")),
                isrc=next(iter(_texts(record.get("ISRC"))), None),
            )

    def _add_session(self, file: str, line: int, record: Record) -> None:
        self.report("sessions", 1)
        self.out.counts.found["sessions"] += 1
        session_id, turns = _text(record.get("session_id")), record[_SESSION]
        if session_id is None or not isinstance(turns, list):
            detail = "a session without session_id or a list of conversations"
            self.out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, file, line=line, id=session_id, detail=detail)
        else:
            self.out.add_playlist(session_id, self._entries(file, line, session_id, turns), file=file, line=line)

    def _entries(self, file: str, line: int, session_id: str, turns: list[Any]) -> Iterator[str]:
        for turn in turns:
            if not isinstance(turn, Mapping) or turn.get("role") != "music":
                continue
            self.out.counts.found["playlist entries"] += 1
            track_id = _text(turn.get("content"))
            if track_id is not None and self.tracks.get(track_id):
                yield track_id
            else:
                reason = reasons.NO_ID if track_id is None else reasons.TRACK_UNKNOWN
                self.out.reject(PLAYLISTS_TABLE, reason, file, line=line, id=session_id, detail=track_id)

    def _name(self, path: Path) -> str:
        return path.name if path == self.root else path.relative_to(self.root).as_posix()


def _text(value: Any) -> str | None:
    """Return a text that is not blank; half of a surrogate pair, which JSON may have, becomes U+FFFD."""
    if not isinstance(value, str):
        return None
    return text_or_null(value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < float("inf") else None


def _texts(value: Any) -> list[str]:
    """Return the distinct texts of a list, or of one text."""
    values = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(text for one in values if (text := _text(one))))
