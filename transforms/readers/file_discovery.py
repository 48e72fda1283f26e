"""Input files: which ones a path, a folder or a glob names, the format of each, and what is said of a corrupt one."""

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
from tracktokens.transforms.readers.coercion import shown
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

_ENDINGS_HINT = f"use {', '.join(FORMAT_OF_ENDING)}; text may also end in {', '.join(CODEC_OF_ENDING)} after that"


def find_files(pattern: str, table: str) -> list[tuple[str, int]]:
    """List (path, bytes) of the files that a pattern names and that have a known format, sorted by path.

    A folder counts with all folders below it (links to folders are not followed). In a folder and for a glob (``*``,
    ``?``, ``[...]``, and ``**`` across folders), names that start with ``_`` or ``.`` and unknown endings are skipped.

    Args:
        pattern: a file, a folder or a glob, on any filesystem of Beam.
        table: what the table is called in messages.

    Raises:
        UsageError: when nothing is there, or nothing that can be read.
    """
    found, explicit = _match(pattern, table)
    if not found:
        raise UsageError(f"no such file or folder: {pattern}; give the {table} table as a file, a folder or a glob")
    usable = sorted(file for file in found if _known_format(file[0]))
    skipped = sorted(path for path, _ in found if not _known_format(path))
    if usable and skipped:
        _logger.warning("%s: %d files of no known format are not read, %s first", pattern, len(skipped), skipped[0])
    if not usable and explicit:
        raise UsageError(f"{pattern}: its ending tells no format that the {table} table may have; {_ENDINGS_HINT}")
    if not usable:
        raise UsageError(f"{pattern} holds no file of the {table} table; {_ENDINGS_HINT}")
    return usable


def format_of(path: str) -> str:
    """Tell the format of a file that :func:`find_files` gave: ``"parquet"``, ``"csv"`` or ``"jsonl"``.

    Raises:
        ValueError: when its ending tells none.
    """
    kind = _known_format(path)
    if kind is None:
        raise ValueError(f"{path}: its ending tells no format; {_ENDINGS_HINT}")
    return kind


def codec_of(path: str) -> str | None:
    """Tell how a file of text is compressed, as Arrow calls it; None where it is not."""
    return CODEC_OF_ENDING.get(PurePosixPath(path.lower()).suffix)


@contextmanager
def refusing(path: str) -> Iterator[None]:
    """Turn what a corrupt file makes of a reader into one line that names the file.

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
    """List (path, bytes) of what a pattern names, and whether it names one file."""
    try:
        return _match_remote(pattern) if files.is_remote(pattern) else _match_local(pattern)
    except ValueError as error:  # Beam knows no such filesystem, or the path holds a NUL byte
        raise UsageError(f"cannot look for the {table} table at {shown(pattern)}: {error}") from error


def _match_local(pattern: str) -> tuple[list[tuple[str, int]], bool]:
    named = Path(pattern).absolute()  # workers may run in another folder
    if named.is_file():
        return [(str(named), named.stat().st_size)], True
    if named.is_dir():
        found = _visible(_beam_match(f"{_without_wildcards(named)}/**"), str(named))
    else:
        here = Path.cwd()
        wanted = os.path.normpath(_without_wildcards(here) / pattern)
        found = _visible(_beam_match(wanted), os.path.normpath(here / _fixed_part(pattern)))
    return [file for file in found if Path(file[0]).is_file()], False  # a named pipe would be waited for without end


def _without_wildcards(folder: Path) -> Path:
    # Beam cannot quote a wildcard in a folder's name; what else its place may hold is filtered out after.
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
    """Keep files below ``folder`` where no name from there on starts with ``_`` or ``.``, as markers and drafts do."""
    start = len(folder.rstrip("/"))
    below = [file for file in files if file[0].startswith(folder)]
    return [file for file in below if not any(name.startswith(("_", ".")) for name in file[0][start:].split("/"))]
