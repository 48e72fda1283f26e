"""Audio root: check audio paths below a local or remote folder, and read the version of each file."""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.display import printable, show_value
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables.rejects import AUDIO_MISSING, AUDIO_OUTSIDE_ROOT
from tracktokens.transforms.listing.path_errors import path_error
from tracktokens.transforms.store import files

if TYPE_CHECKING:
    from apache_beam.io.filesystem import FileMetadata

# An absolute path, a path above the root, a URL, or a path that a NUL byte would truncate when it is opened.
_LEAVES_ROOT = r"\A/|(?:\A|/)\.\.(?:/|\z)|\A[A-Za-z][A-Za-z0-9+.\-]*://|\x00"

_MISSING_ERRORS = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EINVAL}
_CACHED_FOLDERS = 1 << 16
_IO_THREADS = 32

_FEWEST_LISTED = 3
"""Remote paths from which on their folder is listed: it costs a request at least, as a look-up does."""

_MOST_LISTED = 1 << 20
"""Most files of a remote folder that are listed: their names are kept in memory, about 200 bytes each."""


def check_audio_root(root: str) -> None:
    """Check before a run that the audio root is a folder with files in it.

    Raises:
        UsageError: it does not exist, is a file, cannot be listed, or has no file, as the mount point of a disk that is
            not mounted.
    """
    if not (_has_remote_files(root) if "://" in root else _has_local_files(root)):
        raise UsageError(
            f"no such folder, or an empty one: the audio root {printable(root)} has no file in it; mount its disk, or "
            "give the folder that audio_path is relative to"
        )


@dataclass(frozen=True)
class AudioProblem:
    """An audio path that cannot be used.

    Attributes:
        row: row index in the column of paths.
        reason: one of ``schemas.tables.rejects``.
        detail: path and cause, for people.
    """

    row: int
    reason: str
    detail: str


@dataclass(frozen=True)
class AudioVersions:
    """Result of a check of audio paths.

    Attributes:
        versions: string array, as long as the paths; a version changes when the file does, and is null without a
            usable path.
        problems: one per path that cannot be used, in the order of the rows.
    """

    versions: pa.StringArray
    problems: tuple[AudioProblem, ...]


@dataclass(frozen=True)
class AudioRoot:
    """The folder of the audio files, local or on any Beam filesystem. Cheap to create and to pickle.

    A local path may contain symbolic links if its target is below the real root. Real paths of folders are cached per
    process: a link that is moved during a run may not be noticed.

    Remote files are listed, 1,000 per request, and only those that are not listed are looked up one by one. The
    listings are kept as long as the object, and are not pickled.

    Attributes:
        root: the folder.
    """

    root: str
    _listings: dict[str, dict[str, str] | None] = field(default_factory=dict, repr=False, compare=False)

    def __reduce__(self) -> tuple[type[AudioRoot], tuple[str]]:
        return AudioRoot, (self.root,)

    def relative(self, paths: pa.StringArray) -> pa.StringArray:
        """Make absolute paths below the root relative to it, so that equal files have equal paths; keep all others.

        Example:
            >>> AudioRoot("gs://music").relative(pa.array(["gs://music/a.wav", "a.wav", "gs://other/a.wav"])).to_pylist()
            ['a.wav', 'a.wav', 'gs://other/a.wav']
        """
        for root in (files.absolute(self.root), *([] if "://" in self.root else [os.path.realpath(self.root)])):
            paths = pc.replace_substring_regex(paths, rf"\A{re.escape(root.rstrip('/'))}/+", "")
        return paths

    def check(self, paths: pa.StringArray, versions: pa.StringArray) -> AudioVersions:
        """Check paths and read the version of each file.

        Args:
            paths: relative to the root, see :meth:`relative`; null if a track has no audio. Looked up unchanged, white
                space included.
            versions: ``audio_version`` of the input. Null is replaced by size and modification time:
                ``"<bytes>:<nanoseconds>"``, or ``"<bytes>:<seconds>"`` below a remote root.
        """
        outside = pc.fill_null(pc.match_substring_regex(paths, _LEAVES_ROOT), False).to_numpy(zero_copy_only=False)
        inside = np.flatnonzero(paths.is_valid().to_numpy(zero_copy_only=False) & ~outside)
        results = dict(zip(inside.tolist(), self._look_up(paths.take(pa.array(inside)).to_pylist()), strict=True))
        results.update((int(row), _Unusable(AUDIO_OUTSIDE_ROOT, "leaves the root")) for row in np.flatnonzero(outside))
        return _audio_versions(paths, versions, results)

    def _look_up(self, paths: Sequence[str]) -> list[str | _Unusable]:
        if "://" not in self.root:
            root = os.path.realpath(self.root)
            return [_look_up_local(root, path) for path in paths]
        full = [f"{self.root.rstrip('/')}/{path}" for path in paths]
        listed = self._listed(full)
        with ThreadPoolExecutor(_IO_THREADS) as threads:
            return list(threads.map(lambda path: listed.get(path) or _look_up_remote(path), full))

    def _listed(self, paths: Sequence[str]) -> dict[str, str]:
        """List the folder that contains all of some paths: path to version; empty where that is not worth it."""
        if len(paths) < _FEWEST_LISTED:
            return {}
        folder = os.path.commonprefix(list(paths)).rpartition("/")[0]  # noqa: RUF071  cut at a slash
        known = next((name for name in self._listings if files.is_below(folder, name)), folder)
        if known not in self._listings:
            self._listings[known] = _list_versions(known)
        return self._listings[known] or {}


