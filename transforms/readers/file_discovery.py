"""Input files: find those of a path, a folder or a glob, with their formats, and name a corrupt one in its error."""

from __future__ import annotations

import errno
import glob
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError

from tracktokens.schemas.display import printable, show_value
from tracktokens.schemas.errors import InvalidDataError, TracktokensError, UsageError
from tracktokens.transforms.listing.found_files import FoundFiles
from tracktokens.transforms.listing.local_files import LocalPattern, list_folder, list_glob
from tracktokens.transforms.listing.path_errors import missing_table, path_error
from tracktokens.transforms.listing.remote_files import list_remote
from tracktokens.transforms.store import files

_logger = logging.getLogger(__name__)

PARQUET, CSV, JSONL = "parquet", "csv", "jsonl"

FORMAT_OF_ENDING = {
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".csv": CSV,
    ".tsv": CSV,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".json": JSONL,
}
CODEC_OF_ENDING = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}

_ENDINGS_HINT = f"use {', '.join(FORMAT_OF_ENDING)}; text files may be compressed ({', '.join(CODEC_OF_ENDING)})"


def find_files(pattern: str, table: str) -> list[tuple[str, int]]:
    """List (path, bytes) of the files of known format that match a pattern, sorted by path.

    A folder includes all folders below it, through links too. In a folder and for a glob (see
    :mod:`tracktokens.transforms.listing.patterns`), names that start with ``_`` or ``.`` and unknown extensions are
    skipped. What is skipped is logged, except for markers.

    Args:
        pattern: a file, a folder or a glob, on any filesystem of Beam.
        table: name of the table in messages.

    Raises:
        UsageError: nothing matches, no match has a known format, or a folder cannot be listed.
    """
    found, is_file = _list(pattern, table)
    readable = sorted(file for file in found.files if _known_format(file[0]))
    if not readable:
        raise UsageError(_why_none(pattern, table, found, is_file))
    _warn_of_skipped(pattern, found, [path for path, size in readable if not size])
    return readable


def format_of(path: str) -> str:
    """Return the format of a file that :func:`find_files` listed: ``"parquet"``, ``"csv"`` or ``"jsonl"``.

    Raises:
        ValueError: its extension is unknown.
    """
    kind = _known_format(path)
    if kind is None:
        raise ValueError(f"{path}: unknown format; {_ENDINGS_HINT}")
    return kind


def codec_of(path: str) -> str | None:
    """Return the compression of a text file, under Arrow's name; None if it is not compressed."""
    return CODEC_OF_ENDING.get(PurePosixPath(path.lower()).suffix)


@contextmanager
def corrupt_file_errors(path: str) -> Iterator[None]:
    """Convert the errors of reading a file into one line that names the file.

    Raises:
        InvalidDataError: in place of an error of Arrow or of decoding: the file is corrupt.
        UsageError, TracktokensError: in place of an error of the operating system, which has a number: the file is
            missing or may not be read, or the disk fails.
    """
    try:
        yield
    except (BeamIOError, pa.ArrowMemoryError) as error:
        cause = f"{printable(path)} cannot be read: {_first_line(error)}"
        raise TracktokensError(f"{cause}; check the machine and run the same command again") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise path_error(path, "cannot be read", error) from error
        raise InvalidDataError(
            f"{printable(path)} cannot be read: {_first_line(error)}; write the file again"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _known_format(path: str) -> str | None:
    *_, ending = endings = ["", *PurePosixPath(path.lower()).suffixes]
    if ending not in CODEC_OF_ENDING:
        return FORMAT_OF_ENDING.get(ending)
    kind = FORMAT_OF_ENDING.get(endings[-2])
    return None if kind == PARQUET else kind


def _is_table(name: str) -> bool:
    return _known_format(name) is not None


def _list(pattern: str, table: str) -> tuple[FoundFiles, bool]:
    """List the matches of a pattern, and return whether it is the path of one file."""
    try:
        return list_remote(pattern, _is_table) if files.is_remote(pattern) else _list_local(pattern)
    except (ValueError, BeamIOError) as error:  # Beam has no such filesystem, or the path contains a NUL byte
        cause = f"the {table} table cannot be listed at {show_value(pattern)}: {_first_line(error)}"
        raise UsageError(cause) from error


def _list_local(pattern: str) -> tuple[FoundFiles, bool]:
    path = str(Path(pattern).absolute())  # workers may run in another folder
    try:
        status = os.stat(path)  # noqa: PTH116  pathlib hides that a folder above may not be read
    except OSError as error:
        if glob.has_magic(pattern):
            return list_glob(LocalPattern.of(pattern), _is_table), False
        if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.islink(path):  # noqa: PTH114  as above
            return FoundFiles(), False
        raise path_error(path, "cannot be read", error) from error
    if stat.S_ISDIR(status.st_mode):
        return list_folder(path, _is_table), False
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{printable(path)} is a pipe or a device: write the rows to a file, and give that")
    return FoundFiles([(path, status.st_size)]), True


def _why_none(pattern: str, table: str, found: FoundFiles, is_file: bool) -> str:
    """State why a pattern has no file to read, and what to do."""
    shown = printable(pattern)
    if is_file:
        return f"{shown}: unknown format for the {table} table; {_ENDINGS_HINT}"
    if found.hidden:
        return (
            f"{shown} contains only files that are skipped, since the name of the file or of its folder starts with "
            f"_ or ., such as {printable(found.hidden[0])}; rename it, or give its own path"
        )
    if found.files or (not glob.has_magic(pattern) and os.path.isdir(pattern)):  # noqa: PTH112  takes any text
        return f"{shown} contains no file of the {table} table; {_ENDINGS_HINT}"
    return str(missing_table(pattern, table))


def _warn_of_skipped(pattern: str, found: FoundFiles, empty: list[str]) -> None:
    unknown = [path for path, _ in found.files if not _is_table(path)]
    for problem, paths in (
        ("skipping %d files of unknown format", unknown),
        ("skipping %d files since their name, or a folder's name, starts with _ or .", found.hidden),
        ("skipping %d pipes, sockets or devices", found.special),
        ("reading once what %d links lead to again", found.repeated),
        ("reading %d files that are empty (0 bytes)", empty),
        ("skipping %d folders that match beside files (add /** to read them)", found.folders),
    ):
        if paths:
            _logger.warning(f"%s: {problem}, such as %s", printable(pattern), len(paths), printable(min(paths)))
