"""Files outside of a store that a user names: inputs are checked, and outputs are written without harm.

An output may be a pipe, a terminal or a file with several names. Replacing it would leave the file behind it as it was,
and replace ``/dev/stdout`` of the whole machine. A link to a file is refused: someone else may have put it there, to
have another file overwritten.
"""

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from tracktokens.schemas.errors import UsageError

WRONG_PATH = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENXIO,
)
"""Error numbers of a path that is wrong, rather than of a machine that fails."""

_WRITE_FILE = "give a file to write"

STANDARD_STREAMS = (1, 2)
"""Descriptors of standard output and standard error."""


def _is_remote(path: str) -> bool:
    """Return what ``files.is_remote`` does, without importing Beam, which takes seconds."""
    return "://" in path


@contextlib.contextmanager
def path_errors(path: str, remedy: str) -> Iterator[None]:
    """Convert the operating system's errors about a path that a user named.

    Raises:
        UsageError: the path is missing, is not of the right kind, or must not be opened.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in WRONG_PATH:
            raise
        raise UsageError(f"{path}: {os.strerror(error.errno)}; {remedy}") from error


def check_input(path: str, name: str) -> None:
    """Check that an input is a file that can be read.

    Args:
        path: the file, on any filesystem of Beam.
        name: name of the input in messages, in the plural.

    Raises:
        UsageError: it does not exist, is a folder, or must not be read.
    """
    remedy = f"give the file of the {name}"
    if _is_remote(path):
        if not _remote_exists(path, remedy):
            raise UsageError(f"{path}: no such file; {remedy}")
        return
    with path_errors(path, remedy):
        if stat.S_ISDIR(Path(path).stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, path)
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, path)


def _remote_exists(path: str, remedy: str) -> bool:
    from tracktokens.transforms.store import files

    try:
        return files.exists(path)
    except ValueError as error:  # Beam has no such filesystem
        raise UsageError(f"{path}: {error}; {remedy}") from error


def check_output(path: str, inputs: Sequence[str] = (), store: str | None = None) -> None:
    """Check before anything is read that an output can be written, and that it does not overwrite an input.

    Args:
        path: the file to write.
        inputs: files that are read.
        store: root of the store that is read.

    Raises:
        UsageError: it is a folder, a link to a file, an input (by any of its names), or in the store.
    """
    if _is_remote(path):
        _remote_exists(path, _WRITE_FILE)
    elif path.endswith("/") or _local_mode(path, _WRITE_FILE) == stat.S_IFDIR:
        raise UsageError(f"{path} is a folder: give a file to write")
    for source in inputs:
        if _is_same_file(path, source):
            raise UsageError(f"{path} is the input {source}: write to a different file")
    if store is not None:
        check_outside(path, store)
    _refuse_link(path)


def _refuse_link(path: str) -> None:
    """Raise a UsageError if an output is a link, except for one to a stream, such as ``/dev/stdout``."""
    if not _is_remote(path) and Path(path).is_symlink() and not is_stream(path):
        target = os.path.realpath(path)
        raise UsageError(f"{path} is a link to {target}: give the path of that file, or remove the link")


def check_output_folder(path: str, inputs: Sequence[str] = ()) -> None:
    """Check before anything is read that a folder can be written, and that it is not in a folder that is read.

    Raises:
        UsageError: it is a file, on a remote filesystem, or in an input.
    """
    if _is_remote(path):
        raise UsageError(f"{path} is not a local folder: give a local folder")
    if _local_mode(path, "give a new folder") not in (None, stat.S_IFDIR):
        raise UsageError(f"{path} is not a folder: give a new folder")
    for source in inputs:
        check_outside(path, source)


def check_outside(path: str, folder: str) -> None:
    """Raise a UsageError if a path is in a folder, also through links."""
    if _is_remote(path) or _is_remote(folder):
        inside = path.startswith(folder.rstrip("/") + "/")
    else:
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    if inside:
        raise UsageError(f"{path} is in {folder}, which is read: write outside of it")


def _local_mode(path: str, remedy: str) -> int | None:
    """Return the kind of file that a path leads to, as in ``stat``; None if there is none yet."""
    with path_errors(path, remedy), contextlib.suppress(FileNotFoundError):
        return stat.S_IFMT(Path(path).stat().st_mode)
    return None


def _is_same_file(path: str, other: str) -> bool:
    if _is_remote(path) or _is_remote(other):
        return path == other
    with contextlib.suppress(OSError):
        return Path(path).samefile(other)
    return os.path.realpath(path) == os.path.realpath(other)


def is_stream(path: str) -> bool:
    """Return whether an output is not a regular file, but a pipe, a terminal, or an open file such as ``/dev/fd/3``."""
    if _is_remote(path) or not Path(path).exists():
        return False
    folder = f"{os.path.realpath(Path(path).parent)}/"
    return not Path(path).is_file() or folder.startswith("/proc/") or bool(_standard_streams(path))


def is_standard_output(path: str) -> bool:
    """Return whether an output is this process's standard output, by any name."""
    return not _is_remote(path) and 1 in _standard_streams(path)


@contextlib.contextmanager
def open_output(path: str) -> Iterator[IO[bytes]]:
    """Open an output that a user named for writing.

    A regular file gets its content when the block ends, at once, and keeps its mode; it stays as it was if the block
    raises. A stream is written as it is, see :func:`is_stream`.

    Raises:
        UsageError: the path cannot be written, or is a link to a file.
    """
    if _is_remote(path):
        from tracktokens.transforms.store import files

        with files.atomic_writer(path) as file:
            yield file
    elif is_stream(path):
        with _open_stream(path) as stream:
            yield stream
    else:
        _refuse_link(path)
        with _replace_file(os.path.realpath(path)) as file:
            yield file


def _standard_streams(path: str) -> list[int]:
    """List the descriptors of standard output and error that a path leads to."""
    found = []
    for descriptor in STANDARD_STREAMS:
        with contextlib.suppress(OSError):
            if os.path.samestat(Path(path).stat(), os.fstat(descriptor)):
                found.append(descriptor)
    return found


def _open_stream(path: str) -> IO[bytes]:
    for descriptor in _standard_streams(path):  # opening it again would write at the beginning of a file
        return os.fdopen(os.dup(descriptor), "wb")
    with path_errors(path, _WRITE_FILE):
        return Path(path).open("wb")


@contextlib.contextmanager
def _replace_file(target: str) -> Iterator[IO[bytes]]:
    from tracktokens.transforms.store import files

    partial = Path(f"{target}.{uuid.uuid4().hex[:12]}{files.PARTIAL}")
    with path_errors(target, _WRITE_FILE):
        partial.parent.mkdir(parents=True, exist_ok=True)
        file = partial.open("xb")
    try:
        with file:
            yield file
        _move(partial, Path(target))
    finally:
        partial.unlink(missing_ok=True)


def _move(partial: Path, target: Path) -> None:
    """Give a new file the name and the mode of an old one; a file with several names is overwritten instead."""
    old = target.stat() if target.exists() else None
    if old is not None and old.st_nlink > 1:
        shutil.copyfile(partial, target)
        return
    if old is not None:
        with contextlib.suppress(PermissionError):
            os.chown(partial, old.st_uid, old.st_gid)
        partial.chmod(stat.S_IMODE(old.st_mode))
    try:
        partial.replace(target)
    except OSError as error:
        if error.errno != errno.EBUSY:  # a file that is mounted into a container cannot be replaced
            raise
        shutil.copyfile(partial, target)
