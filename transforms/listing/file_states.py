"""States of files: size and modification time, by which a job recognises files that it has read before.

A change of content that keeps both is not detected.
"""

from __future__ import annotations

import glob
import os
import stat
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from apache_beam.io.filesystems import FileSystems

from tracktokens.transforms.store import files

CLOCK_TICK_SECONDS = 2.0
"""A file modified more recently than this may change again within one tick of its filesystem's clock."""

_IO_THREADS = 16


class FileState(NamedTuple):
    """State of a file.

    Attributes:
        path: its path; in a listing, below the folder.
        size: its size in bytes.
        modified: its modification time in nanoseconds since 1970.
    """

    path: str
    size: int
    modified: int

    @property
    def is_settled(self) -> bool:
        """True where another change, now, would show in the modification time."""
        return time.time() - self.modified / 1e9 >= CLOCK_TICK_SECONDS


def file_states(paths: Iterable[str]) -> list[FileState]:
    """Read the state of each of some files, local or remote; one request per remote file."""
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        return list(threads.map(file_state, paths))


def file_state(path: str) -> FileState:
    """Read the state of a file.

    Raises:
        OSError: it cannot be read, or does not exist.
    """
    if not files.is_remote(path):
        status = Path(path).stat()
        return FileState(path, status.st_size, status.st_mtime_ns)
    found = FileSystems.match([glob.escape(path)])[0].metadata_list
    if not found:
        raise FileNotFoundError(path)
    return _remote_state(path, found[0])


def list_states(folder: str) -> Iterator[FileState]:
    """List the states of all regular files below a folder, in no order; a folder that is reached twice counts once.

    Raises:
        OSError: a part of the folder cannot be listed.
    """
    base = folder.rstrip("/") + "/"
    if not files.is_remote(folder):
        yield from _walk(base, "", set())
        return
    for found in FileSystems.match([f"{glob.escape(base)}**"])[0].metadata_list:
        yield _remote_state(found.path.removeprefix(base), found)


def _remote_state(path: str, found: object) -> FileState:
    return FileState(path, found.size_in_bytes, int(found.last_updated_in_seconds * 1e9))  # type: ignore[attr-defined]


def _walk(base: str, below: str, entered: set[tuple[int, int]]) -> Iterator[FileState]:
    """Walk a local folder and the folders that links in it lead to."""
    status = os.stat(base + below)  # noqa: PTH116 - strings, as in Beam
    if (status.st_dev, status.st_ino) in entered:
        return
    entered.add((status.st_dev, status.st_ino))
    with os.scandir(base + below) as entries:
        for entry in entries:
            path = below + entry.name
            if entry.is_dir():
                yield from _walk(base, f"{path}/", entered)
                continue
            with suppress(FileNotFoundError):  # a link without a target, or a file that vanished meanwhile
                found = entry.stat()
                if stat.S_ISREG(found.st_mode):
                    yield FileState(path, found.st_size, found.st_mtime_ns)
