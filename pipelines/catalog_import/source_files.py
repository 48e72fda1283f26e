"""Files of a source: of a folder, a zip or a tar archive, or one file. Archives are not unpacked."""

from __future__ import annotations

import errno
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any, cast

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE

BROKEN_ARCHIVE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zlib.error,
    LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)
"""Errors of reading archives that are damaged, cut or encrypted."""

FILES, FILES_NOT_USED = "files", "files not used"
"""Counts of files."""

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_NUMBERS = re.compile(r"(\d+)")


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts 2.jsonl before 10.jsonl."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBERS.split(name)]


def open_file(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file for reading.

    Raises:
        OSError: it cannot be opened, or is not a regular file: a read of a pipe may wait forever.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - called per file
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return open(path, "rb")  # noqa: PTH123 - as above


def list_files(folder: Path, out: CatalogFolder) -> Iterator[str]:
    """List what is below a folder and not a folder, as paths below it; a folder that cannot be listed is rejected.

    Raises:
        UsageError: the folder itself cannot be listed.
    """

    def reject(error: OSError) -> None:
        failed = Path(error.filename)
        if failed == folder:
            raise UsageError(f"{folder} cannot be listed: {error.strerror}; make it readable") from error
        name = failed.relative_to(folder).as_posix()
        out.reject(PLAYLISTS_TABLE, reasons.FILE_UNREADABLE, name, detail=f"a folder: {error.strerror}")

    for parent, _, names in os.walk(folder, onerror=reject):
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in names)


def count_unused_files(folder: Path, used: Iterable[str], out: CatalogFolder) -> None:
    """Count the files of a folder, without those below it, that an import does not read."""
    names = {path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    if unused := len(names - set(used)):
        out.counts.found[FILES_NOT_USED] += unused


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """Opens the files of a source; other files are counted.

    Attributes:
        source: folder, archive or file. A file that is not an archive is opened whatever its name is.
        is_used: called with a path below the source.
        order: key that sorts the paths; those of a tar archive stay in its order.
    """

    source: Path
    is_used: Callable[[str], bool]
    order: Callable[[str], Any] = natural_order

    def open(self, out: CatalogFolder) -> Iterator[tuple[str, BufferedReader]]:
        """Open one file after the other: its path below the source, and its bytes.

        Raises:
            UsageError: the source does not exist.
        """
        if self.source.is_dir():
            yield from self._from_folder(self.source, self._used(list_files(self.source, out), out), out)
        elif not self.source.is_file():
            raise UsageError(f"{self.source} does not exist: give a file, an archive or a folder")
        else:
            try:
                yield from self._from_file(out)
            except BROKEN_ARCHIVE as error:
                detail = f"the rest of the archive is lost: {error}"
                out.reject(PLAYLISTS_TABLE, reasons.MALFORMED, "archive", detail=detail)

    def _from_file(self, out: CatalogFolder) -> Iterator[tuple[str, BufferedReader]]:
        if zipfile.is_zipfile(self.source):
            yield from self._from_zip(out)
        elif self.source.name.lower().endswith(_TAR_SUFFIXES):
            yield from self._from_tar(out)
        else:
            yield from self._from_folder(self.source.parent, [self.source.name], out)

    def _from_folder(self, folder: Path, names: list[str], out: CatalogFolder) -> Iterator[tuple[str, BufferedReader]]:
        for name in names:
            try:
                stream = open_file(folder / name)
            except OSError as error:
                out.reject(PLAYLISTS_TABLE, reasons.FILE_UNREADABLE, name, detail=error.strerror)
                continue
            with stream:
                yield name, stream

    def _from_zip(self, out: CatalogFolder) -> Iterator[tuple[str, BufferedReader]]:
        with zipfile.ZipFile(self.source) as archive:
            for name in self._used((name for name in archive.namelist() if not name.endswith("/")), out):
                try:
                    stream = archive.open(name)
                except BROKEN_ARCHIVE as error:  # of the member alone: it is encrypted, or its header is damaged
                    out.reject(PLAYLISTS_TABLE, reasons.FILE_UNREADABLE, name, detail=str(error))
                    continue
                with stream:
                    yield name, BufferedReader(cast(Any, stream))

    def _from_tar(self, out: CatalogFolder) -> Iterator[tuple[str, BufferedReader]]:
        """Read an archive from its begin to its end."""
        import pyarrow as pa

        compression = "zstd" if self.source.suffix.lower() == ".zst" else None
        with (
            pa.input_stream(str(self.source), compression=compression) as stream,
            tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|*") as archive,
        ):
            for member in archive:
                if member.isdir():
                    continue
                if not member.isfile():  # a link, whose target is a member too
                    out.counts.found[FILES_NOT_USED] += 1
                elif self._used([member.name], out):
                    yield member.name, cast(BufferedReader, archive.extractfile(member))

    def _used(self, names: Iterable[str], out: CatalogFolder) -> list[str]:
        """Select and sort the files that are used, and count all."""
        used = []
        for name in names:
            out.counts.found[FILES if self.is_used(name) else FILES_NOT_USED] += 1
            if self.is_used(name):
                used.append(name)
        return sorted(used, key=self.order)
