"""JSON documents of ListenBrainz: lines, arrays and playlists, in files, folders, zip and tar archives."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import orjson

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

MAX_DOCUMENT_BYTES = 64 << 20
"""Longest line, or file that is one object: it is in memory as a whole."""

_SUFFIXES = (".listens", ".jsonl", ".json", ".jspf")
_NOT_USED = ("user.json", "index.json", "feedback.jsonl", "pinned_recording.jsonl")
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_NUMBERS = re.compile(r"(\d+)")
_BROKEN = (OSError, EOFError, ValueError, RuntimeError, zlib.error, LZMAError, tarfile.TarError, zipfile.BadZipFile)
"""Errors of archives that are damaged, cut or encrypted."""


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
    for name, stream in _files(Path(source), out):
        try:
            yield from _documents(name, stream, out)
        except _BROKEN as error:
            out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, name, detail=f"the rest of the file is lost: {error}")


def _files(source: Path, out: CatalogFolder) -> Iterator[tuple[str, BufferedReader]]:
    if source.is_dir():
        paths = (path for path in source.rglob("*") if path.is_file())
        yield from _folder_files(sorted(paths, key=lambda path: _in_order(str(path))), source, out)
    elif not source.is_file():
        raise UsageError(f"{source} does not exist: give a dump, an export, or a file of listens")
    else:
        try:
            if zipfile.is_zipfile(source):
                yield from _zip_files(source, out)
            elif source.name.lower().endswith(_TAR_SUFFIXES):
                yield from _tar_files(source, out)
            else:
                yield from _folder_files([source], source.parent, out, all_kinds=True)
        except _BROKEN as error:
            detail = f"the rest of the archive is lost: {error}"
            out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, "archive", detail=detail)


def _folder_files(
    paths: list[Path], root: Path, out: CatalogFolder, *, all_kinds: bool = False
) -> Iterator[tuple[str, BufferedReader]]:
    for path in paths:
        name = path.relative_to(root).as_posix()
        if not all_kinds and not _is_used(name, out):
            continue
        try:
            with path.open("rb") as stream:
                yield name, stream
        except OSError as error:
            out.reject(PLAYLISTS_TABLE, reasons.FILE_UNREADABLE, name, detail=error.strerror)


def _zip_files(path: Path, out: CatalogFolder) -> Iterator[tuple[str, BufferedReader]]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist(), key=_in_order):
            if not name.endswith("/") and _is_used(name, out):
                with archive.open(name) as stream:
                    yield name, BufferedReader(cast(Any, stream))


def _tar_files(path: Path, out: CatalogFolder) -> Iterator[tuple[str, BufferedReader]]:
    """Read an archive from its begin to its end, without unpacking it."""
    import pyarrow as pa

    compression = "zstd" if path.suffix.lower() == ".zst" else None
    with (
        pa.input_stream(str(path), compression=compression) as stream,
        tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|*") as archive,
    ):
        for member in archive:
            if member.isfile() and _is_used(member.name, out):
                yield member.name, cast(BufferedReader, archive.extractfile(member))


def _is_used(name: str, out: CatalogFolder) -> bool:
    path = PurePosixPath(name.lower())
    used = path.suffix in _SUFFIXES and path.name not in _NOT_USED
    out.counts.found["files" if used else "files not used"] += 1
    return used


def _in_order(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts 2.jsonl before 10.jsonl."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBERS.split(name)]


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
