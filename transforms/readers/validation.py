"""Validation: rows whose values have the right types and are still no good: ids, blank text, audio paths."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import AUDIO
from tracktokens.schemas.tables.rejects import (
    AUDIO_MISSING,
    AUDIO_OUTSIDE_ROOT,
    ID_EMPTY,
    ID_MISSING,
    ID_TOO_LONG,
    PLAYLISTS_TABLE,
    TRACKS_TABLE,
    VALIDATE,
    make_rejects,
)
from tracktokens.schemas.tables.tracks import MAX_ID_BYTES, TRACK_ID, describe_position
from tracktokens.transforms.readers.coercion import Reject, keep_elements, shown

# White space as Python has it, and the characters that have no width and no meaning of their own.
_BLANK = r"\A[\s\pZ\x0b\x1c-\x1f\x{85}\x{ad}\x{180e}\x{200b}-\x{200f}\x{2060}-\x{2064}\x{feff}]*\z"

# Absolute, above the root, a URL, or cut short by a NUL byte when it is opened.
_LEAVES_ROOT = r"\A/|(?:\A|/)\.\.(?:/|\z)|\A[A-Za-z][A-Za-z0-9+.\-]*://|\x00"

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EINVAL}
_CACHED_FOLDERS = 1 << 16
_IO_THREADS = 32


@dataclass(frozen=True)
class Validated:
    """A batch after validation.

    Attributes:
        rows: the rows that stay, with the columns and types that they came with.
        rejects: batch of ``REJECTS``, stage ``validate``.
    """

    rows: pa.RecordBatch
    rejects: pa.RecordBatch


def validate_ids(batch: pa.RecordBatch) -> Validated:
    """Take out the rows whose id, the first column, is missing, blank or over ``MAX_ID_BYTES`` bytes of UTF-8.

    Ids that occur twice cannot be seen in one batch; they are found elsewhere.
    """
    name = batch.schema.names[0]
    ids = batch.column(name)
    missing, blank = ids.is_null(), pc.fill_null(_is_blank(ids), False)
    too_long = pc.fill_null(pc.greater(pc.binary_length(ids), MAX_ID_BYTES), False)
    bad = pc.or_(missing, pc.or_(blank, too_long))
    if not bad.true_count:
        return Validated(batch, make_rejects([]))
    rejects = [
        _id_reject(name, value, position)
        for value, position in zip(
            ids.filter(bad).to_pylist(), batch.column("position").filter(bad).to_pylist(), strict=True
        )
    ]
    return Validated(batch.filter(pc.invert(bad)), make_rejects(rejects))


def blank_to_null(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Make blank text null, in every column but the id: a title of spaces or of zero-width characters is no title.

    Blank elements of a list go, and a list with nothing left in it is null.
    """
    columns = [
        column if field.name == TRACK_ID else _without_blanks(column)
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def validate_audio(batch: pa.RecordBatch, root: AudioRoot) -> Validated:
    """Check the audio paths of a batch of ``SCANNED_TRACKS`` and fill in ``audio_version``.

    Every row stays. ``audio_path`` and ``audio_version`` are both null where the path is missing or was rejected, and
    both given elsewhere.
    """
    checked = root.check(batch.column("audio_path"), batch.column("audio_version"))
    paths = pc.if_else(checked.versions.is_valid(), batch.column("audio_path"), pa.scalar(None, pa.string()))
    rows = _with_column(_with_column(batch, "audio_path", paths), "audio_version", checked.versions)
    ids = batch.column(TRACK_ID)
    rejects: list[Reject] = [
        {
            "table": TRACKS_TABLE,
            "track_id": ids[problem.row].as_py(),
            "modality": AUDIO,
            "stage": VALIDATE,
            "reason": problem.reason,
            "detail": problem.detail,
        }
        for problem in checked.problems
    ]
    return Validated(rows, make_rejects(rejects))


def check_audio_root(root: str) -> None:
    """Check before a run that the audio root is a folder.

    Raises:
        UsageError: when it does not exist, or is a file.
    """
    if "://" in root:
        _check_remote_root(root)
    elif not os.path.lexists(root):
        raise UsageError(f"no such folder: {root}; give the folder that audio_path is relative to as the audio root")
    elif not Path(root).is_dir():
        raise UsageError(f"{root} is not a folder; give the folder that audio_path is relative to as the audio root")


@dataclass(frozen=True)
class AudioProblem:
    """An audio path that cannot be used: row in its column, reason of ``schemas.rejects``, detail for people."""

    row: int
    reason: str
    detail: str


@dataclass(frozen=True)
class AudioVersions:
    """What a check of audio paths found.

    Attributes:
        versions: string array, as long as the paths: what changes when the file does; null without a usable path.
        problems: one a path that cannot be used, in the order of the rows.
    """

    versions: pa.StringArray
    problems: tuple[AudioProblem, ...]


@dataclass(frozen=True)
class AudioRoot:
    """The folder below which audio lies, local or on a filesystem of Beam. Cheap to make and to send.

    A local file may be reached over symbolic links, as long as it lies below the real root in the end. Where folders
    lie is remembered in the process: a link that is moved during a run may not be noticed.

    Attributes:
        root: the folder.
    """

    root: str

    def check(self, paths: pa.StringArray, versions: pa.StringArray) -> AudioVersions:
        """Check paths and find out the version of each file.

        Args:
            paths: relative to the root; null where a track has no audio. Looked up as they are, white space and all.
            versions: ``audio_version`` as given. Where it is null, size and modification time stand for it:
                ``"<bytes>:<nanoseconds>"``, or ``"<bytes>:<seconds>"`` where the root is remote.
        """
        outside = pc.fill_null(pc.match_substring_regex(paths, _LEAVES_ROOT), False).to_numpy(zero_copy_only=False)
        inside = np.flatnonzero(paths.is_valid().to_numpy(zero_copy_only=False) & ~outside)
        found = dict(zip(inside.tolist(), self._look_up(paths.take(pa.array(inside)).to_pylist()), strict=True))
        found.update((int(row), _Unusable(AUDIO_OUTSIDE_ROOT, "leaves the root")) for row in np.flatnonzero(outside))
        return _audio_versions(paths, versions, found)

    def _look_up(self, paths: Sequence[str]) -> list[str | _Unusable]:
        if "://" not in self.root:
            root = os.path.realpath(self.root)
            return [_look_up_local(root, path) for path in paths]
        with ThreadPoolExecutor(_IO_THREADS) as threads:
            return list(threads.map(lambda path: _look_up_remote(f"{self.root.rstrip('/')}/{path}"), paths))


@dataclass(frozen=True)
class _Unusable:
    reason: str
    why: str


def _is_blank(text: pa.StringArray) -> pa.BooleanArray:
    return pc.match_substring_regex(text, _BLANK)


def _id_reject(name: str, value: str | None, position: int) -> Reject:
    where = describe_position(position)
    if value is None:
        return _row_reject(name, ID_MISSING, f"{where}: {name} is null")
    size = len(value.encode("utf-8"))
    if size > MAX_ID_BYTES:
        return _row_reject(name, ID_TOO_LONG, f"{where}: {name} {shown(value)} has {size} bytes, over {MAX_ID_BYTES}")
    return _row_reject(name, ID_EMPTY, f"{where}: {name} {shown(value)} is blank")


def _row_reject(name: str, reason: str, detail: str) -> Reject:
    table = TRACKS_TABLE if name == TRACK_ID else PLAYLISTS_TABLE
    return {"table": table, "stage": VALIDATE, "reason": reason, "detail": detail}


def _without_blanks(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return pc.if_else(_is_blank(column), pa.scalar(None, column.type), column)
    if pa.types.is_list(column.type):
        blank = pc.fill_null(_is_blank(column.flatten()), True).to_numpy(zero_copy_only=False)
        kept = keep_elements(column, ~blank) if blank.any() else column
        return pc.if_else(pc.equal(pc.list_value_length(kept), 0), pa.scalar(None, column.type), kept)
    return column


def _with_column(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    columns = [column if field.name == name else batch.column(field.name) for field in batch.schema]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _audio_versions(paths: pa.StringArray, given: pa.StringArray, found: dict[int, str | _Unusable]) -> AudioVersions:
    versions: list[str | None] = [None] * len(paths)
    problems = []
    for row in sorted(found):
        result = found[row]
        if isinstance(result, _Unusable):
            detail = f"audio_path: {shown(paths[row].as_py())} {result.why}"
            problems.append(AudioProblem(row, result.reason, detail))
        else:
            versions[row] = result
    known = pa.array(versions, pa.string())
    kept = pc.if_else(known.is_valid(), pc.coalesce(given, known), pa.scalar(None, pa.string()))
    return AudioVersions(kept, tuple(problems))


def _look_up_local(root: str, path: str) -> str | _Unusable:
    """Find the version of a file below ``root``, which is a real path, or why it cannot be used."""
    try:
        folder, _, name = path.rpartition("/")
        real_folder = _real_folder(root, folder)
        if not _is_below(real_folder, root):
            return _Unusable(AUDIO_OUTSIDE_ROOT, "leaves the root over a symbolic link")
        status = os.lstat(f"{real_folder}/{name}")
        if stat.S_ISLNK(status.st_mode):
            real = os.path.realpath(f"{real_folder}/{name}")
            if not _is_below(real, root):
                return _Unusable(AUDIO_OUTSIDE_ROOT, "leaves the root over a symbolic link")
            status = os.stat(real)  # noqa: PTH116  pathlib costs more than the call itself
    except UnicodeEncodeError:
        return _Unusable(AUDIO_MISSING, "cannot be a file name here")
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise  # a disk that fails says nothing about the catalog
        return _Unusable(AUDIO_MISSING, f"is not there: {os.strerror(error.errno)}")
    if not stat.S_ISREG(status.st_mode):
        return _Unusable(AUDIO_MISSING, "is not a regular file")
    return f"{status.st_size}:{status.st_mtime_ns}"


@lru_cache(_CACHED_FOLDERS)
def _real_folder(root: str, folder: str) -> str:
    return os.path.realpath(f"{root}/{folder}") if folder else root


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _look_up_remote(path: str) -> str | _Unusable:
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems

    filesystem = FileSystems.get_filesystem(path)
    try:
        found = filesystem.metadata(path)
    except BeamIOError:
        if filesystem.exists(path):
            raise  # it is there and cannot be looked at: no fault of the catalog
        return _Unusable(AUDIO_MISSING, "is not there")
    return f"{found.size_in_bytes}:{found.last_updated_in_seconds}"


def _check_remote_root(root: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    try:
        (found,) = FileSystems.match([root.rstrip("/") + "/**"], limits=[1])
    except ValueError as error:
        raise UsageError(f"cannot look for the audio root {root}: {error}") from error
    if not found.metadata_list:
        raise UsageError(f"no such folder, or nothing in it: {root}; give the folder that audio_path is relative to")
