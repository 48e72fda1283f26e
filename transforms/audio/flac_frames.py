"""Frames of FLAC files: a file that holds more than its first header claims."""

import mmap
import re
from io import BufferedReader
from typing import NamedTuple

_STREAM_HEADER = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_TAIL_BYTES = 1 << 18
_PROBES = (1 / 3, 1 / 2, 2 / 3)
_PROBE_BYTES = 1 << 15
_TOLERANCE = 0.2
_SMALL_BYTES = 1 << 20
_MAX_HEADER = 16


class _StreamInfo(NamedTuple):
    """Claims of a stream's header; 0 is unknown."""

    block_size: int
    max_frame_bytes: int
    samples: int


def flac_exceeds_claim(file: BufferedReader, start: int, size: int) -> bool:
    """Return True if a FLAC file seems to continue after the samples that its header claims.

    Frames have their own position: the last one must end where the claim does, and others be about where one stream
    has them. The bytes that so many frames can have are bounded, too.
    """
    file.seek(start)
    info = _stream_info(file.read(42))
    if not info.samples:
        return True
    file.seek(max(start, size - _TAIL_BYTES))
    end = _last_position(file.read(), info.block_size)
    if end is None:
        return False
    return end != info.samples or _is_too_large(info, size - start) or not _is_even(file, start, size, info)


def flac_streams(file: BufferedReader, start: int) -> list[int]:
    """Find the offset of each stream's header; the first one is at ``start``."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return [start, *(match.start() for match in _STREAM_HEADER.finditer(data, start + 4))]


def flac_ends_late(file: BufferedReader, start: int, size: int) -> bool:
    """Return True if the last frame of a stream ends after the samples that its header claims."""
    file.seek(start)
    info = _stream_info(file.read(42))
    file.seek(max(start, size - _TAIL_BYTES))
    end = _last_position(file.read(), info.block_size)
    return end is not None and end > info.samples > 0


def _is_too_large(info: _StreamInfo, size: int) -> bool:
    frames = -(-info.samples // max(info.block_size, 1))
    return 0 < info.max_frame_bytes * frames < size - _TAIL_BYTES


def _is_even(file: BufferedReader, start: int, size: int, info: _StreamInfo) -> bool:
    """Return True if a few frames are about where one stream would have them; a small file is not worth the look."""
    if size < _SMALL_BYTES:
        return False
    for share in _PROBES:
        file.seek(start + int(share * (size - start)))
        position = _last_position(file.read(_PROBE_BYTES), info.block_size)
        if position is not None and abs(position / info.samples - share) > _TOLERANCE:
            return False
    return True


def _stream_info(header: bytes) -> _StreamInfo:
    packed = int.from_bytes(header[18:26], "big")
    max_block, max_frame = int.from_bytes(header[10:12], "big"), int.from_bytes(header[15:18], "big")
    return _StreamInfo(max_block, max_frame, packed & (1 << 36) - 1)


def _last_position(tail: bytes, block_size: int) -> int | None:
    """Return the sample after the last frame whose header is intact; None if there is none."""
    position = len(tail)
    while (position := tail.rfind(b"\xff", 0, position)) >= 0:
        header = tail[position : position + _MAX_HEADER]
        if header[1:2] in (b"\xf8", b"\xf9") and (end := _frame_end(header, block_size)) is not None:
            return end
    return None


def _frame_end(header: bytes, block_size: int) -> int | None:
    """Return the sample after a frame, or None if its header is damaged or no header."""
    number_bytes = max(1, 8 - (header[4] ^ 0xFF).bit_length()) if len(header) > 6 else 0
    size_code, rate_code = (header[2] >> 4, header[2] & 15) if number_bytes else (0, 15)
    extra = {6: 1, 7: 2}.get(size_code, 0)
    crc_at = 4 + number_bytes + extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not size_code or rate_code == 15 or crc_at >= len(header) or _crc8(header[:crc_at]) != header[crc_at]:
        return None
    number = _coded_number(header[4 : 4 + number_bytes])
    coded_size = int.from_bytes(header[4 + number_bytes : 4 + number_bytes + extra], "big") + 1
    length = coded_size if extra else _BLOCK_SIZES[size_code]
    return (number if header[1] & 1 else number * block_size) + length


_BLOCK_SIZES = [0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << power for power in range(8))]


def _coded_number(coded: bytes) -> int:
    """Decode FLAC's UTF-8-like numbers of up to 36 bits."""
    number = coded[0] & (0x7F if len(coded) == 1 else (1 << 7 - len(coded)) - 1)
    for byte in coded[1:]:
        number = number << 6 | byte & 0x3F
    return number


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x107) if crc & 0x80 else crc << 1
    return crc
