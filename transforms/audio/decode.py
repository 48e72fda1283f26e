"""Decode the windows of one local file with libsndfile or FFmpeg.

libsndfile is tried first: it is fast and seeks to the exact sample. FFmpeg is tried if libsndfile cannot open the file
or decodes less than ``MIN_SECONDS`` of it: AAC, ALAC, WMA, the audio of videos, and unusual MP3s.

Some files hold less sound than their header claims: they are truncated, damaged, or of variable bit rate without a
header, so that their length is a guess. Such a file is decoded from the start to count its frames, and the windows are
placed on that count. Others hold more, see ``extent``: they are decoded part by part (``parts``), or to the end.
"""

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio import libsndfile
from tracktokens.transforms.audio.errors import AudioDecodeError, read_error
from tracktokens.transforms.audio.extent import Extent, measure_extent
from tracktokens.transforms.audio.parts import decode_parts
from tracktokens.transforms.audio.sound import Sound, SoundOpener, resample
from tracktokens.transforms.audio.windows import MIN_SECONDS, VALID_RATES, Signal, Windows, extract_spans

DECODING_VERSION = 2
"""Raise it whenever the windows of some file change, or a file gains or loses its windows. Encoders include it in their
identity: failures are stored as records too, and would not be retried under the same encoder id.

It was not raised for files that hold more than their header claims (see ``extent``), since every other file keeps its
windows: a store has the vector of their first part until they are modified."""

MAX_AMPLITUDE = 1e10
"""Largest sample that is accepted; full scale is 1, and floats that hold 32-bit integers reach 2e9. The power of larger
samples overflows float32."""


CLAIMED_SHARE = 0.95
"""Share of its real duration that a file may claim, and still be believed."""

_READ_BYTES = 1 << 20


def read_windows(path: str, windows: Windows) -> list[Signal]:
    """Read the windows of a local audio file: mono signals at ``windows.sample_rate``, in the file's order.

    Windows are dropped if they hold less than ``MIN_SECONDS`` of sound, or a sample that is NaN, infinite or above
    ``MAX_AMPLITUDE``.

    Returns:
        At least one float32 array of shape (samples,).

    Raises:
        AudioDecodeError: no window is left; the error has the reason.
        MemoryError: the file needs more memory than is available.
    """
    try:
        _require_file(path)
        rate, signals = _decode_with_fallback(path, windows)
    except OSError as error:
        raise read_error(error) from error
    finite = [signal for signal in signals if np.abs(signal).max() <= MAX_AMPLITUDE]  # false for NaN
    if not finite:
        raise AudioDecodeError(
            rejects.NOT_FINITE, f"every window holds samples that are NaN, infinite or above {MAX_AMPLITUDE:g}"
        )
    return [resample(signal, rate, windows.sample_rate) for signal in finite]


def _require_file(path: str) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116  pathlib would hide some errors
    except ValueError as error:
        raise AudioDecodeError(rejects.AUDIO_MISSING, "no such file") from error
    if not stat.S_ISREG(status.st_mode):  # a pipe would block when opened
        raise AudioDecodeError(rejects.AUDIO_MISSING, "no such file")
    if not status.st_size:
        raise AudioDecodeError(rejects.AUDIO_EMPTY, "0 bytes")


def _require_readable(path: str) -> None:
    """Read a file that seems damaged to its end, since decoders take a failing disk for the end of the file.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb", buffering=0) as file:
        while file.read(_READ_BYTES):
            pass


def _decode_with_fallback(path: str, windows: Windows) -> tuple[int, list[Signal]]:
    """Decode the windows that hold sound with the first library that can; return the sample rate and the windows."""
    extent = measure_extent(path)
    if extent.parts:
        signals = decode_parts(path, extent.parts, (libsndfile.open_sound, _open_with_ffmpeg), windows)
        return windows.sample_rate, _audible(windows.sample_rate, signals)
    if extent.seconds == math.inf:  # libsndfile stops at the claim
        return _decode_audible(_open_with_ffmpeg, path, windows, extent)
    try:
        return _decode_audible(libsndfile.open_sound, path, windows, extent)
    except AudioDecodeError as error:
        first = error
    try:
        return _decode_audible(_open_with_ffmpeg, path, windows, extent)
    except AudioDecodeError as second:
        _require_readable(path)
        raise _combine_errors(first, second) from second


@contextmanager
def _open_with_ffmpeg(path: str) -> Iterator[Sound]:
    from tracktokens.transforms.audio import ffmpeg  # 70 MB of libraries, which few files need

    with ffmpeg.open_sound(path) as sound:
        yield sound


def _combine_errors(first: AudioDecodeError, second: AudioDecodeError) -> AudioDecodeError:
    """Report both libraries' errors, or only that of a library that could read the file and found too little sound."""
    for error in (first, second):
        if error.reason != rejects.AUDIO_UNDECODABLE:
            return error
    return AudioDecodeError(rejects.AUDIO_UNDECODABLE, f"libsndfile: {first.detail}; FFmpeg: {second.detail}")


def _decode_audible(opener: SoundOpener, path: str, windows: Windows, extent: Extent) -> tuple[int, list[Signal]]:
    """Decode the windows that hold at least ``MIN_SECONDS``; return the sample rate and the windows."""
    rate, signals = _decode(opener, path, windows, extent)
    return rate, _audible(rate, signals)


def _audible(rate: int, signals: list[Signal]) -> list[Signal]:
    audible = [signal for signal in signals if len(signal) >= MIN_SECONDS * rate]
    if not audible:
        longest = max((len(signal) for signal in signals), default=0)
        raise AudioDecodeError(rejects.AUDIO_EMPTY, f"{longest / rate:.3f} s of sound, fewer than {MIN_SECONDS} s")
    return audible


def _decode(opener: SoundOpener, path: str, windows: Windows, extent: Extent) -> tuple[int, list[Signal]]:
    """Decode the windows; return the file's sample rate and one mono signal per window at that rate."""
    with opener(path) as sound:
        rate = sound.rate
        if rate not in VALID_RATES:
            raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, f"claims a sample rate of {rate:,} Hz")
        spans = [] if _claims_less(sound, extent.seconds) else windows.spans(sound.frames, rate)
        signals = [sound.read_at(span) for span in spans]
    if spans and all(len(signal) == span.length for signal, span in zip(signals, spans, strict=True)):
        return rate, signals
    _require_readable(path)
    return _decode_sequentially(opener, path, windows)


def _claims_less(sound: Sound, seconds: float) -> bool:
    """Return True if a file claims notably less than a duration; claims of formats without a header are estimates."""
    return sound.frames / sound.rate < CLAIMED_SHARE * seconds - 1


def _decode_sequentially(opener: SoundOpener, path: str, windows: Windows) -> tuple[int, list[Signal]]:
    """Decode the windows of a file with a wrong header: count its frames first, then decode up to the last window.

    FFmpeg decodes some files that libsndfile gives up in the middle, where the sample rate or the channels change.
    """
    rate, frames = _count_frames(opener, path)
    if opener is libsndfile.open_sound:
        with suppress(AudioDecodeError):
            other_rate, other_frames = _count_frames(_open_with_ffmpeg, path)
            if CLAIMED_SHARE * other_frames / other_rate - 1 > frames / rate:
                opener, rate, frames = _open_with_ffmpeg, other_rate, other_frames
    with opener(path) as sound:
        return rate, extract_spans(sound.blocks(), windows.spans(frames, rate))


def _count_frames(opener: SoundOpener, path: str) -> tuple[int, int]:
    with opener(path) as sound:
        return sound.rate, sum(len(block) for block in sound.blocks())
