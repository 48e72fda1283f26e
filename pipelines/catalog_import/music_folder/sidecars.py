"""Lyrics in a file beside the audio file, with the same name: ``.lrc``, or ``.txt`` if it looks like lyrics."""

from __future__ import annotations

import os
import re

MAX_BYTES = 1 << 20
"""Largest file of lyrics."""

FEWEST_LINES, LONGEST_LINE = 4, 80
"""Limits of a text that is taken for lyrics: fewest lines, and longest line in the middle of all."""

_ADDRESS = re.compile(r"https?://|www\.|@\w+\.\w", re.IGNORECASE)


def read_lyrics(audio: str) -> str | None:
    """Read the lyrics beside an audio file; None without any.

    A text file may as well be a note or a licence: it has lyrics if it has at least four lines, most of them short, and
    no address.
    """
    stem, _ = os.path.splitext(audio)  # noqa: PTH122 - a path object per file takes as long as reading its tags
    for suffix in (".lrc", ".LRC"):
        if (text := _read(stem + suffix)) is not None:
            return text
    for suffix in (".txt", ".TXT"):
        if (text := _read(stem + suffix)) is not None and looks_like_lyrics(text):
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


def _read(path: str) -> str | None:
    if not os.path.exists(path):  # noqa: PTH110 - as above
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError):
        return None
    if len(content) > MAX_BYTES or not content.strip():
        return None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")
