"""Text files of the input: open on any filesystem, decompress, and split into lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers.file_discovery import codec_of, corrupt_file_errors
from tracktokens.transforms.store import files

MAX_ROW_BYTES = 8 << 20
"""A longer CSV or JSON Lines row is malformed, so that a missing quote or line break cannot fill the memory."""

BLOCK_BYTES = 1 << 20
"""Bytes of text to read at a time."""


class TextFile:
    """The text of an open file: UTF-8, with or without a byte order mark.

    Attributes:
        path: path of the file.
    """

    def __init__(self, path: str, raw: IO[bytes]) -> None:
        self.path = path
        codec = codec_of(path)
        file = pa.PythonFile(raw, mode="r")
        # Arrow reads all members of a concatenated file and raises if one is truncated; Beam's own decompression takes
        # a truncated member for the end of the file.
        self._stream = pa.CompressedInputStream(file, codec) if codec else file
        self._raw, self._bytes_read = raw, 0

    def lines(self) -> Iterator[bytes]:
        """Read the lines of the whole text; see :func:`split_lines`.

        Raises:
            InvalidDataError: the text is UTF-16.
        """
        return split_lines(self._without_byte_order_mark())

    def lines_after(self, offset: int) -> Iterator[bytes]:
        """Read the lines of an uncompressed file, from the first that starts after byte ``offset``."""
        self._stream.seek(offset)
        lines = split_lines(self._blocks())
        next(lines, None)
        return lines

    def expansion(self) -> float:
        """Return the bytes of text per byte of the file, as far as it was read.

        A few percent low at the beginning, since the decompressor reads up to 64 KiB ahead of the text it returns.
        """
        return self._bytes_read / self._raw.tell()

    def _without_byte_order_mark(self) -> Iterator[bytes]:
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
    """Open a text file, and decompress it if its extension is of a compressed format.

    Raises:
        InvalidDataError: the file is corrupt; also raised while it is read.
    """
    with corrupt_file_errors(path), files.open_bytes(path) as raw:
        yield TextFile(path, raw)


def split_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    r"""Split blocks of text into lines with their ends, which are ``\n``, ``\r\n`` or ``\r``.

    A line that is longer than ``MAX_ROW_BYTES`` is truncated to a little more than that, and keeps its end.
    """
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).splitlines(keepends=True) or [b""]
        yield from lines
        if rest.endswith(b"\n"):  # after "\r" the next block may start with "\n"
            yield rest
            rest = b""
        if len(rest) > MAX_ROW_BYTES:
            rest = rest[:MAX_ROW_BYTES] + rest[-1:]
    if rest:
        yield rest
