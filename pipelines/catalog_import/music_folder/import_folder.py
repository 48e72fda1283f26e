"""Import a folder of music: a track per audio file, and the playlists among the files."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder, Report, utf8_path
from tracktokens.pipelines.catalog_import.key_index import KeyIndex, key_index
from tracktokens.pipelines.catalog_import.music_folder import folder_walk
from tracktokens.pipelines.catalog_import.music_folder.audio_tags import AudioTags
from tracktokens.pipelines.catalog_import.music_folder.file_names import read_file_name
from tracktokens.pipelines.catalog_import.music_folder.folder_walk import FoundFile, walk_folder
from tracktokens.pipelines.catalog_import.music_folder.playlist_rows import (
    add_playlist_file,
    comparable_path,
    find_entry,
    reject_folder,
)
from tracktokens.pipelines.catalog_import.music_folder.read_files import ReadFile, read_chunk
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE, TRACKS_TABLE

BY_RECORDING, BY_ISRC, BY_PATH = "musicbrainz", "isrc", "path"
AUTO = "auto"
ID_RULES = (AUTO, BY_RECORDING, BY_ISRC, BY_PATH)
"""Sources of a track's id; see :func:`track_id`."""

CHUNK = 64
"""Files that a process reads at a time."""

PATH_DIGITS = 32
"""Hexadecimal digits of an id that is made from a path."""


def import_folder(
    source: str,
    out: CatalogFolder,
    report: Report,
    *,
    rule: str = AUTO,
    workers: int = 1,
    playlists: Sequence[str] = (),
) -> None:
    """Import a folder.

    Args:
        source: the folder.
        out: folder to write.
        rule: one of ``ID_RULES``.
        workers: processes that read tags; with 1 this process reads them.
        report: called as files are read.
        playlists: playlist files, or folders with some, in addition to those in the folder.

    Raises:
        UsageError: the source is not a folder, or cannot be listed; or a path of ``playlists`` is not of playlists.
        InvalidDataError: it has no audio file.
    """
    if not Path(source).is_dir():
        raise UsageError(f"{source} is not a folder: give the folder with the music")
    named = [_NamedPlaylists.of(path) for path in playlists]
    with key_index() as ids, key_index() as paths:
        job = _FolderImport(source, out, rule, ids, paths, report)
        job.read_audio(workers)
        job.read_playlists()
        for given in named:
            job.read_named(given)


def track_id(path: str, tags: AudioTags, rule: str) -> str | None:
    """Choose the id of a track; None if the rule finds none.

    ``auto`` takes the MusicBrainz id of the recording, else the ISRC, else a hash of the path below the folder. So it
    survives a move of the folder, and with the first two also a new name of the file.

    Example:
        >>> track_id("a/b.mp3", AudioTags(isrc="USRC17607839"), AUTO)
        'isrc:USRC17607839'
        >>> track_id("a/b.mp3", AudioTags(), AUTO)
        'path:43c71f5305ddb507f476b4ed841c9ea1'
    """
    if tags.recording_id and rule in (AUTO, BY_RECORDING):
        return f"mbid:{tags.recording_id}"
    if tags.isrc and rule in (AUTO, BY_ISRC):
        return f"isrc:{tags.isrc}"
    if rule in (AUTO, BY_PATH):
        return path_id(path)
    return None


def path_id(path: str) -> str:
    """Make an id from a path: a hash, in which Unicode's normal form does not matter."""
    normal = unicodedata.normalize("NFC", path).encode("utf-8", "surrogateescape")
    return f"path:{hashlib.blake2b(normal, digest_size=PATH_DIGITS // 2).hexdigest()}"


@dataclass(frozen=True)
class _NamedPlaylists:
    """Playlist files that the user names.

    Attributes:
        folder: the folder that their paths are relative to.
        file: the only file, below the folder; None for all playlist files of the folder.
    """

    folder: Path
    file: str | None

    @classmethod
    def of(cls, path: str) -> _NamedPlaylists:
        given = Path(path)
        if given.is_dir():
            return cls(given, None)
        if not given.is_file() or given.suffix.lower() not in folder_walk.PLAYLIST_SUFFIXES:
            endings = ", ".join(sorted(folder_walk.PLAYLIST_SUFFIXES))
            raise UsageError(f"--playlists {path} is neither a folder nor a playlist file ({endings})")
        return cls(given.parent, given.name)

    def files(self) -> Iterable[FoundFile]:
        """List the files, and the folders that cannot be listed."""
        if self.file is not None:
            return [FoundFile(self.file, folder_walk.PLAYLIST)]
        return (found for found in walk_folder(str(self.folder)) if found.kind in _OF_PLAYLISTS)


_OF_PLAYLISTS = (folder_walk.PLAYLIST, folder_walk.UNLISTED)


