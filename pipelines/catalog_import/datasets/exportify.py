"""CSV files of Exportify, one per playlist of Spotify.

Format: the headers that the READMEs and sources of watsonbox/exportify and pavelkomarov/exportify name. Each row is a
track; its columns have other names in each version. ``Added By``, the name of a user, is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.delimited_rows import DelimitedFile, number_or_null, year_or_null
from tracktokens.pipelines.catalog_import.distinct_tracks import DistinctTracks, distinct_tracks
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

Row = Mapping[str, str | None]

_IDS = ("Track URI", "Spotify URI", "Spotify ID")
_DATES = ("Album Release Date", "Release Date")
_GENRES = ("Artist Genres", "Genres")
_PLAIN_ID = re.compile(r"[0-9A-Za-z]{22}")
_EPISODE = "spotify:episode:"


def import_exportify(source: str, out: CatalogFolder, report: Report) -> None:
    """Import playlists.

    Args:
        source: a CSV file, or the folder that has them.
        out: folder to write.
        report: called as entries of playlists are read.

    Raises:
        UsageError: the source does not exist, or has no CSV file.
        InvalidDataError: no playlist can be read.
    """
    root = Path(source)
    with distinct_tracks() as tracks:
        for path in _files(root):
            _add_playlist(path, path.name if root.is_file() else path.relative_to(root).as_posix(), out, report, tracks)
        if not out.counts.written[PLAYLISTS_TABLE]:
            raise InvalidDataError(f"{source} has no playlist that can be read: give the CSV files of Exportify")
        tracks.write(out)


def _files(root: Path) -> list[Path]:
    found = [root] if root.is_file() else sorted(path for path in root.rglob("*.csv") if path.is_file())
    if not found:
        raise UsageError(f"{root} has no CSV file: give the folder of the files that Exportify made")
    return found


def _add_playlist(path: Path, file: str, out: CatalogFolder, report: Report, tracks: DistinctTracks) -> None:
    playlist_id, track_ids = file.removesuffix(".csv"), []
    try:
        for line, row in DelimitedFile(path=path, table=PLAYLISTS_TABLE, delimiter=",").rows(out, ("Track Name",)):
            out.counts.found["playlist entries"] += 1
            report("entries", 1)
            track_id = _track_id(row)
            if track_id is None or track_id.startswith(_EPISODE):
                reason = reasons.PODCAST if track_id else reasons.NO_ID
                out.reject(PLAYLISTS_TABLE, reason, file, line=line, id=playlist_id, detail=track_id)
                continue
            track_ids.append(track_id)
            tracks.add(track_id, _columns(row))
    except InvalidDataError:
        out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, file, id=playlist_id, detail="it has no column Track Name")
        return
    except UsageError as error:
        out.reject(PLAYLISTS_TABLE, reasons.FILE_UNREADABLE, file, id=playlist_id, detail=str(error))
        return
    if track_ids:
        out.add_playlist(playlist_id, track_ids, path.stem.replace("_", " ").strip() or None)
    else:
        out.reject(PLAYLISTS_TABLE, reasons.PLAYLIST_EMPTY, file, id=playlist_id)


def _track_id(row: Row) -> str | None:
    """Return the URI of a track; old versions have its last part alone."""
    found = _first(row, _IDS)
    return f"spotify:track:{found}" if found and _PLAIN_ID.fullmatch(found) else found


def _columns(row: Row) -> dict[str, object]:
    genres = re.split(r"[,;|]", _first(row, _GENRES) or "")
    return {
        "title": row["Track Name"],
        "artist": _first(row, ("Artist Name(s)", "Artist Name")),
        "album": row.get("Album Name"),
        "year": year_or_null(_first(row, _DATES)),
        "popularity": number_or_null(row.get("Popularity")),
        "tags": [genre.strip() for genre in genres if genre.strip()],
    }


def _first(row: Row, names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := row.get(name))), None)
