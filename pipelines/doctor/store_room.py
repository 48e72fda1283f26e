"""Checks of a store: that it opens, can be written and locked, and that the disk has room for what comes next."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tracktokens.pipelines.doctor.check import ERROR, OK, WARNING, Finding
from tracktokens.transforms.store import files
from tracktokens.transforms.store.conditional import object_store
from tracktokens.transforms.store.layout import Store, store_manifest, store_root
from tracktokens.transforms.store.releases import latest_release
from tracktokens.transforms.store.writer_lock import lock_error, writer

BYTES_PER_TRACK = 4_500
"""Size of a new store per track, with float16 vectors of 1,792 dimensions in all; see ``docs/scale.md``."""

SPARE = 1.5
"""Free space that is wanted, as a multiple of the estimate: compaction copies the files that it merges."""


def opened(root: str) -> Finding:
    """Open a store and its latest release.

    Raises:
        UsageError: the folder is not a store, or the credentials are missing.
        InvalidDataError: the store is of another format, or damaged.
    """
    if not files.exists(store_manifest(store_root(root))) and not _has_files(root):
        return OK, f"{root} is new: `tracktokens run` makes a store there"
    store = Store.open(root)
    release = latest_release(store)
    if release is None:
        return WARNING, f"{store.root} has no release yet"
    return OK, f"{store.root}, release {release.release_id} with {release.rows['published']} tracks"


def has_release(root: str) -> bool:
    """Return whether a store has a release."""
    return files.exists(store_manifest(store_root(root))) and latest_release(Store.open(root)) is not None


def lock(root: str) -> Finding:
    """Lock a store as a job does, and free it again.

    Raises:
        UsageError: the folder cannot be written.
        StoreBusyError: a job writes the store.
    """
    place = store_root(root)
    if files.is_remote(place):
        if object_store(place) is None:
            return WARNING, "this filesystem has no lock: make sure that only one job writes the store"
        kind = "a lease, with conditional writes"
    elif error := lock_error(_existing(place)):
        return WARNING, f"this filesystem has no lock ({error}): make sure that only one job writes the store"
    else:
        kind = "a lock of the kernel"
    with writer(place, "doctor"):
        return OK, kind


def room(root: str, tracks: str | None) -> Finding:
    """Compare the free space with what the next job writes: a release and a catalog, or the store of new tracks."""
    place = store_root(root)
    if files.is_remote(place):
        return OK, "an object store has no limit"
    folder = _existing(place)
    free = shutil.disk_usage(folder).free
    need, what = _needed(place, tracks)
    if need is None:
        return OK, f"{_gigabytes(free)} are free; give --tracks for an estimate"
    remark = f"{_gigabytes(free)} are free, {what} needs about {_gigabytes(need)}"
    return (OK, remark) if free >= SPARE * need else (ERROR, f"{remark}, and room for copies: free some space")


def temporary_room() -> Finding:
    """Report the free space of the folder for temporary files."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    remark = f"{folder} has {_gigabytes(free)} free"
    return (OK, remark) if free > 1 << 30 else (WARNING, f"{remark}: set TMPDIR to a folder with more")


def _needed(root: str, tracks: str | None) -> tuple[float | None, str]:
    """Estimate the bytes that the next job writes, and name it."""
    store = Store.open(root) if files.exists(store_manifest(root)) else None
    release = latest_release(store) if store else None
    if store is not None and release is not None:
        written = sum(file["bytes"] for file in release.files.values())
        catalog = sum(_sizes(Path(store.catalog(release.catalog_id).folder)))
        return written + catalog, "a refresh"
    count = None if tracks is None else _count_rows(tracks)
    return (None, "") if count is None else (count * BYTES_PER_TRACK, f"a store for {count:,} tracks")


def _count_rows(tracks: str) -> int | None:
    """Count the rows of Parquet files; None for other formats, which would have to be read."""
    import pyarrow.dataset as ds

    try:
        return int(ds.dataset(tracks, format="parquet").count_rows())
    except (OSError, ValueError):  # not Parquet, or not there
        return None


def _sizes(folder: Path) -> Iterator[int]:
    return (path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _has_files(root: str) -> bool:
    return files.is_remote(root) or (Path(root).is_dir() and any(Path(root).iterdir()))


def _existing(path: str) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return next(folder for folder in (Path(path), *Path(path).parents) if folder.exists())


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"
