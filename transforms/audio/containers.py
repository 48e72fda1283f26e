"""Containers that follow each other in one file, or whose header claims less sound than follows: WAV, AIFF, MP4 ..."""

from collections.abc import Iterator
from io import BufferedReader
from typing import Literal, NamedTuple

_MIN_REST = 1 << 14
"""Bytes that must follow the sound that a header claims to be taken for more of it."""

_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS", b"<?xml")
_UNKNOWN_SIZE = 0x7FFF_0000
"""Sizes from here on are written by programs that do not know the size yet; decoders read to the end of the file."""

_PADDING = 64
"""Bytes after the last chunk in which another container is looked for."""

_READ_BYTES = 1 << 20


class Part(NamedTuple):
    """Range of a file that is a complete file by itself, once bytes of its header are replaced.

    Attributes:
        start: offset of its first byte.
        end: offset after its last byte.
        patches: offsets in the file, and the bytes to write there.
    """

    start: int
    end: int
    patches: tuple[tuple[int, bytes], ...] = ()


class _Iff(NamedTuple):
    """A format of chunks with an id and a size."""

    magic: bytes
    order: Literal["big", "little"]
    sound: bytes


_FORMATS = (_Iff(b"RIFF", "little", b"data"), _Iff(b"FORM", "big", b"SSND"))


class _Chunk(NamedTuple):
    start: int
    name: bytes
    size: int

    @property
    def end(self) -> int:
        return self.start + 8 + self.size


def container_parts(file: BufferedReader, size: int) -> list[Part]:
    """Divide a file into containers; one part without patches for an ordinary file, or one of another format."""
    file.seek(0)
    head = file.read(12)
    for iff in _FORMATS:
        if head[:4] == iff.magic and head[8:12] in (b"WAVE", b"AIFF", b"AIFC"):
            return list(_iff_parts(file, size, iff))
    if head[4:8] == b"ftyp":
        return parts_between(_starts(_mp4_boxes(file, size), b"ftyp"), size)
    if head[:4] == _EBML:
        return parts_between(_starts(_matroska_elements(file, size), _EBML), size)
    if head[:4] == b".snd":
        return _au_parts(file, size)
    return [Part(0, size)]


def _iff_parts(file: BufferedReader, size: int, iff: _Iff) -> Iterator[Part]:
    start = 0
    while start < size:
        part = _iff_part(file, start, size, iff)
        yield part
        start = part.end


def _iff_part(file: BufferedReader, start: int, size: int, iff: _Iff) -> Part:
    """Read the chunks of one container: up to the next one, or to the end of the file."""
    position, chunks = start + 12, list[_Chunk]()
    while position + 8 <= size:
        chunk = _read_chunk(file, position, iff)
        if chunk.name == iff.magic:
            return Part(start, position)
        if chunk.name == iff.sound and (chunk.size == 0 or chunk.size >= _UNKNOWN_SIZE):
            return Part(start, size)
        if not _is_name(chunk.name) or (chunk.end > size and chunk.name != iff.sound):
            file.seek(position)
            near = file.read(_PADDING).find(iff.magic)
            if near >= 0:
                return Part(start, position + near)
            return Part(start, size, _patches(file, start, chunks, size, iff))
        chunks.append(chunk)
        position = _next_chunk(file, chunk, iff)
    return Part(start, size)


def _read_chunk(file: BufferedReader, position: int, iff: _Iff) -> _Chunk:
    file.seek(position)
    header = file.read(8)
    return _Chunk(position, header[:4], int.from_bytes(header[4:], iff.order))


def _next_chunk(file: BufferedReader, chunk: _Chunk, iff: _Iff) -> int:
    """Offset of the next chunk: sizes are padded to be even, which some programs forget."""
    if chunk.size % 2 and _is_name(_read_chunk(file, chunk.end, iff).name):
        return chunk.end
    return chunk.end + chunk.size % 2


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and name.isascii() and name.decode().isprintable()


def _patches(
    file: BufferedReader, start: int, chunks: list[_Chunk], size: int, iff: _Iff
) -> tuple[tuple[int, bytes], ...]:
    """Sizes to write where sound follows after the last chunk, which claims less; none if something else does."""
    if not chunks or chunks[-1].name != iff.sound or not _is_sound(file, chunks[-1].end, size):
        return ()
    sound = chunks[-1]
    sizes = {start + 4: size - start - 8, sound.start + 4: size - sound.start - 8}
    for chunk in chunks:
        if chunk.name == b"COMM" and iff.order == "big":
            file.seek(chunk.start + 8)
            common = file.read(8)
            frame = int.from_bytes(common[:2], "big") * -(-int.from_bytes(common[6:8], "big") // 8)
            sizes[chunk.start + 10] = (size - sound.start - 16) // max(frame, 1)
    return tuple((at, min(number, 2**32 - 1).to_bytes(4, iff.order)) for at, number in sizes.items())


def _is_sound(file: BufferedReader, start: int, end: int) -> bool:
    """Return True if enough bytes follow for sound, which are neither a tag nor all zero."""
    file.seek(start)
    first = file.read(16)
    if end - start < _MIN_REST or first.lstrip(b"\0").startswith(_TAGS):
        return False
    return any(first) or any(block.strip(b"\0") for block in iter(lambda: file.read(_READ_BYTES), b""))


def _starts(elements: Iterator[tuple[int, bytes]], name: bytes) -> list[int]:
    return [start for start, found in elements if found == name]


def parts_between(starts: list[int], size: int) -> list[Part]:
    """Divide a file into parts that begin at these offsets."""
    return [Part(start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]


def _mp4_boxes(file: BufferedReader, size: int) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        length = int.from_bytes(header[8:], "big") if length == 1 else length
        if not _is_name(name):
            return
        yield position, name
        if length < 8:  # up to the end of the file
            return
        position += length


_EBML = b"\x1a\x45\xdf\xa3"


def _matroska_elements(file: BufferedReader, size: int) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 5 <= size:
        file.seek(position)
        header = file.read(12)
        width = 9 - header[4].bit_length()
        length = int.from_bytes(header[4 : 4 + width], "big") - (1 << 7 * width)
        yield position, header[:4]
        if width > 8 or length == (1 << 7 * width) - 1:  # unknown: up to the end of the file
            return
        position += 4 + width + length


def _au_parts(file: BufferedReader, size: int) -> list[Part]:
    parts, start = list[Part](), 0
    while start < size:
        file.seek(start)
        header = file.read(12)
        end = start + int.from_bytes(header[4:8], "big") + int.from_bytes(header[8:], "big")
        file.seek(end)
        if header[8:] != b"\xff\xff\xff\xff" and end < size and file.read(4) == b".snd":
            parts.append(Part(start, end))
        else:
            patches = ((start + 8, b"\xff\xff\xff\xff"),) if _is_sound(file, end, size) else ()
            parts.append(Part(start, end := size, patches))
        start = end
    return parts
