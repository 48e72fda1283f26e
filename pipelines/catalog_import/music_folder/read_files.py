"""Read audio files, in other processes too: this module imports little, since each process imports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracktokens.pipelines.catalog_import.lyrics_files import LyricsError
from tracktokens.pipelines.catalog_import.music_folder.audio_tags import AudioTags, read_tags
from tracktokens.pipelines.catalog_import.music_folder.folder_walk import FoundFile
from tracktokens.pipelines.catalog_import.music_folder.sidecars import read_lyrics
from tracktokens.schemas.tables import import_rejects as reasons


@dataclass(frozen=True)
class ReadFile:
    """An audio file as read.

    Attributes:
        path: path below the folder.
        tags: its tags; empty if they cannot be read.
        lyrics: lyrics in its tags, else beside it.
        error: reason and detail, if the tags cannot be read.
        lyrics_error: why the lyrics beside it cannot be read.
    """

    path: str
    tags: AudioTags
    lyrics: str | None = None
    error: tuple[str, str] | None = None
    lyrics_error: LyricsError | None = None


def read_chunk(root: str, files: Sequence[FoundFile]) -> list[ReadFile]:
    """Read the tags of some files, and the lyrics beside them."""
    return [_read_file(root, file) for file in files]


def _read_file(root: str, file: FoundFile) -> ReadFile:
    path = file.path
    full = f"{root}/{path}"
    try:
        tags = read_tags(full)
        error = None
    except OSError as failure:
        return ReadFile(path, AudioTags(), None, (reasons.FILE_UNREADABLE, failure.strerror or type(failure).__name__))
    except ValueError as failure:
        tags, error = AudioTags(), (reasons.TAGS_UNREADABLE, str(failure))
    try:
        lyrics = tags.lyrics or (read_lyrics(full) if file.beside_lyrics else None)
    except LyricsError as failure:
        return ReadFile(path, tags, None, error, failure)
    return ReadFile(path, tags, lyrics, error)
