"""Write the demo: a small invented catalog with audio, lyrics, playlists and conversations.

Its true genres and crowds are known.
"""

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.pipelines.demo.composition import Song
from tracktokens.pipelines.demo.conversations import DemoConversation, invent_conversations
from tracktokens.pipelines.demo.playlists import DemoPlaylist, invent_playlists
from tracktokens.pipelines.demo.spoiled import (
    NOT_UTF8_ID,
    NOT_UTF8_LINE,
    SPOILED_CONVERSATIONS,
    SPOILED_FILES,
    SPOILED_PLAYLISTS,
    ExpectedReject,
    spoiled_tracks,
)
from tracktokens.pipelines.demo.synthesis import render, write_audio
from tracktokens.pipelines.demo.tracks import BARE, DemoTrack, invent_tracks
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store.user_files import check_output_folder, path_errors

FEWEST_TRACKS = BARE + 3
"""The smallest demo: it has the bare track and a rereleased song."""

PLAYLISTS_PER_TRACK = 0.75
CONVERSATIONS_PER_TRACK = 10

MOST_CONVERSATIONS = 2_000
"""Limit on the conversations of a large demo: each one scans all tracks."""

TRUTH = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("genre", pa.string(), nullable=False),
        pa.field("mood", pa.string(), nullable=False),
        pa.field("artist", pa.string(), nullable=False),
        pa.field("tempo", pa.float64(), nullable=False),
        pa.field("cluster", pa.string(), nullable=False),
    ]
)
"""Columns of ``truth.parquet``: tempo in quarter notes per minute, cluster the crowd that listens to the track."""


@dataclass(frozen=True)
class DemoCatalog:
    """Paths of the demo, its counts, and the rejects that a run must report.

    Attributes:
        folder: the demo's folder.
        tracks: JSON Lines file of the tracks, including bad rows.
        playlists: JSON Lines file of the playlists, including bad ones.
        conversations: JSON Lines file of the conversations, including bad ones. Only rendering reads it.
        audio_root: folder to which audio paths are relative.
        truth: Parquet file with the columns of :data:`TRUTH`, one row per good track. No job reads it.
        track_count: good tracks; bad rows come on top.
        playlist_count: good playlists.
        conversation_count: good conversations.
        audio_file_count: audio files that can be decoded.
        expected_rejects: every reject that a run must report, besides those of ``undecided_ids``.
        undecided_ids: tracks whose bad value may cost a reader either the value or the row.
    """

    folder: Path
    tracks: Path
    playlists: Path
    conversations: Path
    audio_root: Path
    truth: Path
    track_count: int
    playlist_count: int
    conversation_count: int
    audio_file_count: int
    expected_rejects: tuple[ExpectedReject, ...]
    undecided_ids: tuple[str, ...]


def make_demo(folder: str | Path, *, tracks: int = 200, seed: int = 0) -> DemoCatalog:
    """Write the demo catalog into a new or empty folder.

    The same arguments give the same bytes of every table and the same samples in every audio file. (The bytes of an Ogg
    file differ: each has a random serial number.) Six bad rows are rejected; in a demo of fewer than about 115 tracks
    that is more than the 5 % that jobs tolerate by default.

    Args:
        folder: destination.
        tracks: number of good tracks, at least 20.
        seed: changes everything that is invented, but not the bad rows.

    Raises:
        UsageError: ``folder`` is a file or is not empty, or ``tracks`` is too small.
    """
    if tracks < FEWEST_TRACKS:
        raise UsageError(f"a demo of {tracks} tracks is too small: ask for at least {FEWEST_TRACKS}")
    check_output_folder(str(folder))
    root = _empty_folder(Path(folder))
    invented = invent_tracks(tracks, seed)
    playlists = invent_playlists(invented, round(PLAYLISTS_PER_TRACK * tracks), seed)
    _write_lines(root / "tracks.jsonl", _track_lines(invented))
    _write_lines(root / "playlists.jsonl", _playlist_lines(playlists))
    talks = invent_conversations(invented, min(CONVERSATIONS_PER_TRACK * tracks, MOST_CONVERSATIONS), seed)
    _write_lines(root / "conversations.jsonl", _conversation_lines(talks))
    pq.write_table(_truth(invented), root / "truth.parquet")
    return DemoCatalog(
        folder=root,
        tracks=root / "tracks.jsonl",
        playlists=root / "playlists.jsonl",
        conversations=root / "conversations.jsonl",
        audio_root=root / "audio",
        truth=root / "truth.parquet",
        track_count=len(invented),
        playlist_count=len(playlists),
        conversation_count=len(talks),
        audio_file_count=_write_audio_files(root / "audio", invented),
        expected_rejects=tuple(spoiled.expected for spoiled in (*spoiled_tracks(tracks), *SPOILED_PLAYLISTS)),
        undecided_ids=(NOT_UTF8_ID,),
    )


def _empty_folder(folder: Path) -> Path:
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not an empty folder: choose a new folder for the demo")
    with path_errors(str(folder), "choose a new folder for the demo"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _track_lines(tracks: Sequence[DemoTrack]) -> list[bytes]:
    spoiled = [*(track.line.encode("utf-8") for track in spoiled_tracks(len(tracks))), NOT_UTF8_LINE]
    return _spread([_json_line(track.row) for track in tracks], spoiled)


def _playlist_lines(playlists: Sequence[DemoPlaylist]) -> list[bytes]:
    rows = ({"playlist_id": p.playlist_id, "title": p.title, "track_ids": p.track_ids} for p in playlists)
    return _spread([_json_line(row) for row in rows], [p.line.encode("utf-8") for p in SPOILED_PLAYLISTS])


def _conversation_lines(conversations: Sequence[DemoConversation]) -> list[bytes]:
    rows = ({"id": c.conversation_id, "messages": c.messages} for c in conversations)
    return _spread([_json_line(row) for row in rows], [line.encode("utf-8") for line in SPOILED_CONVERSATIONS])


def _spread(good: list[bytes], bad: list[bytes]) -> list[bytes]:
    """Spread bad lines evenly among the good ones, never first: a repeated id follows the one that it repeats."""
    lines = list(good)
    for number, line in reversed(list(enumerate(bad, start=1))):
        lines.insert(number * len(good) // (len(bad) + 1), line)
    return lines


def _truth(tracks: Sequence[DemoTrack]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "track_id": track.track_id,
                "genre": track.song.genre,
                "mood": track.mood,
                "artist": track.artist.name,
                "tempo": track.song.tempo,
                "cluster": track.cluster,
            }
            for track in tracks
        ],
        schema=TRUTH,
    )


def _write_audio_files(audio_root: Path, tracks: Sequence[DemoTrack]) -> int:
    """Render and write every song that has a file, and the files that are not audio. Return the number of songs.

    Threads help: the audio codecs and most of NumPy run without the interpreter's lock.
    """
    songs = {audio_root / str(track.row["audio_path"]): track.song for track in tracks if "audio_path" in track.row}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(_write_song, songs.keys(), songs.values()):
            pass  # consume the results, so that an error in a thread is raised here
    for path, content in SPOILED_FILES.items():
        (audio_root / path).parent.mkdir(exist_ok=True)
        (audio_root / path).write_bytes(content)
    return len(songs)


def _write_song(path: Path, song: Song) -> None:
    write_audio(path, render(song))


def _write_lines(path: Path, lines: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def _json_line(row: Mapping[str, object]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8")
