"""Lyrics in a file beside the audio file, with the same name: ``.lrc``, or ``.txt`` if it looks like lyrics."""

from __future__ import annotations

import os
import re
import stat

from tracktokens.pipelines.catalog_import.lyrics_files import LyricsError, read_lyrics_file
from tracktokens.schemas.tables import import_rejects as reasons

FEWEST_LINES, LONGEST_LINE = 4, 80
"""Limits of a text that is taken for lyrics: fewest lines, and longest line in the middle of all."""

_ADDRESS = re.compile(r"https?://|www\.|@\w+\.\w", re.IGNORECASE)


def read_lyrics(audio: str) -> str | None:
    """Read the lyrics beside an audio file; None without any.

    A text file may as well be a note or a licence: it has lyrics if it has at least four lines, most of them short, and
    no address.

    Raises:
        LyricsError: the file cannot be read, or an ``.lrc`` file is too long.
    """
    stem, _ = os.path.splitext(audio)  # noqa: PTH122 - a path object per file takes as long as reading its tags
    for suffix in (".lrc", ".LRC"):
        if (text := _read(stem + suffix)) is not None:
            return text
    for suffix in (".txt", ".TXT"):
        if (text := _read_note(stem + suffix)) is not None and looks_like_lyrics(text):
            return text
    return None


def looks_like_lyrics(text: str) -> bool:
    r"""Return whether a text has the form of lyrics.

    Example:
        >>> looks_like_lyrics("I came in\nfrom the wild\n\nI went out\nto the rain")
        True
        >>> looks_like_lyrics("Music by A. License: http://example.org")
        False
    """
    lengths = sorted(len(line.strip()) for line in text.splitlines() if line.strip())
    return len(lengths) >= FEWEST_LINES and lengths[len(lengths) // 2] <= LONGEST_LINE and not _ADDRESS.search(text)


def _read_note(path: str) -> str | None:
    """Read a text file; one that is too long has no lyrics."""
    try:
        return _read(path)
    except LyricsError as error:
        if error.reason == reasons.FILE_UNREADABLE:
            raise
        return None


def _read(path: str) -> str | None:
    try:
        is_regular = stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return None
    return read_lyrics_file(path) if is_regular else None  # the walk counts links and others
