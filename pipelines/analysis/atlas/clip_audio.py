"""The audio of clips: the files of tracks, the middle of each, and its encoding as Opus."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.failure import Failure
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.tables.rejects import AUDIO_UNREADABLE
from tracktokens.schemas.tables.tracks import TRACK_ID, TRACKS
from tracktokens.transforms.audio import Signal, WindowReader, Windows
from tracktokens.transforms.audio.sandbox import FetchError
from tracktokens.transforms.readers.audio_root import AudioRoot, check_audio_root
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import check_table, find_fragments
from tracktokens.transforms.readers.validation import blank_to_null
from tracktokens.transforms.store import files

WINDOW = Windows(count=1, seconds=5.0, sample_rate=48_000)
"""Part of a track that its clip has: the middle, at the rate of Opus."""

BIT_RATE = 32_000

_OPUS = {"vbr": "constrained"}  # the size of a clip varies by few percent

_COLUMNS = pa.schema([TRACKS.field(TRACK_ID), TRACKS.field("audio_path")])


@dataclass(frozen=True)
class ClipSource:
    """The tracks table that has the audio paths, and the folder that they are relative to."""

    tracks: str
    audio_root: str

    @classmethod
    def of(cls, release: ReleaseManifest, tracks: str | None, audio_root: str | None) -> ClipSource:
        """Take what is None from the options that made a release.

        Raises:
            UsageError: the release does not have it; or the audio root is missing, or has no file.
        """
        kept = release.options or {}
        table, root = tracks or kept.get("tracks"), audio_root or kept.get("audio-root")
        if table is None or root is None:
            lacking = " and ".join(name for name, path in (("--tracks", table), ("--audio-root", root)) if path is None)
            raise UsageError(
                f"clips need {lacking}: release {release.release_id} was made without; give the table of the tracks "
                "with their audio_path, and the folder of the audio files"
            )
        source = cls(files.absolute(table), files.absolute(root))
        check_audio_root(source.audio_root)
        return source


def read_audio_paths(source: ClipSource, track_ids: Collection[str]) -> dict[str, str | None]:
    """Read the audio paths of some tracks, below the audio root if they can be; None for a track without one.

    Of rows of one track, the first counts. Tracks that the table does not have are left out.

    Raises:
        UsageError: nothing matches the path of the table.
        InvalidDataError: a file of it cannot be read.
    """
    fragments = find_fragments(source.tracks, "tracks")
    check_table(fragments, _COLUMNS)
    wanted, root = pa.array(sorted(track_ids), pa.string()), AudioRoot(source.audio_root)
    paths: dict[str, str | None] = {}
    for fragment in fragments:
        for scanned in read_fragment(fragment, _COLUMNS):
            rows = blank_to_null(scanned.rows.filter(pc.is_in(scanned.rows[TRACK_ID], value_set=wanted)))
            found = root.relative(rows["audio_path"]).to_pylist()
            for track_id, path in zip(rows[TRACK_ID].to_pylist(), found, strict=True):
                paths.setdefault(track_id, path)
    return paths


def decode_middle(reader: WindowReader, root: AudioRoot, path: str) -> Signal | Failure:
    """Decode the middle of a file, by its path below the audio root.

    Args:
        reader: reader of one window per file.
        root: the audio root.
        path: the path.

    Returns:
        float32 (samples,), or the failure.

    Raises:
        DecoderError: a decoder does not start, or cannot import a library.
    """
    try:
        for problem in root.check(pa.array([path], pa.string()), pa.nulls(1, pa.string())).problems:
            return Failure(problem.reason, problem.detail)
        windows = reader.read(f"{root.root.rstrip('/')}/{path}").windows
    except (OSError, FetchError) as error:
        return Failure(AUDIO_UNREADABLE, str(error))
    return windows if isinstance(windows, Failure) else windows[0]


def encode_opus(signal: Signal) -> bytes:
    """Encode a mono signal at the rate of ``WINDOW`` as Ogg Opus. Equal signals have equal bytes."""
    import av

    rate, buffer = WINDOW.sample_rate, io.BytesIO()
    # Without `bitexact` the stream gets a random number.
    with av.open(buffer, "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=rate, options=_OPUS, layout="mono", bit_rate=BIT_RATE)
        frame = av.AudioFrame.from_ndarray(np.clip(signal, -1, 1)[None], "flt", "mono")
        frame.sample_rate, frame.pts = rate, 0
        cut = av.AudioResampler("flt", "mono", rate, frame_size=rate // 50)
        for part in [*cut.resample(frame), *cut.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return buffer.getvalue()
