"""Playlist files: M3U, M3U8, PLS and XSPF, in any encoding."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

MAX_BYTES = 1 << 28
"""Largest playlist file."""

ENCODINGS = ("utf-8", "cp1252", "cp1251", "shift_jis", "gb18030", "euc_kr", "cp1250", "latin-1")
"""Encodings that are tried; every file can be read in the last."""

_PLS_ENTRY = re.compile(r"^\s*File(\d+)\s*=\s*(.*?)\s*$", re.IGNORECASE)
_PLS_NAME = re.compile(r"^\s*(?:X-GNOME-Title|PlaylistName)\s*=\s*(.*?)\s*$", re.IGNORECASE)
_M3U_NAME = re.compile(r"^#PLAYLIST\s*:\s*(.*?)\s*$", re.IGNORECASE)
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")
_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")


@dataclass(frozen=True)
class Entry:
    """An entry of a playlist.

    Attributes:
        line: its line, or in XML its number among the tracks, from 1.
        text: path or address, as the file has it.
    """

    line: int
    text: str


@dataclass(frozen=True)
class PlaylistFile:
    """A playlist.

    Attributes:
        name: its name in the file; None if it has none.
        entries: entries in order.
    """

    name: str | None
    entries: tuple[Entry, ...]


def read_playlist(path: Path, is_known: Callable[[str], bool]) -> PlaylistFile:
    """Read a playlist file.

    Of the encodings that a file without a byte order mark may have, the first is chosen in which most paths are known.

    Args:
        path: the file.
        is_known: returns whether an entry's text leads to a track.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a playlist.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"longer than {MAX_BYTES} bytes")
    content = path.read_bytes()
    if path.suffix.lower() == ".xspf":
        return _parse_xspf(content)
    parse = _parse_pls if path.suffix.lower() == ".pls" else _parse_m3u
    best: tuple[int, PlaylistFile] | None = None
    for text in _decoded(content):
        playlist = parse(text)
        known = sum(is_known(entry.text) for entry in playlist.entries)
        if best is None or known > best[0]:
            best = known, playlist
        if known == len(playlist.entries):
            break
    if best is None:
        raise ValueError("not a text")
    return best[1]


def is_address(text: str) -> bool:
    """Return whether an entry is an address of a network, not a file.

    Example:
        >>> is_address("http://radio.example/stream"), is_address("file:///a.mp3"), is_address("C:/a.mp3")
        (True, False, False)
    """
    scheme = _SCHEME.match(text)
    return scheme is not None and scheme[1].lower() != "file"


def possible_paths(text: str, folder: str) -> Iterator[str]:
    r"""List the paths below the music folder that an entry may mean, the likeliest first.

    A relative path is relative to the playlist's folder. Of an absolute path, on this machine or another, each ending
    is tried, the longest first, since the folder may have been moved since.

    Example:
        >>> list(possible_paths("..\\Blue\\01.mp3", "lists"))
        ['Blue/01.mp3', '01.mp3']
        >>> list(possible_paths("file:///home/me/Music/Blue/My%20Song.mp3", ""))[2:4]
        ['Music/Blue/My Song.mp3', 'Blue/My Song.mp3']

    Args:
        text: text of the entry.
        folder: folder of the playlist, below the music folder.
    """
    for path in dict.fromkeys(_as_paths(text)):
        relative = _DRIVE.sub("", path)
        parts = [part for part in PurePosixPath(relative).parts if part != "/"]
        joined = None if relative.startswith("/") else _normal([*PurePosixPath(folder).parts, *parts])
        if joined is not None:
            yield joined
        endings = [part for part in parts if part not in ("..", ".")]
        yield from (path for first in range(len(endings)) if (path := "/".join(endings[first:])) != joined)


def _as_paths(text: str) -> Iterator[str]:
    """Convert an entry to paths with slashes: an address of a file is decoded, and so may other entries be."""
    stripped = text.strip().strip('"')
    if stripped.lower().startswith("file:"):
        address = stripped[5:]
        if address.startswith("//"):
            address = "/" + address[2:].partition("/")[2]  # without the host
        yield re.sub(r"^/(?=[A-Za-z]:)", "", unquote(address)).replace("\\", "/")
        return
    yield stripped.replace("\\", "/")
    if "%" in stripped:
        yield unquote(stripped).replace("\\", "/")


def _normal(parts: list[str]) -> str | None:
    """Resolve ``..``; None if it leads out of the folder."""
    kept: list[str] = []
    for part in parts:
        if part == "..":
            if not kept:
                return None
            kept.pop()
        elif part != ".":
            kept.append(part)
    return "/".join(kept)


def _decoded(content: bytes) -> Iterator[str]:
    marks = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
    for mark, encoding in marks:
        if content.startswith(mark):
            yield content[len(mark) :].decode(encoding, "replace")
            return
    for encoding in ENCODINGS:
        try:
            yield content.decode(encoding)
        except UnicodeDecodeError:
            continue


def _parse_m3u(text: str) -> PlaylistFile:
    name = None
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if found := _M3U_NAME.match(line):
            name = found[1] or None
        elif line.strip() and not line.lstrip().startswith("#"):
            entries.append(Entry(number, line.strip()))
    return PlaylistFile(name, tuple(entries))


def _parse_pls(text: str) -> PlaylistFile:
    name = None
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if found := _PLS_ENTRY.match(line):
            entries.append((int(found[1]), Entry(number, found[2])))
        elif found := _PLS_NAME.match(line):
            name = found[1] or None
    entries.sort(key=lambda numbered: numbered[0])
    return PlaylistFile(name, tuple(entry for _, entry in entries))


def _parse_xspf(content: bytes) -> PlaylistFile:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ValueError(f"not XSPF: {error or type(error).__name__}") from error
    tracks = root.findall("{*}trackList/{*}track")
    locations = (track.findtext("{*}location") or "" for track in tracks)
    title = (root.findtext("{*}title") or "").strip()
    return PlaylistFile(title or None, tuple(Entry(number, text.strip()) for number, text in enumerate(locations, 1)))
