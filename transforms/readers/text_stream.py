"""Text files of the input: opened on any filesystem, decompressed, and cut into lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers.coercion import shown
from tracktokens.transforms.readers.file_discovery import codec_of, refusing
from tracktokens.transforms.store import files

MAX_ROW_BYTES = 8 << 20
"""A longer row of CSV or JSON Lines is malformed, so that a missing quote or line break cannot fill the memory."""

BLOCK_BYTES = 1 << 20
"""Bytes of text that are read at a time."""


class TextFile:
    """The text of a file that is open: UTF-8, with or without a byte order mark.

    Attributes:
        path: where the file is.
    """

    def __init__(self, path: str, raw: IO[bytes]) -> None:
        self.path = path
        codec = codec_of(path)
        file = pa.PythonFile(raw, mode="r")
        # Arrow goes on over the members of a joined file and raises where one is cut off, which Beam's own
        # decompression takes for the end of the file.
        self._stream = pa.CompressedInputStream(file, codec) if codec else file
        self._raw, self._bytes_read = raw, 0

    def lines(self) -> Iterator[bytes]:
        """Lines of the whole text, as :func:`split_lines` gives them.

        Raises:
            InvalidDataError: when the text is UTF-16.
        """
        return split_lines(self._without_mark())

    def lines_after(self, place: int) -> Iterator[bytes]:
        """Lines of an uncompressed file from the first that starts after byte ``place``."""
        self._stream.seek(place)
        lines = split_lines(self._blocks())
        next(lines, None)
        return lines

    def expansion(self) -> float:
        """Bytes of text that a byte of the file has come to, as far as it was read.

        Some percent low in the beginning, as the decompressor has read up to 64 KiB ahead of the text that it gave.
        """
        return self._bytes_read / self._raw.tell()

    def _without_mark(self) -> Iterator[bytes]:
        blocks = self._blocks()
        first = next(blocks, b"")
        if first.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InvalidDataError(f"{self.path} is UTF-16 text; save it as UTF-8")
        yield first.removeprefix(b"\xef\xbb\xbf")
        yield from blocks

    def _blocks(self) -> Iterator[bytes]:
        while block := self._stream.read(BLOCK_BYTES):
            self._bytes_read += len(block)
            yield block


@contextmanager
def open_text(path: str) -> Iterator[TextFile]:
    """Open a text file, decompressed as its ending says.

    Raises:
        InvalidDataError: when the file is corrupt, also while it is read.
    """
    with refusing(path), files.open_bytes(path) as raw:
        yield TextFile(path, raw)


def split_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    r"""Split blocks of text into lines with their ends, which are ``\n``, ``\r\n`` or ``\r``.

    Of a line that is longer than ``MAX_ROW_BYTES`` only so much comes that this can be seen, and its end.
    """
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).splitlines(keepends=True) or [b""]
        yield from lines
        if rest.endswith(b"\n"):  # after "\r" the block to come may go on with "\n"
            yield rest
            rest = b""
        if len(rest) > MAX_ROW_BYTES:
            rest = rest[:MAX_ROW_BYTES] + rest[-1:]
    if rest:
        yield rest


def shown_text(text: bytes) -> str:
    """Show the beginning of a row in a message, whatever its bytes."""
    return shown(text[:400].rstrip(b"\r\n").decode("utf-8", "backslashreplace"))
