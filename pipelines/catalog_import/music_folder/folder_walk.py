"""The files of a music folder, by kind, in an order that does not depend on the filesystem."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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

UNLISTED = "folders that cannot be listed"
"""Kind of a folder whose files are not known."""

_HIDDEN_NAMES = ("thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "@eadir", "lost+found")


@dataclass(frozen=True)
class FoundFile:
    """A file of a music folder.

    Attributes:
        path: path below the folder, with slashes. A name that is not UTF-8 has surrogates, as Python decodes it.
        kind: one of the kinds of this module.
        beside_lyrics: True if a file of its folder may be lyrics.
        error: why a folder cannot be listed.
    """

    path: str
    kind: str
    beside_lyrics: bool = False
    error: str | None = None


def walk_folder(root: str) -> Iterator[FoundFile]:
    """List all files below a folder, sorted by name within each folder. Memory grows with the largest folders alone.

    Links to files and folders inside count as other files, since what they lead to is listed. A hidden folder, and one
    that cannot be listed, count as one file.

    Raises:
        UsageError: the folder itself cannot be listed.
    """
    real_root = os.path.realpath(root)
    try:
        folders = [_list(root, "", real_root)]
    except OSError as error:
        raise UsageError(f"{root} cannot be listed: {error.strerror}; make it readable") from error
    while folders:
        found = next(folders[-1], None)
        if found is None:
            folders.pop()
        elif isinstance(found, FoundFile):
            yield found
        else:
            path, prefix = found
            try:
                folders.append(_list(path, f"{prefix}/", real_root))
            except OSError as error:
                yield FoundFile(prefix, UNLISTED, error=error.strerror)


def _list(folder: str, prefix: str, real_root: str) -> Iterator[FoundFile | tuple[str, str]]:
    """List a folder: its files, and the paths of the folders in it, as they are and below the root."""
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    return _found(listed, prefix, real_root)


def _found(listed: Sequence[os.DirEntry[str]], prefix: str, real_root: str) -> Iterator[FoundFile | tuple[str, str]]:
    lyrics = any(_kind(entry.name) == LYRICS for entry in listed)
    for entry in listed:
        path = prefix + entry.name
        if _is_hidden(entry.name):
            yield FoundFile(path, HIDDEN)
        elif entry.is_symlink():
            yield _linked(entry, path, real_root)
        elif entry.is_dir():
            yield entry.path, path
        else:
            yield FoundFile(path, _kind(entry.name) if entry.is_file() else OTHER, lyrics)


def _linked(entry: os.DirEntry[str], path: str, real_root: str) -> FoundFile:
    """Follow a link out of the folder nowhere: jobs read audio below the folder only."""
    target = os.path.realpath(entry.path)
    if os.path.commonpath([target, real_root]) != real_root:
        return FoundFile(path, LINK_OUTSIDE)
    return FoundFile(path, OTHER)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _HIDDEN_NAMES


def _kind(name: str) -> str:
    return _KINDS.get(os.path.splitext(name)[1].lower(), OTHER)  # noqa: PTH122 - called per file


_KINDS = {
    suffix: kind
    for kind, suffixes in ((AUDIO, AUDIO_SUFFIXES), (PLAYLIST, PLAYLIST_SUFFIXES), (LYRICS, LYRICS_SUFFIXES))
    for suffix in suffixes
}
