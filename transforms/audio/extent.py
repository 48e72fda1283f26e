"""The extent of a sound file where it holds more than its first header claims.

Recorders of streams, shops and ``cat`` write complete files one after the other, and a program that is ended early
leaves a header with the size of an earlier moment. Decoders stop where the first header ends. The checks here
read some kilobytes of an ordinary file.
"""

import math
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from tracktokens.transforms.audio.containers import Part, container_parts, parts_between
from tracktokens.transforms.audio.flac_frames import flac_ends_late, flac_exceeds_claim, flac_streams
from tracktokens.transforms.audio.mpeg_frames import adts_seconds, id3_size, mp3_exceeds_claim, mp3_seconds
from tracktokens.transforms.audio.ogg_pages import ogg_links


class Extent(NamedTuple):
    """Sound that a file holds beyond its first header.

    Attributes:
        parts: complete files that it consists of, if they must be decoded one by one; empty for an ordinary file.
        seconds: least duration; infinite if it is longer than claimed and not known, 0 if the claim is not
            in doubt.
    """

    parts: tuple[Part, ...] = ()
    seconds: float = 0.0


def measure_extent(path: str) -> Extent:
    """Look for sound that the first header of a local file does not claim.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        start = id3_size(file.read(10))
        file.seek(start)
        return _measure(file, file.read(4), start, size)


def _measure(file: BufferedReader, magic: bytes, start: int, size: int) -> Extent:
    if magic == b"OggS":
        return _parts(parts_between(ogg_links(file, start, size), size))
    if magic == b"fLaC":
        return _measure_flac(file, start, size)
    if magic[:1] == b"\xff" and len(magic) > 1 and magic[1] & 0xF6 == 0xF0:
        return Extent(seconds=adts_seconds(file, start))
    parts = container_parts(file, size)
    if len(parts) > 1 or parts[0].patches:
        return _parts(parts)
    if not start and magic[:1] != b"\xff":
        return Extent()
    return Extent(seconds=math.inf if mp3_exceeds_claim(file, start, size) else mp3_seconds(file, start, size))


def _measure_flac(file: BufferedReader, start: int, size: int) -> Extent:
    if not flac_exceeds_claim(file, start, size):
        return Extent()
    streams = flac_streams(file, start)
    late = len(streams) == 1 and flac_ends_late(file, start, size)
    return Extent(seconds=math.inf) if late else _parts(parts_between(streams, size))


def _parts(parts: list[Part]) -> Extent:
    return Extent(tuple(parts)) if len(parts) > 1 or parts[0].patches else Extent()
