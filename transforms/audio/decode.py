"""The windows of one local file, by libsndfile or by FFmpeg.

libsndfile comes first: it is quick, and seeks to the sample. What it cannot open, or hears less than ``MIN_SECONDS``
of, goes to FFmpeg: AAC, ALAC, WMA, the sound of videos, and MP3s that are odd.

Where a file holds less than its header claims (cut off, damaged, or of variable bit rate without a header, so that its
length is guessed), it is decoded from the start to find how much sound there really is, and the windows are placed on
that.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio import libsndfile
from tracktokens.transforms.audio.errors import AudioDecodeError
from tracktokens.transforms.audio.windows import MIN_SECONDS, RATES, Signal, Span, Windows, cut

DECODING_VERSION = 2
"""Raise it whenever a file would give other windows, or windows where it gave none. Encoders have it in their identity:
a failure is a fact too, and would not be tried again under the same name."""

LOUDEST = 1e10
"""Largest sample that is taken for sound; full scale is 1, and floats that were meant as 32-bit integers reach 2e9. The
power of anything larger overflows float32."""


class Sound(Protocol):
    """An open file, at its start."""

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""

    @property
    def frames(self) -> int:
        """How many frames the file claims to hold; 0 if it does not say."""

    def read_at(self, span: Span) -> Signal:
        """Seek, and decode to mono; shorter than the span where the file ends, breaks or cannot be sought in."""

    def blocks(self) -> Iterator[Signal]:
        """Decode from the start to mono, in blocks; called on a file that was not sought in.

        Raises:
            AudioDecodeError: nothing decodes, and why.
        """


Opener = Callable[[str], AbstractContextManager[Sound]]
"""Opens a file; raises :class:`AudioDecodeError` if it cannot."""


def read_windows(path: str, windows: Windows) -> list[Signal]:
    """Read the windows of a local audio file: mono signals at ``windows.sample_rate``, in the file's order.

    Windows with less than ``MIN_SECONDS`` of sound, and those in which a sample is NaN, infinite or above ``LOUDEST``,
    are left out.

    Returns:
        At least one float32 array of shape (samples,).

    Raises:
        AudioDecodeError: no window is left, and why.
        MemoryError: the file asks for more memory than there is.
    """
    _require_file(path)
    rate, pieces = _hear(path, windows)
    finite = [piece for piece in pieces if np.abs(piece).max() <= LOUDEST]  # false of NaN
    if not finite:
        raise AudioDecodeError(
            rejects.NOT_FINITE, f"every window holds samples that are NaN, infinite or above {LOUDEST:g}"
        )
    return [_resampled(piece, rate, windows.sample_rate) for piece in finite]


def _require_file(path: str) -> None:
    try:
        found = Path(path).is_file()  # not a pipe either: opening one would wait for ever
    except (OSError, ValueError) as error:
        raise AudioDecodeError(rejects.AUDIO_MISSING, getattr(error, "strerror", "") or "cannot be reached") from error
    if not found:
        raise AudioDecodeError(rejects.AUDIO_MISSING, "no such file")
    if not Path(path).stat().st_size:
        raise AudioDecodeError(rejects.AUDIO_EMPTY, "0 bytes")


def _hear(path: str, windows: Windows) -> tuple[int, list[Signal]]:
    """Decode the windows that hold sound, by the first library that hears any; return the sample rate with them."""
    try:
        return _heard(libsndfile.open_sound, path, windows)
    except AudioDecodeError as error:
        first = error
    from tracktokens.transforms.audio import ffmpeg  # 70 MB of libraries, for the few files that need them

    try:
        return _heard(ffmpeg.open_sound, path, windows)
    except AudioDecodeError as second:
        raise _both(first, second) from second


def _both(first: AudioDecodeError, second: AudioDecodeError) -> AudioDecodeError:
    """Say what the two libraries found. One that understood the file, and heard next to nothing, knows better."""
    for error in (first, second):
        if error.reason != rejects.AUDIO_UNDECODABLE:
            return error
    return AudioDecodeError(rejects.AUDIO_UNDECODABLE, f"libsndfile: {first.detail}; FFmpeg: {second.detail}")


def _heard(opener: Opener, path: str, windows: Windows) -> tuple[int, list[Signal]]:
    """Decode the windows that hold at least ``MIN_SECONDS``; return the sample rate with them."""
    rate, pieces = _decode(opener, path, windows)
    heard = [piece for piece in pieces if len(piece) >= MIN_SECONDS * rate]
    if not heard:
        most = max((len(piece) for piece in pieces), default=0)
        raise AudioDecodeError(rejects.AUDIO_EMPTY, f"{most / rate:.3f} s of sound, fewer than {MIN_SECONDS} s")
    return rate, heard


def _decode(opener: Opener, path: str, windows: Windows) -> tuple[int, list[Signal]]:
    """Decode the windows; return the file's sample rate and one mono signal a window, at that rate."""
    with opener(path) as sound:
        rate = sound.rate
        if rate not in RATES:
            raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, f"claims a sample rate of {rate:,} Hz")
        spans = windows.spans(sound.frames, rate)
        pieces = [sound.read_at(span) for span in spans]
    if spans and all(len(piece) == span.length for piece, span in zip(pieces, spans, strict=True)):
        return rate, pieces
    return rate, _decode_in_order(opener, path, windows)


def _decode_in_order(opener: Opener, path: str, windows: Windows) -> list[Signal]:
    """Decode the windows of a file with a wrong header: count what is there, then decode up to each window."""
    with opener(path) as sound:
        spans = windows.spans(sum(len(block) for block in sound.blocks()), sound.rate)
    with opener(path) as sound:
        return cut(sound.blocks(), spans)


def _resampled(signal: Signal, rate: int, target: int) -> Signal:
    import soxr

    if rate == target:
        return signal
    resampled: Signal = soxr.resample(signal, rate, target, quality="HQ")
    return resampled
