"""Clips of the tracks nearest to each audio code."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tracktokens.pipelines.analysis.atlas.clip_audio import (
    WINDOW,
    ClipSource,
    decode_middle,
    encode_opus,
    read_audio_paths,
)
from tracktokens.pipelines.analysis.atlas.clip_folder import WriteClip
from tracktokens.pipelines.analysis.atlas.document import Atlas
from tracktokens.schemas.display import printable
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.failure import Failure
from tracktokens.schemas.modalities import AUDIO
from tracktokens.schemas.token_format import modality_of
from tracktokens.transforms.audio import WindowReader
from tracktokens.transforms.readers.audio_root import AudioRoot
from tracktokens.transforms.runtime.threads import thread_share

CLIPS = 3
"""Most clips per code."""

UNKNOWN_TRACK = "unknown_track"
"""Reason of a track that the tracks table does not have."""

NO_AUDIO_PATH = "no_audio_path"
"""Reason of a track whose ``audio_path`` is null, blank or not a text."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """A clip of one of the tracks nearest to a code.

    Attributes:
        column: the code's column.
        code: the code.
        rank: 1 for the nearest track.
        track_id: the track.
    """

    column: str
    code: int
    rank: int
    track_id: str

    @property
    def file_name(self) -> str:
        """Name of its file, such as ``audio_17_1.opus``."""
        return f"{self.column}_{self.code}_{self.rank}.opus"


@dataclass(frozen=True)
class WrittenClips:
    """Result of :func:`write_clips`.

    Attributes:
        clips: those that were written, by column, code and rank.
        failures: reason to number of the others.
        size: bytes of all files.
    """

    clips: Sequence[Clip]
    failures: Mapping[str, int]
    size: int


def wanted_clips(atlas: Atlas, most: int = CLIPS) -> list[Clip]:
    """List the clips of the tracks nearest to each audio code, at most ``most`` per code, by column, code and rank.

    Raises:
        UsageError: the release has no audio codes.
    """
    views = [view for view in atlas.columns if modality_of(view.codebook.name) == AUDIO]
    if not views:
        raise UsageError(f"release {atlas.source.release_id} has no audio codes: leave out --audio-snippets")
    clips = []
    for view in views:
        ranks: Counter[int] = Counter()
        for code, number in zip(view.nearest.codes.tolist(), view.nearest.tracks.tolist(), strict=True):
            ranks[code] += 1
            if ranks[code] <= most:
                clips.append(Clip(view.codebook.name, code, ranks[code], atlas.names[number].track_id))
    return clips


def clips_json(atlas: Atlas, folder: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """Describe clips for the page.

    Args:
        atlas: the atlas.
        folder: name of the folder of the clips, beside the page.
        clips: the clips.

    Returns:
        ``folder``, and ``ranks``: column to one list per code, of the ranks that have a clip.
    """
    codes = {view.codebook.name: view.codebook.num_centroids for view in atlas.columns}
    columns = dict.fromkeys(clip.column for clip in clips)
    ranks: dict[str, list[list[int]]] = {column: [[] for _ in range(codes[column])] for column in columns}
    for clip in clips:
        ranks[clip.column][clip.code].append(clip.rank)
    return {"folder": folder, "ranks": ranks}


def write_clips(clips: Sequence[Clip], source: ClipSource, write: WriteClip) -> WrittenClips:
    """Decode tracks, and write a clip of each. A track without usable audio is counted, and reported in a warning.

    Args:
        clips: the clips to write.
        source: the audio of the tracks.
        write: writes a clip; called from several threads.

    Raises:
        UsageError: nothing matches the path of the tracks.
        InvalidDataError: a file of the tracks cannot be read.
        DecoderError: the installation cannot decode audio.
    """
    paths = read_audio_paths(source, {clip.track_id for clip in clips})
    failures = _Failures()
    by_path: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if (path := paths.get(clip.track_id)) is not None:
            by_path[path].append(clip)
        else:
            failures.add([clip], Failure(NO_AUDIO_PATH if clip.track_id in paths else UNKNOWN_TRACK, ""))
    written, size = set[Clip](), 0
    with closing(_write_all(by_path, source.audio_root, write)) as results:
        for same, result in zip(by_path.values(), results, strict=True):
            if isinstance(result, Failure):
                failures.add(same, result)
            else:
                written.update(same)
                size += result * len(same)
    failures.warn(len(clips))
    return WrittenClips([clip for clip in clips if clip in written], dict(sorted(failures.counts.items())), size)


def _write_all(
    by_path: Mapping[str, Sequence[Clip]], audio_root: str, write: WriteClip
) -> Generator[int | Failure, None, None]:
    """Write the clips of each path; yield the bytes of one of them, or the failure, in the order of the paths."""
    processes, root = thread_share(1), AudioRoot(audio_root)
    with WindowReader(WINDOW, processes) as reader, ThreadPoolExecutor(processes) as threads:

        def write_path(path: str) -> int | Failure:
            signal = decode_middle(reader, root, path)
            if isinstance(signal, Failure):
                return signal
            content = encode_opus(signal)
            for clip in by_path[path]:
                write(clip.file_name, content)
            return len(content)

        yield from threads.map(write_path, by_path)


@dataclass
class _Failures:
    """Clips that are not written: their number by reason, and the first of them."""

    counts: Counter[str] = field(default_factory=Counter)
    first: str = ""

    def add(self, clips: Sequence[Clip], failure: Failure) -> None:
        """Count clips of one file."""
        self.counts[failure.reason] += len(clips)
        self.first = self.first or f"{clips[0].track_id}: {failure.detail or failure.reason}"

    def warn(self, wanted: int) -> None:
        """Warn of the clips, if there are any."""
        if self.counts:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.counts.items()))
            message = "%d of %d clips are left out (%s), such as that of track %s"
            _logger.warning(message, self.counts.total(), wanted, reasons, printable(self.first))