@dataclass
class _FolderImport:
    source: str
    out: CatalogFolder
    rule: str
    ids: KeyIndex
    """Id of a track to the path of its file."""
    paths: KeyIndex
    """Path of a file, and its comparable form, to the id of its track."""
    report: Report

    def read_audio(self, workers: int) -> None:
        """Write a track per audio file."""
        for file in _read_all(self.source, self._audio_files(), workers):
            self._add(file)
            self.report("files", 1)
        if not self.out.counts.found[folder_walk.AUDIO]:
            raise InvalidDataError(f"{self.source} has no audio file: give the folder with the music")

    def _audio_files(self) -> Iterator[FoundFile]:
        for found in walk_folder(self.source):
            self.out.counts.found[found.kind] += 1
            if found.kind == folder_walk.LINK_OUTSIDE:
                self.out.reject(TRACKS_TABLE, reasons.LINK_OUTSIDE, found.path)
            elif found.kind == folder_walk.UNLISTED:
                reject_folder(found, TRACKS_TABLE, self.out)
            elif found.kind == folder_walk.AUDIO:
                yield found

    def _add(self, file: ReadFile) -> None:
        shown = utf8_path(file.path)
        if file.error is not None:
            reason, detail = file.error
            self.out.reject(TRACKS_TABLE, reason, shown, detail=detail)
            if reason == reasons.FILE_UNREADABLE:
                return
        if file.tags.is_podcast:
            self.out.reject(TRACKS_TABLE, reasons.PODCAST, shown)
            return
        chosen = track_id(file.path, file.tags, self.rule)
        if chosen is None:
            self.out.reject(TRACKS_TABLE, reasons.NO_ID, shown, detail=f"no tag for --id {self.rule}")
            return
        first = self.ids.get(chosen)
        self.paths.add((form, chosen) for form in (file.path, comparable_path(file.path)))
        if first is not None:
            self.out.reject(TRACKS_TABLE, reasons.SAME_ID, shown, id=chosen, detail=f"the same as {first}")
            return
        self.ids.add([(chosen, shown)])
        self.out.add_track(track_id=chosen, **_columns(file, shown))
        if lost := file.lyrics_error:
            beside = os.path.relpath(lost.path, self.source)
            self.out.reject(TRACKS_TABLE, lost.reason, beside, id=chosen, detail=lost.detail)

    def read_playlists(self) -> None:
        """Write a row per playlist file."""
        if not self.out.counts.found[folder_walk.PLAYLIST]:
            return
        for found in walk_folder(self.source):
            if found.kind == folder_walk.PLAYLIST:
                self._read_playlist(found)
                self.report("playlists", 1)

    def read_named(self, given: _NamedPlaylists) -> None:
        """Write a row per playlist file that the user names, except for those in the folder, which are read already."""
        root = Path(self.source).resolve()
        for found in given.files():
            path = given.folder / found.path
            if path.resolve().is_relative_to(root):
                continue
            if found.kind == folder_walk.UNLISTED:
                reject_folder(found, PLAYLISTS_TABLE, self.out)
                continue
            self.out.counts.found[folder_walk.PLAYLIST] += 1
            lookup = partial(find_entry, folder="", get=self.paths.get)  # each ending of a path is tried
            add_playlist_file(path, self.out.free_playlist_id(utf8_path(found.path)), lookup, self.out)
            self.report("playlists", 1)

    def _read_playlist(self, found: FoundFile) -> None:
        lookup = partial(find_entry, folder=str(PurePosixPath(found.path).parent), get=self.paths.get)
        add_playlist_file(Path(self.source, found.path), utf8_path(found.path), lookup, self.out)


def _columns(file: ReadFile, shown: str) -> dict[str, Any]:
    """Make the columns of a track: from its tags, else from its name."""
    tags = file.tags
    name = None if tags.title else read_file_name(shown)
    return {
        "title": tags.title if name is None else name.title,
        "artist": tags.artist or (None if name is None else name.artist),
        "album": tags.album,
        "year": tags.year,
        "tags": list(tags.tags) or None,
        "lyrics": file.lyrics,
        "isrc": tags.isrc,
        "audio_path": file.path if file.path == shown else None,  # not of names that are not UTF-8
    }


def _read_all(root: str, files: Iterable[FoundFile], workers: int) -> Iterator[ReadFile]:
    """Read tags in some processes, in the order of the files; few chunks are in memory at a time."""
    stream = iter(files)
    chunks = iter(lambda: list(islice(stream, CHUNK)), [])
    if workers <= 1:
        for chunk in chunks:
            yield from read_chunk(root, chunk)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from _in_order(pool, root, chunks, ahead=4 * workers)


def _in_order(pool: Executor, root: str, chunks: Iterator[list[FoundFile]], ahead: int) -> Iterator[ReadFile]:
    waiting: deque[Future[list[ReadFile]]] = deque()
    for chunk in chunks:
        waiting.append(pool.submit(read_chunk, root, chunk))
        if len(waiting) >= ahead:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()
