"""Invalid rows and files, each with the reject reason that a job must report.

Rows are written as lines of the file, exactly as a job reads them.
"""

import json
from dataclasses import dataclass

from tracktokens.schemas.tables.rejects import (
    AUDIO_EMPTY,
    AUDIO_MISSING,
    AUDIO_OUTSIDE_ROOT,
    AUDIO_UNDECODABLE,
    ID_DUPLICATE,
    ID_EMPTY,
    ID_MISSING,
    ID_TOO_LONG,
    MALFORMED_ROW,
    PLAYLIST_TOO_SHORT,
    PLAYLISTS_TABLE,
    ROW_REASONS,
    TRACKS_TABLE,
    WRONG_TYPE,
)


@dataclass(frozen=True)
class ExpectedReject:
    """A reject that every run over the demo must report.

    Attributes:
        table: ``tracks`` or ``playlists``.
        track_id: id of the track; None if the row has no id of its own.
        reason: one of the reasons in ``schemas.rejects``.
    """

    table: str
    track_id: str | None
    reason: str


@dataclass(frozen=True)
class SpoiledLine:
    """A line of an input file, without its newline, and its reject."""

    line: str
    expected: ExpectedReject


def _track(track_id: str | None, reason: str, line: str) -> SpoiledLine:
    return SpoiledLine(line, ExpectedReject(TRACKS_TABLE, track_id, reason))


def _audio(track_id: str, reason: str, audio_path: str) -> SpoiledLine:
    row = {"track_id": track_id, "title": f"Trouble {track_id}", "audio_path": audio_path, "audio_version": "1"}
    return _track(track_id, reason, json.dumps(row))


def _playlist(line: str) -> SpoiledLine:
    return SpoiledLine(line, ExpectedReject(PLAYLISTS_TABLE, None, PLAYLIST_TOO_SHORT))


TEXT_FILE = "Broken/shopping list.ogg"
EMPTY_FILE = "Broken/nothing [recorded].ogg"

SPOILED_FILES = {TEXT_FILE: b"milk, eggs, guitar strings\n", EMPTY_FILE: b""}
"""Files below the audio root that are not audio, with their bytes."""

REPEATED_ID = "trk00000"
"""Id of the first track, which a later row repeats."""

SPOILED_TRACKS = (
    # The whole row is lost.
    _track(None, ID_MISSING, '{"title": "Nobody", "artist": "The Nameless"}'),
    _track(None, ID_EMPTY, '{"track_id": "", "title": "Hollow"}'),
    _track(None, ID_TOO_LONG, '{"track_id": "' + "la" * 150 + '", "title": "Refrain"}'),
    _track(REPEATED_ID, ID_DUPLICATE, '{"track_id": "' + REPEATED_ID + '", "title": "Impostor"}'),
    _track(None, MALFORMED_ROW, '{"track_id": "trk90001", "title": "Cut off in the mid'),
    # One value is lost, the track stays.
    _track("trk90002", WRONG_TYPE, '{"track_id": "trk90002", "title": {"en": "Two Names"}, "artist": "Gravel Parish"}'),
    _track("trk90003", WRONG_TYPE, '{"track_id": "trk90003", "title": "Found Tape", "year": "unknown"}'),
    _audio("trk90004", AUDIO_OUTSIDE_ROOT, "../truth.parquet"),
    _audio("trk90005", AUDIO_OUTSIDE_ROOT, "/music/elsewhere.ogg"),
    _audio("trk90006", AUDIO_MISSING, "Broken/never uploaded.flac"),
    _audio("trk90007", AUDIO_UNDECODABLE, TEXT_FILE),
    _audio("trk90008", AUDIO_EMPTY, EMPTY_FILE),
)
"""Bad rows of the tracks table."""

TRACKS_PER_LOST_ROW = 40


def spoiled_tracks(tracks: int) -> tuple[SpoiledLine, ...]:
    """Return the bad rows of a table with so many good ones: all from 200 on; below, fewer of those that are lost.

    So the default limit of rejected rows, 5 %, accepts a demo of any size.
    """
    lost = [track for track in SPOILED_TRACKS if track.expected.reason in ROW_REASONS]
    others = [track for track in SPOILED_TRACKS if track.expected.reason not in ROW_REASONS]
    return (*lost[: tracks // TRACKS_PER_LOST_ROW], *others)


NOT_UTF8_ID = "trk90009"
NOT_UTF8_LINE = b'{"track_id": "trk90009", "title": "Caf\xe9 Noir", "artist": "Latin One"}'
"""A title in Latin-1. No reject is expected for it: whether the row or only the title is lost is up to the reader."""

SPOILED_PLAYLISTS = (
    _playlist('{"playlist_id": "pl90001", "title": "just this one", "track_ids": ["trk00001"]}'),
    _playlist('{"playlist_id": "pl90002", "title": "deleted", "track_ids": ["gone1", "gone2", "gone3"]}'),
)
"""Playlists that are too short for training once unknown tracks are dropped."""

SPOILED_CONVERSATIONS = (
    '{"id": "talk90001", "messages": [{"role": "user", "content": "Do you still have [track:gone1]?"}]}',
    '{"id": "talk90002", "messages": [{"role": "assistant", "content": "Try it.", "tracks": ["trk00001", "gone2"]}]}',
    '{"id": "talk90003", "messages": [{"role": "user", "text": "What is new?"}]}',
    '{"id": "talk90004", "messages": [{"role": "user", "cont',
)
"""Conversations that name unknown tracks, or are malformed. Only rendering reads them."""
