"""Tags of an audio file, read without decoding it: by tinytag, and by FFmpeg for formats that tinytag does not know.

tinytag is chosen since its licence (MIT) goes with any use of this package; mutagen, which knows more, is under the
GPL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

MUSICBRAINZ_OWNER = "http://musicbrainz.org"
"""Owner of the ID3 frame ``UFID`` that holds the recording's id."""

_RECORDING_FIELDS = ("musicbrainz_trackid", "musicbrainz track id", "musicbrainz/track id", "musicbrainz_recordingid")
_MOOD_FIELDS = ("mood", "tmoo", "style", "wm/mood")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_YEAR = re.compile(r"(?<!\d)(?:1[0-9]|20)\d\d(?!\d)")
_LIST = re.compile(r"\s*(?:[;|,\\\0\n]|\s/\s)\s*")
_PODCAST = "podcast"


@dataclass(frozen=True)
class AudioTags:
    """Tags of one file; None or empty where it has none.

    Attributes:
        title: title of the track.
        artist: artists, as they are credited.
        album: album.
        year: year of the release.
        tags: genres and moods, distinct, in their order.
        lyrics: plain, or with time stamps.
        isrc: international standard recording code, 12 characters.
        recording_id: MusicBrainz id of the recording, in lower case.
    """

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    year: int | None = None
    tags: tuple[str, ...] = ()
    lyrics: str | None = None
    isrc: str | None = None
    recording_id: str | None = None

    @property
    def is_podcast(self) -> bool:
        """True if its genre is podcast."""
        return any(tag.lower() == _PODCAST for tag in self.tags)


def read_tags(path: str) -> AudioTags:
    """Read the tags of a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not an audio file, or its tags are damaged.
    """
    from tinytag import ParseError, TinyTag, UnsupportedFormatError

    try:
        found = TinyTag.get(path, tags=True, duration=False)
    except UnsupportedFormatError:
        return _read_by_ffmpeg(path)
    except ParseError as error:
        with suppress(ValueError):
            return _read_by_ffmpeg(path)
        raise ValueError(f"damaged tags: {error}") from error
    others = {name.lower(): values for name, values in found.other.items()}
    return AudioTags(
        title=_text([found.title]),
        artist=_text([found.artist, *others.get("artist", [])], joined="; ") or _text([found.albumartist]),
        album=_text([found.album]),
        year=year_of(found.year, *others.get("year", [])),
        tags=split_tags([found.genre, *others.get("genre", []), *_values(others, _MOOD_FIELDS)]),
        lyrics=_lyrics(others.get("lyrics", [])),
        isrc=_match(_ISRC, (value.upper().replace("-", "") for value in others.get("isrc", []))),
        recording_id=_recording_id(others),
    )


def _read_by_ffmpeg(path: str) -> AudioTags:
    import av

    try:
        with av.open(path, metadata_errors="replace") as container:
            # A demuxer that is chosen by the file's ending accepts anything, and finds no rate.
            if not any(stream.sample_rate for stream in container.streams.audio):
                raise ValueError("no sound in it")
            fields = {name.lower(): value for name, value in container.streams.audio[0].metadata.items()}
            fields |= {name.lower(): value for name, value in container.metadata.items()}
    except av.FFmpegError as error:
        raise ValueError(f"not an audio file: {error.strerror}") from error
    others = {name: [value] for name, value in fields.items()}
    return AudioTags(
        title=_text([fields.get("title")]),
        artist=_text([fields.get("artist") or fields.get("album_artist")]),
        album=_text([fields.get("album")]),
        year=year_of(fields.get("date"), fields.get("year")),
        tags=split_tags([fields.get("genre"), *_values(others, _MOOD_FIELDS)]),
        lyrics=_lyrics([value for name, value in fields.items() if name.startswith("lyrics")]),
        isrc=_match(_ISRC, [fields.get("isrc", "").upper().replace("-", "")]),
        recording_id=_recording_id(others),
    )


def _values(fields: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [value for name in names for value in fields.get(name, [])]


def _text(values: Iterable[str | None], joined: str = "") -> str | None:
    """Return the first value that is not blank, or all joined; tags are padded with spaces and NUL in places."""
    texts = dict.fromkeys(" ".join(value.replace("\0", " ").split()) for value in values if value)
    kept = [text for text in texts if text]
    return (joined.join(kept) if joined else kept[0]) if kept else None


def split_tags(values: Iterable[str | None]) -> tuple[str, ...]:
    """Split texts that list genres or moods; the parts are distinct and in order.

    Example:
        >>> split_tags(["Folk; Pop", None, "pop|Jazz / Soul"])
        ('Folk', 'Pop', 'pop', 'Jazz', 'Soul')
    """
    parts = (part for value in values if value for part in _LIST.split(value))
    return tuple(dict.fromkeys(text for part in parts if (text := " ".join(part.split()))))


def year_of(*values: object) -> int | None:
    """Return the first year in some values: numbers, years or dates.

    Example:
        >>> year_of(0, "2010/1/1")
        2010
    """
    found = (_YEAR.search(str(value)) for value in values if value is not None)
    return next((int(match[0]) for match in found if match), None)


def _lyrics(values: Iterable[str]) -> str | None:
    return max((value for value in values if value.strip()), key=len, default=None)


def _match(pattern: re.Pattern[str], values: Iterable[str], *, search: bool = False) -> str | None:
    matches = (pattern.search(value) if search else pattern.fullmatch(value.strip()) for value in values)
    return next((match[0] for match in matches if match), None)


def _recording_id(fields: Mapping[str, Any]) -> str | None:
    owned = [value for value in fields.get("ufid", []) if value.startswith(MUSICBRAINZ_OWNER)]
    found = _match(_UUID, [*owned, *_values(fields, _RECORDING_FIELDS)], search=True)
    return found.lower() if found else None