@dataclass(frozen=True)
class _Unusable:
    """Reason code and cause of a path that cannot be used."""

    reason: str
    cause: str


def _audio_versions(
    paths: pa.StringArray, input_versions: pa.StringArray, results: dict[int, str | _Unusable]
) -> AudioVersions:
    file_versions: list[str | None] = [None] * len(paths)
    problems = []
    for row in sorted(results):
        result = results[row]
        if isinstance(result, _Unusable):
            detail = f"audio_path: {show_value(paths[row].as_py())} {result.cause}"
            problems.append(AudioProblem(row, result.reason, detail))
        else:
            file_versions[row] = result
    known = pa.array(file_versions, pa.string())
    versions = pc.if_else(known.is_valid(), pc.coalesce(input_versions, known), pa.scalar(None, pa.string()))
    return AudioVersions(versions, tuple(problems))


def _look_up_local(root: str, path: str) -> str | _Unusable:
    """Return the version of a file below ``root``, which is a real path, or the cause why it cannot be used."""
    try:
        folder, _, name = path.rpartition("/")
        real_folder = _real_folder(root, folder)
        if not files.is_below(real_folder, root):
            return _Unusable(AUDIO_OUTSIDE_ROOT, "leaves the root through a symbolic link")
        status = os.lstat(f"{real_folder}/{name}")
        if stat.S_ISLNK(status.st_mode):
            real = os.path.realpath(f"{real_folder}/{name}")
            if not files.is_below(real, root):
                return _Unusable(AUDIO_OUTSIDE_ROOT, "leaves the root through a symbolic link")
            status = os.stat(real)  # noqa: PTH116  pathlib costs more than the call itself
    except UnicodeEncodeError:
        return _Unusable(AUDIO_MISSING, "cannot be a file name here")
    except OSError as error:
        if error.errno not in _MISSING_ERRORS:
            raise  # a failing disk is not a problem of the catalog
        return _Unusable(AUDIO_MISSING, f"is missing: {os.strerror(error.errno)}")
    if not stat.S_ISREG(status.st_mode):
        return _Unusable(AUDIO_MISSING, "is not a regular file")
    return f"{status.st_size}:{status.st_mtime_ns}"


@lru_cache(_CACHED_FOLDERS)
def _real_folder(root: str, folder: str) -> str:
    return os.path.realpath(f"{root}/{folder}") if folder else root


def _look_up_remote(path: str) -> str | _Unusable:
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems

    filesystem = FileSystems.get_filesystem(path)
    try:
        metadata = filesystem.metadata(path)
    except BeamIOError:
        if filesystem.exists(path):
            raise  # the file exists and its metadata cannot be read: not a problem of the catalog
        return _Unusable(AUDIO_MISSING, "is missing")
    return _remote_version(metadata)


def _list_versions(folder: str) -> dict[str, str] | None:
    """List the versions of all files below a remote folder; None if it cannot be listed, or has too many files."""
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems

    try:
        [match] = FileSystems.match([f"{glob.escape(folder)}/**"], limits=[_MOST_LISTED + 1])
    except BeamIOError:  # each file is looked up, and reports its own error
        return None
    if len(match.metadata_list) > _MOST_LISTED:
        return None
    return {file.path: _remote_version(file) for file in match.metadata_list}


def _remote_version(metadata: FileMetadata) -> str:
    return f"{metadata.size_in_bytes}:{metadata.last_updated_in_seconds}"


def _has_local_files(root: str) -> bool:
    """Return whether there is a file below a folder, apart from hidden ones; it stops at the first.

    A folder whose files can be opened and not listed counts as one with files.
    """
    _check_folder(root)
    unlisted: list[OSError] = []
    for _, folders, names in os.walk(root, onerror=unlisted.append):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        if any(not name.startswith(".") for name in names):
            return True
    if unlisted and not os.access(unlisted[0].filename, os.X_OK):
        raise path_error(unlisted[0].filename, "cannot be listed", unlisted[0]) from unlisted[0]
    return bool(unlisted)


def _check_folder(root: str) -> None:
    remedy = "give the folder that audio_path is relative to as the audio root"
    try:
        is_folder = stat.S_ISDIR(os.stat(root).st_mode)  # noqa: PTH116  strings, as in Beam
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise UsageError(f"no such folder: {printable(root)}; {remedy}") from error
    except OSError as error:
        raise path_error(root, "cannot be read", error) from error
    if not is_folder:
        raise UsageError(f"{printable(root)} is not a folder; {remedy}")


def _has_remote_files(root: str) -> bool:
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems

    try:
        (match,) = FileSystems.match([root.rstrip("/") + "/**"], limits=[1])
    except (ValueError, BeamIOError) as error:
        cause = str(error).splitlines()[0]
        raise UsageError(f"the audio root {printable(root)} cannot be listed: {cause}") from error
    return bool(match.metadata_list)
