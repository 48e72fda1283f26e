"""Playlists of a source in the ids of a catalog that exists: what an import writes with ``--match-to``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.pipelines.catalog_import.catalog_folder import (
    IMPORT_FILE,
    PLAYLISTS_FILE,
    REJECTS_FILE,
    TRACKS_FILE,
    CatalogFolder,
    Report,
)
from tracktokens.pipelines.catalog_import.key_index import KeyIndex, key_index
from tracktokens.pipelines.catalog_import.track_matcher import ISRC, MATCHED_BY, THRESHOLD, TrackMatcher, track_matcher
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.playlists import PLAYLIST_ID
from tracktokens.schemas.tables.rejects import TRACKS_TABLE
from tracktokens.schemas.tables.tracks import TRACK_ID
from tracktokens.transforms.store.user_files import path_errors

NOT_MATCHED = "playlist entries without a match"

_COLUMNS = (TRACK_ID, "title", "artist", "album", ISRC)
_BATCH_ROWS = 4_096


@dataclass(frozen=True)
class MatchTarget:
    """A catalog that the tracks of a source are looked up in.

    Attributes:
        catalog: its table of tracks, a Parquet file, or the folder of an import.
        threshold: lowest similarity of titles or artists, in percent.
    """

    catalog: str
    threshold: float = THRESHOLD

    @property
    def tracks(self) -> str:
        """The table of tracks."""
        return str(Path(self.catalog, TRACKS_FILE)) if Path(self.catalog, IMPORT_FILE).is_file() else self.catalog

    def summary(self) -> dict[str, Any]:
        """Return what ``import.json`` states of the catalog, which ``--catalog`` reads: tracks, audio, embeddings."""
        folder = Path(self.catalog)
        known = json.loads((folder / IMPORT_FILE).read_text(encoding="utf-8")) if folder.is_dir() else {}
        inherited = {name: known[name] for name in ("audio_root", "embeddings") if name in known}
        return {"tracks": str(Path(self.tracks).resolve())} | inherited

    def check(self) -> None:
        """Check that the table can be read.

        Raises:
            UsageError: it is missing.
            InvalidDataError: it is not a Parquet table with track ids.
        """
        with path_errors(self.tracks, "give a table of tracks, or the folder of an import, as --match-to"):
            Path(self.tracks).open("rb").close()
        try:
            columns = pq.read_schema(self.tracks).names
        except pa.ArrowException as error:
            raise InvalidDataError(
                f"{self.tracks} is not a Parquet file: give the table of tracks as Parquet"
            ) from error
        if TRACK_ID not in columns:
            raise InvalidDataError(f"{self.tracks} has no column {TRACK_ID}: give a table of tracks")


def match_import(staged: str, target: MatchTarget, out: CatalogFolder, report: Report) -> None:
    """Write the playlists of an import in the ids of a catalog, a row per matched track, and the rejects of both.

    Args:
        staged: folder of the import of the source.
        target: the catalog.
        out: folder to write.
        report: called as tracks are looked up.

    Raises:
        InvalidDataError: no track of the source is in the catalog.
    """
    for row in _rows(staged, REJECTS_FILE):
        out.reject(**{name: value for name, value in row.items() if value is not None})
    with track_matcher(_read(target.tracks), target.threshold) as matcher, key_index() as ids:
        for track in _rows(staged, TRACKS_FILE):
            report("tracks looked up", 1)
            _match(track, matcher, ids, out)
        if not any(out.counts.found[_count(by)] for by in MATCHED_BY):
            raise InvalidDataError(f"no track of the source is in {target.tracks}: compare titles and artists of both")
        for row in _rows(staged, PLAYLISTS_FILE):
            track_ids = _entries(row["track_ids"], ids, out)
            out.add_playlist(row[PLAYLIST_ID], track_ids, row["name"], file=PLAYLISTS_FILE)


def _match(track: dict[str, Any], matcher: TrackMatcher, ids: KeyIndex, out: CatalogFolder) -> None:
    found = matcher.match(track)
    names = f"{track['artist'] or '?'} - {track['title'] or '?'}"
    if found is None:
        out.reject(TRACKS_TABLE, reasons.NO_MATCH, TRACKS_FILE, id=track[TRACK_ID], detail=names)
        return
    out.counts.found[_count(found.by)] += 1
    ids.add([(track[TRACK_ID], found.track_id)])
    source = {"source_id": track[TRACK_ID], "source_title": track["title"], "source_artist": track["artist"]}
    names_found = {TRACK_ID: found.track_id, "title": found.title, "artist": found.artist}
    out.add_match(**source, **names_found, matched_by=found.by, score=found.score)


def _entries(track_ids: Sequence[str], ids: KeyIndex, out: CatalogFolder) -> Iterator[str]:
    for track_id in track_ids:
        if (known := ids.get(track_id)) is not None:
            yield known
        else:
            out.counts.found[NOT_MATCHED] += 1


def _count(by: str) -> str:
    return f"tracks matched by {by}"


def _rows(folder: str, table: str) -> Iterator[dict[str, Any]]:
    yield from _read(str(Path(folder, table)), columns=None)


def _read(path: str, columns: Sequence[str] | None = _COLUMNS) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        chosen = [name for name in file.schema_arrow.names if columns is None or name in columns]
        for batch in file.iter_batches(_BATCH_ROWS, columns=chosen):
            yield from batch.to_pylist()
