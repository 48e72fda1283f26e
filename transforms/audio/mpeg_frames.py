"""Frames of MPEG audio: MP3s and AAC streams that hold more than their first header claims."""

from io import BufferedReader
from typing import NamedTuple

_RATES = ((11_025, 12_000, 8_000), (0, 0, 0), (22_050, 24_000, 16_000), (44_100, 48_000, 32_000))
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HAS_FRAMES, _HAS_BYTES = 1, 2
_SEARCH_BYTES = 1 << 16
_PROBES = 8
_PROBE_BYTES = 1 << 13
_MIN_FRAMES = 20
"""Frames that a file must hold beyond its claim, half a second: some encoders are off by a few."""


class _Frame(NamedTuple):
    """Header of a layer III frame."""

    rate: int
    size: int
    side_bytes: int


def mp3_exceeds_claim(file: BufferedReader, start: int, size: int) -> bool:
    """Return True if frames follow after the bytes that the Xing or Info header of the first frame claims.

    Args:
        file: the file.
        start: offset of the first frame, after an ID3 tag.
        size: bytes of the file.
    """
    file.seek(start)
    head = file.read(_SEARCH_BYTES)
    position = _find_frame(head)
    frame = None if position is None else _frame(head[position : position + 4])
    if position is None or frame is None:
        return False
    claim = _claim(head[position : position + frame.size + 64], frame)
    if claim is None:
        return False
    end = start + position + claim[0]
    if (size - end) * claim[1] < _MIN_FRAMES * claim[0]:
        return False
    return _sound_follows(file, end)


def mp3_seconds(file: BufferedReader, start: int, size: int) -> float:
    """Sum the durations of an MP3's frames if it has no Xing header and frames of several sizes; else return 0.

    Decoders estimate the length of such a file from its first frame.
    """
    file.seek(start)
    head = file.read(_SEARCH_BYTES)
    position = _find_frame(head)
    frame = None if position is None else _frame(head[position : position + 4])
    if position is None or frame is None or _claim(head[position : position + frame.size + 64], frame) is not None:
        return 0.0
    probes = [_probe(file, start + (size - start) * share // _PROBES) for share in range(1, _PROBES)]
    if all(probe is None or _is_alike(probe, frame) for probe in probes):
        return 0.0
    file.seek(start + position)
    return _sum_seconds(file.read())


def _probe(file: BufferedReader, offset: int) -> _Frame | None:
    file.seek(offset)
    data = file.read(_PROBE_BYTES)
    position = _find_frame(data)
    return None if position is None else _frame(data[position : position + 4])


def _is_alike(frame: _Frame, other: _Frame) -> bool:
    return frame.rate == other.rate and abs(frame.size - other.size) <= 1


def _sum_seconds(data: bytes) -> float:
    seconds, position = 0.0, 0
    while position < len(data):
        frame = _frame(data[position : position + 4])
        if frame is None:
            found = _find_frame(data[position : position + _SEARCH_BYTES])
            if found is None:
                break
            position += found
            continue
        seconds += (1152 if frame.rate >= 32_000 else 576) / frame.rate
        position += frame.size
    return seconds


def _claim(frame: bytes, header: _Frame) -> tuple[int, int] | None:
    """Bytes and frames that the frame's Xing, Info or VBRI header claims; None if it claims either not."""
    at = 4 + header.side_bytes
    if frame[at : at + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(frame[at + 4 : at + 8], "big")
        counts = frame[at + 12 : at + 16], frame[at + 8 : at + 12]
        known = flags & (_HAS_BYTES | _HAS_FRAMES) == _HAS_BYTES | _HAS_FRAMES
    else:
        counts, known = (frame[46:50], frame[50:54]), frame[36:40] == b"VBRI"
    num_bytes, frames = (int.from_bytes(count, "big") for count in counts)
    return (num_bytes, frames) if known and num_bytes and frames else None


def _sound_follows(file: BufferedReader, end: int) -> bool:
    """Return True if there are frames, or an ID3 tag with frames after it, close to an offset."""
    file.seek(max(0, end - 4))
    rest = file.read(_SEARCH_BYTES)
    tag = rest.find(b"ID3", 0, 4 + 128 + 3)
    if tag >= 0:
        file.seek(max(0, end - 4) + tag)
        file.seek(max(0, end - 4) + tag + id3_size(file.read(10)))
        rest = file.read(_SEARCH_BYTES)
    return _find_frame(rest) is not None


def id3_size(header: bytes) -> int:
    """Bytes of the ID3v2 tag that begins with these ten bytes; 0 if none does."""
    if header[:3] != b"ID3" or len(header) < 10:
        return 0
    size = sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(header[6:10]))
    return 10 + size + (10 if header[5] & 0x10 else 0)


def _find_frame(data: bytes) -> int | None:
    """Find the first of three consecutive frames."""
    position = data.find(b"\xff")
    while 0 <= position < len(data) - 4:
        end, found = position, 0
        while found < 3 and (frame := _frame(data[end : end + 4])):
            end, found = end + frame.size, found + 1
        if found == 3:
            return position
        position = data.find(b"\xff", position + 1)
    return None


def _frame(header: bytes) -> _Frame | None:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:  # layer III
        return None
    version, mono = header[1] >> 3 & 3, header[3] >> 6 == 3
    kbits, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or kbits in (0, 15) or rate == 3:
        return None
    hertz, padding = _RATES[version][rate], header[2] >> 1 & 1
    if version == 3:
        return _Frame(hertz, 144_000 * _KBITS_1[kbits] // hertz + padding, 17 if mono else 32)
    return _Frame(hertz, 72_000 * _KBITS_2[kbits] // hertz + padding, 9 if mono else 17)


_ADTS_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)


def adts_seconds(file: BufferedReader, start: int) -> float:
    """Sum the durations of the frames of an AAC stream (ADTS), up to the first byte that begins none."""
    file.seek(start)
    data = file.read()
    seconds, position = 0.0, 0
    while position + 7 <= len(data) and data[position] == 0xFF and data[position + 1] & 0xF6 == 0xF0:
        rate = data[position + 2] >> 2 & 15
        size = (data[position + 3] & 3) << 11 | data[position + 4] << 3 | data[position + 5] >> 5
        if rate >= len(_ADTS_RATES) or size < 7:
            break
        seconds += 1024 * ((data[position + 6] & 3) + 1) / _ADTS_RATES[rate]
        position += size
    return seconds
