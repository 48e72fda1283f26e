"""Audio files in: a few fixed windows of each file, decoded by seeking, mixed down to mono and resampled.

Reading three windows of ten seconds costs a sixth of reading a three-minute file, and tells about the same.

Placement. A file of ``D`` seconds gives ``k = clip(floor(D / seconds), 1, count)`` windows, centred at
``D (2i + 1) / 2k`` for ``i = 0 .. k - 1``: three windows lie round 1/6, 3/6 and 5/6 of the file. Windows never overlap,
and all have the same length; a file shorter than one window is itself the only window. Nothing is padded with silence.

Where a file holds less than its header claims (cut off, damaged, or an MP3 of variable bit rate without a header, whose
length libsndfile guesses), it is decoded from the start to find how much sound there really is, and the windows are
placed on that.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile as sf

from tracktokens.schemas import rejects

Signal = npt.NDArray[np.float32]
"""Mono samples, shape (samples,); full scale is 1."""

MIN_SECONDS = 0.1
"""A window with less sound than this is left out: it holds no spectrum worth the name."""

RATES = range(1_000, 1_000_001)
"""Sample rates in Hz that a file may claim. Outside lie damaged headers, and resampling those would take gigabytes."""

LOUDEST = 1e10
"""Largest sample that is taken for sound; full scale is 1, and floats that were meant as 32-bit integers reach 2e9. The
power of anything larger overflows float32."""

OPENED_IN_VAIN = 7
"""libsndfile's code for an MP3 without frames; its message says that the file does not exist, and it does."""

SEEK_BLOCK = 1 << 17
SCAN_BLOCK = 1 << 12
"""Samples over all channels that are decoded at once. An error loses its whole block, so scanning damaged files goes in
small ones; blocks also bound the memory that a file with a thousand channels takes."""


class AudioRefusedError(Exception):
    """A file of which no window can be had.

    Attributes:
        reason: ``AUDIO_MISSING``, ``AUDIO_UNDECODABLE``, ``AUDIO_EMPTY`` or ``NOT_FINITE`` of ``schemas.rejects``.
        detail: one line for people. It never names the file, so that it holds on any machine.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Span(NamedTuple):
    """Part of a file, in frames at the file's own sample rate."""

    start: int
    length: int


