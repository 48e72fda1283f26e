"""Input files: find those of a path, a folder or a glob, with their formats, and name a corrupt one in its error."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pyarrow as pa

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.readers.display import show_value
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

    A folder includes all folders below it (links to folders are not followed). In a folder and for a glob (``*``,
    ``?``, ``[...]``, and ``**`` across folders), names that start with ``_`` or ``.`` and unknown extensions are
    skipped.

    Args:
        pattern: a file, a folder or a glob, on any filesystem of Beam.
        table: name of the table in messages.

    Raises:
        UsageError: nothing matches, or no match has a known format.
    """
    matches, is_file = _match(pattern, table)
    if not matches:
        raise UsageError(f"no such file or folder: {pattern}; give the {table} table as a file, a folder or a glob")
    readable = sorted(file for file in matches if _known_format(file[0]))
    skipped = sorted(path for path, _ in matches if not _known_format(path))
    if readable and skipped:
        _logger.warning("%s: skipping %d files of unknown format, such as %s", pattern, len(skipped), skipped[0])
    if not readable and is_file:
        raise UsageError(f"{pattern}: unknown format for the {table} table; {_ENDINGS_HINT}")
    if not readable:
        raise UsageError(f"{pattern} contains no file of the {table} table; {_ENDINGS_HINT}")
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
    """Convert the errors of reading a corrupt file into one line that names the file.

    Raises:
        InvalidDataError: in place of an error of Arrow, of the operating system or of decoding.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidDataError(f"{path} cannot be read: {cause}; write the file again") from error


def _known_format(path: str) -> str | None:
    *_, ending = endings = ["", *PurePosixPath(path.lower()).suffixes]
    if ending not in CODEC_OF_ENDING:
        return FORMAT_OF_ENDING.get(ending)
    kind = FORMAT_OF_ENDING.get(endings[-2])
    return None if kind == PARQUET else kind


def _match(pattern: str, table: str) -> tuple[list[tuple[str, int]], bool]:
    """List (path, bytes) of the matches of a pattern, and return whether it is the path of one file."""
    try:
        return _match_remote(pattern) if files.is_remote(pattern) else _match_local(pattern)
    except ValueError as error:  # Beam has no such filesystem, or the path contains a NUL byte
        raise UsageError(f"the {table} table cannot be listed at {show_value(pattern)}: {error}") from error


def _match_local(pattern: str) -> tuple[list[tuple[str, int]], bool]:
    named = Path(pattern).absolute()  # workers may run in another folder
    if named.is_file():
        return [(str(named), named.stat().st_size)], True
    if named.is_dir():
        matches = _visible(_beam_match(f"{_without_wildcards(named)}/**"), str(named))
    else:
        here = Path.cwd()
        wanted = os.path.normpath(_without_wildcards(here) / pattern)
        matches = _visible(_beam_match(wanted), os.path.normpath(here / _fixed_part(pattern)))
    return [file for file in matches if Path(file[0]).is_file()], False  # reading a named pipe would block forever


def _without_wildcards(folder: Path) -> Path:
    # Beam cannot escape a wildcard in a folder's name; other folders that match are filtered out later.
    return Path(re.sub(r"[*?\[]", "?", str(folder)))


def _match_remote(pattern: str) -> tuple[list[tuple[str, int]], bool]:
    if not glob.has_magic(pattern):
        exact = _beam_match(pattern) if not pattern.endswith("/") else []
        below = [] if exact else _beam_match(pattern.rstrip("/") + "/**")
        return exact or _visible(below, pattern), bool(exact)
    return _visible(_beam_match(pattern), _fixed_part(pattern)), False


def _beam_match(pattern: str) -> list[tuple[str, int]]:
    from apache_beam.io.filesystems import FileSystems

    (matched,) = FileSystems.match([pattern])
    return [(file.path, file.size_in_bytes) for file in matched.metadata_list]


def _fixed_part(pattern: str) -> str:
    wild = re.search(r"[*?\[]", pattern)
    return pattern[: wild.start()].rpartition("/")[0] if wild else pattern.rpartition("/")[0]


def _visible(files: Iterable[tuple[str, int]], folder: str) -> list[tuple[str, int]]:
    """Keep files below ``folder`` without a name that starts with ``_`` or ``.``, such as markers and drafts."""
    start = len(folder.rstrip("/"))
    below = [file for file in files if file[0].startswith(folder)]
    return [file for file in below if not any(name.startswith(("_", ".")) for name in file[0][start:].split("/"))]
