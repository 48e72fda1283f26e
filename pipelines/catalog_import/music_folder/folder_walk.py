"""The files of a music folder, by kind, in an order that does not depend on the filesystem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from tracktokens.schemas.errors import UsageError

AUDIO_SUFFIXES = frozenset(
    [
        ".mp3",
        ".mp2",
        ".mp1",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".spx",
        ".m4a",
        ".m4b",
        ".m4r",
        ".mp4",
        ".aac",
        ".alac",
        ".wma",
        ".asf",
        ".wav",
        ".wave",
        ".aif",
        ".aiff",
        ".aifc",
        ".ape",
        ".wv",
        ".mpc",
        ".mp+",
        ".tta",
        ".tak",
        ".au",
        ".snd",
        ".caf",
        ".ac3",
        ".dts",
        ".dsf",
        ".dff",
        ".mka",
        ".webm",
    ]
)
"""Endings of files that are read as music, in lower case."""

PLAYLIST_SUFFIXES = frozenset((".m3u", ".m3u8", ".pls", ".xspf"))
LYRICS_SUFFIXES = frozenset((".lrc", ".txt"))

AUDIO, PLAYLIST, LYRICS, OTHER, HIDDEN, LINK_OUTSIDE = "audio", "playlist", "lyrics", "other", "hidden", "link_outside"
"""Kinds of files."""

_HIDDEN_NAMES = ("thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "@eadir", "lost+found")


@dataclass(frozen=True)
class FoundFile:
    """A file of a music folder.

    Attributes:
        path: path below the folder, with slashes. A name that is not UTF-8 has surrogates, as Python decodes it.
        kind: one of the kinds of this module.
        beside_lyrics: True if a file of its folder may be lyrics.
    """

    path: str
    kind: str
    beside_lyrics: bool = False


def walk_folder(root: str) -> Iterator[FoundFile]:
    """List all files below a folder, sorted by name within each folder. Memory grows with the largest folder alone.

    Links to files and folders inside count as other files, since what they lead to is listed. A hidden folder counts as
    one file.

    Raises:
        UsageError: a folder cannot be listed.
    """
    real_root = os.path.realpath(root)
    yield from _walk(root, "", real_root)


def _walk(folder: str, prefix: str, real_root: str) -> Iterator[FoundFile]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"{folder} cannot be listed: {error.strerror}; make it readable, or move it away") from error
    lyrics = any(_kind(entry.name) == LYRICS for entry in listed)
    for entry in listed:
        path = prefix + entry.name
        if _is_hidden(entry.name):
            yield FoundFile(path, HIDDEN)
        elif entry.is_symlink():
            yield from _linked(entry, path, real_root)
        elif entry.is_dir():
            yield from _walk(entry.path, f"{path}/", real_root)
        else:
            yield FoundFile(path, _kind(entry.name) if entry.is_file() else OTHER, lyrics)


def _linked(entry: os.DirEntry[str], path: str, real_root: str) -> Iterator[FoundFile]:
    """Follow a link out of the folder nowhere: jobs read audio below the folder only."""
    target = os.path.realpath(entry.path)
    if os.path.commonpath([target, real_root]) != real_root:
        yield FoundFile(path, LINK_OUTSIDE)
    else:
        yield FoundFile(path, OTHER)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _HIDDEN_NAMES


def _kind(name: str) -> str:
    return _KINDS.get(os.path.splitext(name)[1].lower(), OTHER)  # noqa: PTH122 - called per file


_KINDS = {
    suffix: kind
    for kind, suffixes in ((AUDIO, AUDIO_SUFFIXES), (PLAYLIST, PLAYLIST_SUFFIXES), (LYRICS, LYRICS_SUFFIXES))
    for suffix in suffixes
}