@dataclass(frozen=True)
class Windows:
    """Which parts of a file are read.

    Attributes:
        count: windows of a file that is long enough; at least 1.
        seconds: length of a window; at least ``MIN_SECONDS``.
        sample_rate: rate in Hz that windows are resampled to.
    """

    count: int = 3
    seconds: float = 10.0
    sample_rate: int = 22_050

    def __post_init__(self) -> None:
        if self.count < 1 or not MIN_SECONDS <= self.seconds < float("inf") or self.sample_rate not in RATES:
            raise ValueError(
                f"windows need a count of at least 1, at least {MIN_SECONDS} seconds and a sample rate of "
                f"{RATES.start:,} to {RATES.stop - 1:,} Hz, not {self}"
            )

    def spans(self, frames: int, rate: int) -> list[Span]:
        """Place the windows on a file of ``frames`` frames at ``rate`` Hz, in order; none on an empty file."""
        length = min(frames, round(self.seconds * rate))
        if length <= 0:
            return []
        count = min(self.count, frames // length)
        return [Span(frames * (2 * i + 1) // (2 * count) - length // 2, length) for i in range(count)]


def read_windows(path: str, windows: Windows) -> list[Signal]:
    """Read the windows of an audio file: mono signals at ``windows.sample_rate``, in the file's order.

    Windows with less than ``MIN_SECONDS`` of sound, and those in which a sample is NaN, infinite or above ``LOUDEST``,
    are left out.

    Args:
        path: a local path, or ``scheme://...`` on any Beam filesystem.
        windows: which parts to read.

    Returns:
        At least one float32 array of shape (samples,).

    Raises:
        AudioRefusedError: no window is left, and why.
        OSError: a remote file is there and cannot be fetched now.
    """
    with _on_disk(path) as local:
        if not Path(local).stat().st_size:
            raise AudioRefusedError(rejects.AUDIO_EMPTY, "0 bytes")
        rate, pieces = _decode(local, windows)
    heard = [piece for piece in pieces if len(piece) >= MIN_SECONDS * rate]
    if not heard:
        most = max((len(piece) for piece in pieces), default=0)
        raise AudioRefusedError(rejects.AUDIO_EMPTY, f"{most / rate:.3f} s of sound, fewer than {MIN_SECONDS} s")
    finite = [piece for piece in heard if np.abs(piece).max() <= LOUDEST]  # false of NaN
    if not finite:
        raise AudioRefusedError(
            rejects.NOT_FINITE, f"every window holds samples that are NaN, infinite or above {LOUDEST:g}"
        )
    return [_resampled(piece, rate, windows.sample_rate) for piece in finite]


@contextmanager
def _on_disk(path: str) -> Iterator[str]:
    """Yield a local path of the file, fetched into a temporary file if it is remote.

    Fetching whole files beats reading through libsndfile's callbacks: these hold the GIL, cannot report a broken
    connection (which would pass for a shorter file), and Beam's remote readers buffer more than most tracks weigh.
    """
    if "://" not in path:
        _require_file(path)
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="audio-", suffix=Path(path).suffix) as copy:
        _fetch(path, Path(copy.name))
        yield copy.name


def _require_file(path: str) -> None:
    try:
        found = Path(path).is_file()  # not a pipe either: opening one would wait for ever
    except OSError as error:
        raise AudioRefusedError(rejects.AUDIO_MISSING, error.strerror or "cannot be reached") from error
    if not found:
        raise AudioRefusedError(rejects.AUDIO_MISSING, "no such file")


def _fetch(path: str, copy: Path) -> None:
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    try:
        with (
            FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as remote,
            copy.open("wb") as local,
        ):
            shutil.copyfileobj(remote, local, 1 << 20)
    except Exception as error:  # each filesystem has its own error for a missing file, so ask
        if FileSystems.exists(path):
            raise
        raise AudioRefusedError(rejects.AUDIO_MISSING, "no such file") from error


def _decode(path: str, windows: Windows) -> tuple[int, list[Signal]]:
    """Decode the windows; return the file's sample rate and one mono signal a window, at that rate."""
    with _open(path) as sound:
        rate: int = sound.samplerate
        spans = windows.spans(sound.frames, rate)
        pieces = [_seek_and_read(sound, span) for span in spans]
    if spans and all(len(piece) == span.length for piece, span in zip(pieces, spans, strict=True)):
        return rate, pieces
    return rate, _decode_in_order(path, windows)


def _decode_in_order(path: str, windows: Windows) -> list[Signal]:
    """Decode the windows of a file with a wrong header: count what is there, then read up to each window."""
    with _open(path) as sound:
        spans = windows.spans(_count_frames(sound), sound.samplerate)
    pieces = []
    with _open(path) as sound:
        position = 0
        for span in spans:
            for _ in _mono_blocks(sound, span.start - position, SCAN_BLOCK):
                pass
            pieces.append(_read(sound, span.length, SCAN_BLOCK))
            position = span.start + span.length
    return pieces


@contextmanager
def _open(path: str) -> Iterator[sf.SoundFile]:
    try:
        sound = sf.SoundFile(path)
    except sf.LibsndfileError as error:
        raise AudioRefusedError(rejects.AUDIO_UNDECODABLE, _explain(error)) from error
    except TypeError as error:  # soundfile wants to be told the rate and channels of *.raw
        raise AudioRefusedError(rejects.AUDIO_UNDECODABLE, "headerless samples of unknown rate") from error
    with sound:
        if sound.samplerate not in RATES:
            raise AudioRefusedError(rejects.AUDIO_UNDECODABLE, f"claims a sample rate of {sound.samplerate:,} Hz")
        yield sound


def _explain(error: sf.LibsndfileError) -> str:
    """Say in one line what libsndfile found; ``str(error)`` would name the path too."""
    if error.code == OPENED_IN_VAIN:
        return "no sound in it that libsndfile knows"
    return " ".join(error.error_string.split()) or f"libsndfile error {error.code}"


def _count_frames(sound: sf.SoundFile) -> int:
    """Count the frames that decode before the end or the first error."""
    frames = 0
    try:
        for block in _mono_blocks(sound, np.iinfo(np.int64).max, SCAN_BLOCK):
            frames += len(block)
    except sf.LibsndfileError as error:
        if not frames:
            raise AudioRefusedError(rejects.AUDIO_UNDECODABLE, _explain(error)) from error
    return frames


def _seek_and_read(sound: sf.SoundFile, span: Span) -> Signal:
    try:
        sound.seek(span.start)
    except sf.LibsndfileError:  # the file ends before the window: the caller finds out where
        return np.zeros(0, np.float32)
    return _read(sound, span.length, SEEK_BLOCK)


def _read(sound: sf.SoundFile, frames: int, block_samples: int) -> Signal:
    """Decode up to ``frames`` frames to mono; fewer where the file ends or an error comes first."""
    blocks = [np.zeros(0, np.float32)]
    with suppress(sf.LibsndfileError):
        for block in _mono_blocks(sound, frames, block_samples):
            blocks.append(block)  # one by one: what came before an error stays
    return np.concatenate(blocks)


def _mono_blocks(sound: sf.SoundFile, frames: int, block_samples: int) -> Iterator[Signal]:
    """Decode up to ``frames`` frames in blocks, each mixed down to the mean of its channels."""
    size = max(1, block_samples // sound.channels)
    while frames > 0:
        block = sound.read(min(size, frames), dtype="float32", always_2d=True)
        if not len(block):
            return
        frames -= len(block)
        yield _mixed_down(block)


def _mixed_down(block: Signal) -> Signal:
    """Average the channels, the second axis; ``mean(axis=1)`` is ten times slower on so short an axis."""
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    mono /= block.shape[1]
    return mono


def _resampled(signal: Signal, rate: int, target: int) -> Signal:
    import soxr

    if rate == target:
        return signal
    resampled: Signal = soxr.resample(signal, rate, target, quality="HQ")
    return resampled
