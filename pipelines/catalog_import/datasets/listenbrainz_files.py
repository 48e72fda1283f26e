"""JSON documents of ListenBrainz: lines, arrays and playlists, in files, folders, zip and tar archives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.source_files import BROKEN_ARCHIVE, SourceFiles
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

MAX_DOCUMENT_BYTES = 64 << 20
"""Longest line, or file that is one object: it is in memory as a whole."""

_SUFFIXES = (".listens", ".jsonl", ".json", ".jspf")
_NOT_USED = ("user.json", "index.json", "feedback.jsonl", "pinned_recording.jsonl")


@dataclass(frozen=True)
class Document:
    """A JSON document.

    Attributes:
        file: file of it, below the source.
        line: its line, or its number in an array, from 1.
        value: what was parsed.
    """

    file: str
    line: int
    value: Any


def read_documents(source: str, out: CatalogFolder) -> Iterator[Document]:
    """Read all documents; files are in the order of their names, those of a tar archive in its order.

    What cannot be parsed is rejected. Files of other kinds are counted.

    Raises:
        UsageError: the source does not exist.
    """
    for name, stream in SourceFiles(source=Path(source), is_used=_is_used).open(out):
        try:
            yield from _documents(name, stream, out)
        except BROKEN_ARCHIVE as error:
            out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, name, detail=f"the rest of the file is lost: {error}")


def _is_used(name: str) -> bool:
    path = PurePosixPath(name.lower())
    return path.suffix in _SUFFIXES and path.name not in _NOT_USED


def _documents(name: str, stream: BufferedReader, out: CatalogFolder) -> Iterator[Document]:
    if name.lower().endswith(".jspf"):
        yield from _parsed(name, 1, stream.read(MAX_DOCUMENT_BYTES + 1), out)
        return
    start = stream.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"[":
        yield from _array(name, stream, out)
        return
    number = 0
    while line := stream.readline(MAX_DOCUMENT_BYTES + 1):
        number += 1
        if number == 1 and line.rstrip() in (b"{", b"\xef\xbb\xbf{"):  # one object over several lines
            line += stream.read(MAX_DOCUMENT_BYTES)
        if line.strip():
            yield from _parsed(name, number, line, out)
        while len(line) > MAX_DOCUMENT_BYTES and not line.endswith(b"\n"):  # rejected
            line = stream.readline(MAX_DOCUMENT_BYTES + 1)


def _parsed(name: str, line: int, content: bytes, out: CatalogFolder) -> Iterator[Document]:
    if len(content) > MAX_DOCUMENT_BYTES:
        detail = f"longer than {MAX_DOCUMENT_BYTES} bytes"
        out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, name, line=line, detail=detail)
        return
    try:
        value = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, name, line=line, detail=f"not JSON: {error}")
        return
    yield Document(name, line, value)


def _array(name: str, stream: BufferedReader, out: CatalogFolder) -> Iterator[Document]:
    import ijson

    try:
        for number, value in enumerate(ijson.items(stream, "item", use_float=True), 1):
            yield Document(name, number, value)
    except ijson.JSONError as error:
        out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, name, detail=f"the rest of the file is lost: {error}")
