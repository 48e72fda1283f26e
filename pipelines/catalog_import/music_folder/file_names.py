"""Title and artist from the name of a file, where the name has a plain pattern."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_NUMBER = re.compile(
    r"^(?:(?:cd|disc|disk)\s*\d+\s*[-._]\s*)?\(?\d{1,3}(?:-\d{1,3})?\)?(?:\s*[-._)]\s*|\s+)(?=\S)", re.IGNORECASE
)
_ONLY_NUMBER = re.compile(r"\d{1,3}")
_SEPARATOR = re.compile(r"\s+[-\u2013\u2014]\s+")


@dataclass(frozen=True)
class FileName:
    """Title and artist; the artist is None where the name has no plain pattern with one."""

    title: str
    artist: str | None = None


def read_file_name(path: str) -> FileName:
    """Read the name of a file: ``Artist - Title``, with or without the number of the track.

    Of other names, all but the number is the title.

    Example:
        >>> read_file_name("a/03 - Joni Mitchell - Blue.flac")
        FileName(title='Blue', artist='Joni Mitchell')
        >>> read_file_name("Joni_Mitchell_-_Blue.ogg")
        FileName(title='Blue', artist='Joni Mitchell')
        >>> read_file_name("1979.mp3")
        FileName(title='1979', artist=None)
    """
    stem = PurePosixPath(path).stem
    text = " ".join((stem if " " in stem else stem.replace("_", " ")).split())
    parts = _SEPARATOR.split(_NUMBER.sub("", text, count=1))
    if len(parts) == 3 and _ONLY_NUMBER.fullmatch(parts[1]):  # Artist - 03 - Title
        parts = [parts[0], parts[2]]
    if len(parts) == 2:
        return FileName(title=parts[1], artist=parts[0])
    return FileName(title=" - ".join(parts) or text or stem)
