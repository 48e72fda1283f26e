"""Pages of Ogg files: the links of a chain, which are complete streams one after the other."""

import mmap
from collections.abc import Iterator
from io import BufferedReader
from itertools import pairwise, takewhile
from typing import NamedTuple

_CAPTURE = b"OggS\0"
_HEADER = 27
_FIRST_PAGE = 0x02
_EDGE_BYTES = 1 << 17
"""Bytes at both ends of a file that are read to see whether it may be a chain; a page has at most 65,307."""

_FULL_SHARE = 0.8


class OggPage(NamedTuple):
    """Position and header of a page.

    Attributes:
        start: offset of its first byte.
        end: offset after its last byte.
        serial: number of its logical stream.
        sequence: number of the page in its stream.
        begins_stream: True for the first page of a stream.
    """

    start: int
    end: int
    serial: int
    sequence: int
    begins_stream: bool


def ogg_pages(data: bytes | mmap.mmap, start: int = 0) -> Iterator[OggPage]:
    """Find the complete pages in data; bytes between pages are skipped."""
    position = data.find(_CAPTURE, start)
    while 0 <= position <= len(data) - _HEADER:
        table = data[position + _HEADER : position + _HEADER + data[position + 26]]
        end = position + _HEADER + len(table) + sum(table)
        if end > len(data):
            return
        serial, sequence = (int.from_bytes(data[position + at : position + at + 4], "little") for at in (14, 18))
        yield OggPage(position, end, serial, sequence, bool(data[position + 5] & _FIRST_PAGE))
        position = data.find(_CAPTURE, end)


def ogg_links(file: BufferedReader, start: int, size: int) -> list[int]:
    """Return the offset of each link of an Ogg file; one for an ordinary file.

    All pages are walked only if the file's ends differ in their streams, or its last page has a low number for a page
    at the end of so many bytes.
    """
    if not _may_be_chain(file, start, size):
        return [start]
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        walk = pairwise(ogg_pages(data, start))
        return [start, *(page.start for previous, page in walk if page.begins_stream and not previous.begins_stream)]


def _may_be_chain(file: BufferedReader, start: int, size: int) -> bool:
    file.seek(start)
    first = {page.serial for page in takewhile(lambda page: page.begins_stream, ogg_pages(file.read(_EDGE_BYTES)))}
    file.seek(max(start, size - _EDGE_BYTES))
    last = list(ogg_pages(file.read()))
    if not first or not last:
        return False
    mean_bytes = (last[-1].end - last[0].start) / len(last)
    return last[-1].serial not in first or (last[-1].sequence + 1) * mean_bytes < _FULL_SHARE * (size - start)
