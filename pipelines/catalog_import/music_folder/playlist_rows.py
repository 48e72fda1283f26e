"""Rows of playlist files: their entries, found among known paths."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.music_folder.folder_walk import PLAYLIST_SUFFIXES, FoundFile
from tracktokens.pipelines.catalog_import.music_folder.playlist_files import (
    Entry,
    is_address,
    possible_paths,
    read_playlist,
)
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

Lookup = Callable[[str], str | None]
"""Returns the id of a track."""


def add_playlist_file(path: Path, shown: str, lookup: Lookup, out: CatalogFolder) -> None:
    """Write the playlist of a file, and reject the entries that are not tracks.

    Args:
        path: the file.
        shown: its path below the folder that is read, which is the id of the playlist.
        lookup: returns the id of the track that the text of an entry means.
        out: folder to write.
    """
    try:
        playlist = read_playlist(path, lambda text: lookup(text) is not None)
    except OSError as error:
        out.reject(PLAYLISTS_TABLE, reasons.FILE_UNREADABLE, shown, id=shown, detail=error.strerror)
        return
    except ValueError as error:
        out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, shown, id=shown, detail=str(error))
        return
    track_ids = _find_entries(playlist.entries, shown, lookup, out)
    out.add_playlist(shown, track_ids, playlist.name or PurePosixPath(shown).stem, file=shown)


def reject_folder(found: FoundFile, table: str, out: CatalogFolder) -> None:
    """Reject a folder that cannot be listed."""
    out.reject(table, reasons.FILE_UNREADABLE, found.path, detail=f"a folder: {found.error}")


def _find_entries(entries: Iterable[Entry], shown: str, lookup: Lookup, out: CatalogFolder) -> Iterator[str]:
    for entry in entries:
        out.counts.found["playlist entries"] += 1
        known = lookup(entry.text)
        if known is None:
            reason = _why_unknown(entry.text)
            out.reject(PLAYLISTS_TABLE, reason, shown, line=entry.line, id=shown, detail=entry.text)
        else:
            yield known


def find_entry(text: str, folder: str, get: Lookup) -> str | None:
    """Return the id of the track that an entry of a playlist means.

    Args:
        text: text of the entry.
        folder: folder of the playlist, below the folder that the paths are relative to.
        get: returns the id of a path, or of its comparable form.
    """
    if not text or is_address(text):
        return None
    for path in possible_paths(text, folder):
        if known := get(path) or get(comparable_path(path)):
            return known
    return None


def comparable_path(path: str) -> str:
    """Convert a path to a form in which names compare equal that differ in case or in Unicode's normal form."""
    return "\0" + unicodedata.normalize("NFKC", path).casefold()


def _why_unknown(text: str) -> str:
    if is_address(text):
        return reasons.NOT_A_FILE
    suffix = PurePosixPath(text.replace("\\", "/")).suffix.lower()
    return reasons.NESTED_PLAYLIST if suffix in PLAYLIST_SUFFIXES else reasons.TRACK_UNKNOWN
