"""The folder of an atlas' clips, beside its page."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store import files
from tracktokens.transforms.store.user_files import check_output_folder, is_stream, path_errors

WriteClip = Callable[[str, bytes], None]
"""Writes a clip, given the name of its file and its content."""

_OWN = re.compile(rf"audio\d*_\d+_\d\.opus(\.[0-9a-f]{{12}}{re.escape(files.PARTIAL)})?")
"""Names of clips, and of those of a command that was killed. Other files in the folder are kept as they are."""

_REMEDY = "give a different --out, or remove it"


def clip_folder(page: str, *inputs: str) -> Path:
    """Name the folder of the clips of a page, and check before anything is read that it can be written.

    Args:
        page: file of the page; ``atlas.html`` has the folder ``atlas_audio``.
        inputs: folders that are read, none of which may contain it.

    Raises:
        UsageError: the page is a stream or on a remote filesystem, or the folder cannot be written.
    """
    if files.is_remote(page) or is_stream(page):
        raise UsageError(f"{page} has no local folder for clips beside it: give --out a local file")
    folder = Path(page).with_name(f"{Path(page).stem}_audio")
    if not folder.name.isprintable():
        raise UsageError(f"{folder.name!r} cannot be in an address: give --out a different name")
    check_output_folder(str(folder), inputs)
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link: {_REMEDY}")
    return folder


@contextmanager
def replace_clips(folder: Path) -> Iterator[WriteClip]:
    """Yield a function that writes clips, which replace those in a folder when the block ends.

    The folder stays as it was if the block raises.

    Raises:
        UsageError: the folder cannot be written.
    """
    ending = f".{uuid.uuid4().hex[:12]}{files.PARTIAL}"
    names: list[str] = []
    existed = folder.exists()

    def write(name: str, content: bytes) -> None:
        names.append(name)
        with path_errors(str(folder), _REMEDY):
            (folder / f"{name}{ending}").write_bytes(content)

    with path_errors(str(folder), _REMEDY):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield write
        with path_errors(str(folder), _REMEDY):
            _replace(folder, names, ending)
    finally:
        for name in names:
            (folder / f"{name}{ending}").unlink(missing_ok=True)
        if not existed and not any(folder.iterdir()):
            folder.rmdir()


def _replace(folder: Path, names: list[str], ending: str) -> None:
    """Remove the clips of a former command, and give new ones their names."""
    new = {f"{name}{ending}" for name in names}
    for path in folder.iterdir():
        if _OWN.fullmatch(path.name) and path.name not in new and not path.is_dir():
            path.unlink()
    for name in names:
        (folder / f"{name}{ending}").replace(folder / name)
