"""Files of lyrics: one text each, in any of the usual encodings."""

from __future__ import annotations

from tracktokens.pipelines.catalog_import.source_files import open_file
from tracktokens.schemas.tables import import_rejects as reasons

MAX_BYTES = 1 << 20
"""Largest file of lyrics."""


class LyricsError(ValueError):
    """Lyrics that cannot be read.

    Attributes:
        path: their file.
        reason: reason of the reject.
        detail: what is wrong.
    """

    def __init__(self, path: str, reason: str, detail: str) -> None:
        """Keep what a reject needs; processes send the error to each other."""
        super().__init__(path, reason, detail)
        self.path, self.reason, self.detail = path, reason, detail


def read_lyrics_file(path: str) -> str | None:
    """Read a file in UTF-8 or UTF-16, else in Windows-1252; None if it is blank.

    Raises:
        LyricsError: it cannot be read, or is longer than ``MAX_BYTES``.
    """
    try:
        with open_file(path) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LyricsError(path, reasons.FILE_UNREADABLE, error.strerror or type(error).__name__) from error
    if len(content) > MAX_BYTES:
        raise LyricsError(path, reasons.VALUE_UNREADABLE, f"lyrics of more than {MAX_BYTES} bytes")
    text = _decoded(content)
    return text if text.strip() else None


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")
