"""ListenBrainz: dumps of listens, the export of an account, and JSPF playlists.

Format: the pages "JSON Documentation" and "Data Dumps" of the documentation of ListenBrainz, and its server, which
writes both. A listen has ``listened_at``, in dumps ``timestamp``, and ``track_metadata`` with ``track_name``,
``artist_name`` and ``release_name``. The recording's MBID is in ``additional_info`` if it was submitted, else in
``mbid_mapping``; the MSID is in ``track_metadata``, in ``additional_info``, or beside both. Dumps have ``user_name`` or
``user_id``; an account's export is of one person, in ``listens/YEAR/MONTH.jsonl``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.datasets.listenbrainz_files import Document, read_documents
from tracktokens.pipelines.catalog_import.delimited_rows import text_or_null
from tracktokens.pipelines.catalog_import.distinct_tracks import DistinctTracks, distinct_tracks
from tracktokens.pipelines.catalog_import.listening_sessions import (
    GAP_MINUTES,
    ListeningHistory,
    listening_history,
)
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RECORDING = re.compile(rf"/recording/({_UUID.pattern})", re.IGNORECASE)


def import_listenbrainz(source: str, out: CatalogFolder, report: Report, *, gap_minutes: float = GAP_MINUTES) -> None:
    """Import listens as sessions, and playlists as they are.

    Args:
        source: file of listens or a playlist, export, dump, or a folder of these.
        out: folder to write.
        report: called as listens are read.
        gap_minutes: pause that ends a session.

    Raises:
        UsageError: the source does not exist.
        InvalidDataError: no listen or playlist of it can be read.
    """
    with distinct_tracks() as tracks, listening_history() as history:
        job = _ListenBrainzImport(out, tracks, history, report)
        for document in read_documents(source, out):
            job.add(document)
        history.write(out, gap_minutes)
        if not out.counts.entries:
            raise InvalidDataError(f"{source} has no listen that can be read: give a dump, an export or JSON Lines")
        tracks.write(out)


@dataclass(frozen=True)
class _ListenBrainzImport:
    out: CatalogFolder
    tracks: DistinctTracks
    history: ListeningHistory
    report: Report

    def add(self, document: Document) -> None:
        """Add a listen, the listens of an answer of the API, or a playlist."""
        value = _map(document.value)
        payload = value.get("payload")
        listed = payload.get("listens") if isinstance(payload, Mapping) else payload
        if isinstance(value.get("playlist"), Mapping):
            self._add_playlist(document, value["playlist"])
        elif isinstance(listed, list):
            for listen in listed:
                self._add_listen(document, _map(listen))
        else:
            self._add_listen(document, value)

    def _add_listen(self, document: Document, listen: Mapping[str, Any]) -> None:
        self.report("listens", 1)
        self.out.counts.found["listens"] += 1
        metadata = _map(listen.get("track_metadata"))
        time = _seconds(listen.get("listened_at", listen.get("timestamp")))
        if not metadata or time is None:
            self._reject(document, reasons.MALFORMED, "a listen without track_metadata or listened_at")
            return
        track_id = _track_id(listen, metadata)
        if track_id is None:
            self._reject(document, reasons.NO_ID, "a listen without MBID and MSID")
            return
        names = {"title": "track_name", "artist": "artist_name", "album": "release_name"}
        columns: dict[str, Any] = {column: _text(metadata.get(name)) for column, name in names.items()}
        tags = _map(metadata.get("additional_info")).get("tags")
        columns["tags"] = [text for tag in tags if (text := _text(tag))] if isinstance(tags, list) else None
        self.tracks.add(track_id, columns)
        self.history.add(str(listen.get("user_name") or listen.get("user_id") or ""), time, track_id)

    def _add_playlist(self, document: Document, playlist: Mapping[str, Any]) -> None:
        identifier = _UUID.search(str(playlist.get("identifier")))
        playlist_id = identifier[0].lower() if identifier else f"{document.file}:{document.line}"
        entries = playlist.get("track")
        if not isinstance(entries, list):
            self._reject(document, reasons.MALFORMED, "a playlist without a list of tracks")
            return
        track_ids, title = self._entries(document, playlist_id, entries), _text(playlist.get("title"))
        self.out.add_playlist(playlist_id, track_ids, title, file=document.file, line=document.line)

    def _entries(self, document: Document, playlist_id: str, entries: list[Any]) -> Iterator[str]:
        self.out.counts.found["playlist entries"] += len(entries)
        for entry in map(_map, entries):
            found = _RECORDING.search(str(entry.get("identifier")))  # an address, or a list of them
            if found is None:
                self._reject(document, reasons.NO_ID, "an entry without the address of a recording", playlist_id)
                continue
            track_id = f"mbid:{found[1].lower()}"
            names = {"title": "title", "artist": "creator", "album": "album"}
            self.tracks.add(track_id, {column: _text(entry.get(name)) for column, name in names.items()})
            yield track_id

    def _reject(self, document: Document, reason: str, detail: str | None, playlist_id: str | None = None) -> None:
        known = {"line": document.line, "id": playlist_id, "detail": detail}
        self.out.reject(PLAYLISTS_TABLE, reason, document.file, **known)


def _track_id(listen: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    info, mapping = _map(metadata.get("additional_info")), _map(metadata.get("mbid_mapping"))
    for prefix, key, holders in (
        ("mbid", "recording_mbid", (info, mapping, metadata, listen)),
        ("msid", "recording_msid", (listen, metadata, info)),
    ):
        for holder in holders:
            if isinstance(value := holder.get(key), str) and _UUID.fullmatch(value.strip()):
                return f"{prefix}:{value.strip().lower()}"
    return None


def _seconds(value: Any) -> float | None:
    """Convert a time: seconds since 1970, as a number or text, or a date of ISO 8601, in UTC."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return _seconds_of_date(str(value))
    return seconds if math.isfinite(seconds) else None


def _seconds_of_date(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return text_or_null(value) if isinstance(value, str) else None
