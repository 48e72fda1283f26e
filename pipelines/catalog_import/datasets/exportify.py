"""CSV files of Exportify, one per playlist of Spotify, in a folder or a zip file.

Format: the headers that the READMEs and sources of watsonbox/exportify and pavelkomarov/exportify name. Each row is a
track; its columns have other names in each version. ``Added By``, the name of a user, is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path, PurePosixPath

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report
from tracktokens.pipelines.catalog_import.delimited_rows import DelimitedFile, number_or_null, read_value, year_or_null
from tracktokens.pipelines.catalog_import.distinct_tracks import DistinctTracks, distinct_tracks
from tracktokens.pipelines.catalog_import.source_files import BROKEN_ARCHIVE, FILES, SourceFiles
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

Row = Mapping[str, str | None]

_IDS = ("Track URI", "Spotify URI", "Spotify ID")
_DATES = ("Album Release Date", "Release Date")
_GENRES = ("Artist Genres", "Genres")
_ARTISTS = ("Artist Name(s)", "Artist Name")
_TITLE, _ALBUM, _POPULARITY, _ISRC = "Track Name", "Album Name", "Popularity", "ISRC"
_OPTIONAL = (*_IDS, *_DATES, *_GENRES, *_ARTISTS, _ALBUM, _POPULARITY, _ISRC)
_PLAIN_ID = re.compile(r"[0-9A-Za-z]{22}")
_EPISODE = "spotify:episode:"


def import_exportify(source: str, out: CatalogFolder, report: Report) -> None:
    """Import playlists.

    Args:
        source: a CSV file, or the folder or zip file that has them.
        out: folder to write.
        report: called as entries of playlists are read.

    Raises:
        UsageError: the source does not exist, or has no CSV file.
        InvalidDataError: no playlist can be read.
    """
    files = SourceFiles(source=Path(source), is_used=_is_csv)
    with distinct_tracks() as tracks:
        job = _ExportifyImport(out, report, tracks)
        for file, stream in files.open(out):
            job.add_file(file, stream)
        if files.source.is_dir() and not out.counts.found[FILES]:
            raise UsageError(f"{source} has no CSV file: give the folder of the files that Exportify made")
        if not out.counts.written[PLAYLISTS_TABLE]:
            raise InvalidDataError(f"{source} has no playlist that can be read: give the CSV files of Exportify")
        tracks.write(out)


def _is_csv(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() == ".csv" and not path.name.startswith("._")  # which macOS adds to archives


@dataclass(frozen=True)
class _ExportifyImport:
    out: CatalogFolder
    report: Report
    tracks: DistinctTracks

    def add_file(self, file: str, stream: BufferedReader) -> None:
        """Write the playlist of a file; of one that is cut, the rows before the cut."""
        path = PurePosixPath(file)
        playlist_id = str(path.with_suffix("")) if path.suffix.lower() == ".csv" else file
        reject = partial(self.out.reject, PLAYLISTS_TABLE, file=file, id=playlist_id)
        table = DelimitedFile(path=Path(file), table=PLAYLISTS_TABLE, delimiter=",", stream=stream)
        name = path.stem.replace("_", " ").strip() or None
        try:
            self.out.add_playlist(playlist_id, self._entries(table, reject), name, file=file)
        except InvalidDataError:
            reject(reasons.MALFORMED, detail=f"it has no column {_TITLE}")

    def _entries(self, table: DelimitedFile, reject: Callable[..., None]) -> Iterator[str]:
        """Add the tracks of a file, and list their ids."""
        try:
            for line, row in table.rows(self.out, (_TITLE,), _OPTIONAL):
                self.out.counts.found["playlist entries"] += 1
                self.report("entries", 1)
                track_id = _track_id(row)
                if track_id is None or track_id.startswith(_EPISODE):
                    reject(reasons.PODCAST if track_id else reasons.NO_ID, line=line, detail=track_id)
                    continue
                self.tracks.add(track_id, _columns(row, partial(reject, reasons.VALUE_UNREADABLE, line=line)))
                yield track_id
        except (UsageError, *BROKEN_ARCHIVE) as error:
            reject(reasons.MALFORMED, detail=f"the rest of the file is lost: {error}")


def _track_id(row: Row) -> str | None:
    """Return the URI of a track; old versions have its last part alone."""
    found = _first(row, _IDS)
    return f"spotify:track:{found}" if found and _PLAIN_ID.fullmatch(found) else found


def _columns(row: Row, reject: Callable[..., None]) -> dict[str, object]:
    genres = re.split(r"[,;|]", _first(row, _GENRES) or "")
    return {
        "title": row[_TITLE],
        "artist": _first(row, _ARTISTS),
        "album": row.get(_ALBUM),
        "isrc": row.get(_ISRC),
        "year": read_value(year_or_null, _first(row, _DATES), reject),
        "popularity": read_value(number_or_null, row.get(_POPULARITY), reject),
        "tags": [genre.strip() for genre in genres if genre.strip()],
    }


def _first(row: Row, names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := row.get(name))), None)
