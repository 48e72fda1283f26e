"""Audio of tracks ``t0``, ``t1``, ..., each of a tone of its own, and a table of their paths."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.sound_files import tone_file

SECONDS = 6


def hertz(track: int) -> int:
    """Tone of a track."""
    return 300 + 40 * track


def write_music(folder: Path, tracks: int) -> Path:
    """Write ``audio/0.flac``, ... and ``tracks.parquet``, six seconds per track; return the folder."""
    (folder / "audio").mkdir()
    for n in range(tracks):
        content = tone_file("flac", hertz(n), SECONDS, rate=16_000, channels=2)
        (folder / "audio" / f"{n}.flac").write_bytes(content)
    write_paths(folder / "tracks.parquet", {n: f"{n}.flac" for n in range(tracks)})
    return folder


def write_paths(table: Path, paths: Mapping[int, str | None]) -> None:
    """Write a table of tracks with their audio paths."""
    rows = {"track_id": [f"t{n}" for n in paths], "audio_path": pa.array([*paths.values()], pa.string())}
    pq.write_table(pa.table(rows), table)
