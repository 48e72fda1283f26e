"""Decoding of a file that consists of complete files, which may differ in format, sample rate and channels."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio.containers import Part
from tracktokens.transforms.audio.errors import AudioDecodeError
from tracktokens.transforms.audio.sound import SoundOpener, resample
from tracktokens.transforms.audio.windows import VALID_RATES, Signal, Span, Windows, extract_spans


@dataclass(frozen=True)
class _PartFile:
    """A part as a file, with its sample rate and number of frames."""

    path: str
    opener: SoundOpener
    rate: int
    frames: int

    def length_at(self, rate: int) -> int:
        """Frames of the part at another sample rate."""
        return round(self.frames * rate / self.rate)


def decode_parts(path: str, parts: Sequence[Part], openers: Sequence[SoundOpener], windows: Windows) -> list[Signal]:
    """Decode the windows of a file of parts, as if they were one sound: mono signals at ``windows.sample_rate``.

    Raises:
        AudioDecodeError: a part cannot be decoded.
    """
    target = windows.sample_rate
    with _part_files(path, parts) as names:
        files = [_measure(name, openers, f"part {row} of {len(names)}") for row, name in enumerate(names, 1)]
        ends = list(accumulate(file.length_at(target) for file in files))
        spans = windows.spans(ends[-1], target)
        starts = [end - file.length_at(target) for file, end in zip(files, ends, strict=True)]
        return [_decode_span(span, list(zip(files, starts, strict=True)), target) for span in spans]


@contextmanager
def _part_files(path: str, parts: Sequence[Part]) -> Iterator[list[str]]:
    """Copy the parts to files."""
    with tempfile.TemporaryDirectory(prefix="audio-") as folder, Path(path).open("rb") as source:
        names = [f"{folder}/{row}" for row in range(len(parts))]
        for name, part in zip(names, parts, strict=True):
            with Path(name).open("wb") as copy:
                source.seek(part.start)
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.truncate(part.end - part.start)
                for offset, data in part.patches:
                    copy.seek(offset - part.start)
                    copy.write(data)
        yield names


def _measure(name: str, openers: Sequence[SoundOpener], title: str) -> _PartFile:
    """Open a part with the first library that can; a part without sound has no frames."""
    errors = []
    for opener in openers:
        try:
            rate, frames = _rate_and_frames(name, opener)
        except AudioDecodeError as error:
            errors.append(error)
        else:
            return _PartFile(name, opener, rate, frames)
    if any(error.reason == rejects.AUDIO_EMPTY for error in errors):
        return _PartFile(name, openers[0], VALID_RATES.start, 0)
    raise AudioDecodeError(errors[0].reason, f"{title}: {'; '.join(error.detail for error in errors)}")


def _rate_and_frames(name: str, opener: SoundOpener) -> tuple[int, int]:
    with opener(name) as sound:
        if sound.rate not in VALID_RATES:
            raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, f"claims a sample rate of {sound.rate:,} Hz")
        if sound.frames > 0 and len(sound.read_at(Span(sound.frames - 1, 1))):
            return sound.rate, sound.frames
    with opener(name) as sound:
        return sound.rate, sum(len(block) for block in sound.blocks())


def _decode_span(span: Span, files: list[tuple[_PartFile, int]], target: int) -> Signal:
    """Decode a span of the whole, in frames at the target rate, from the parts that it touches."""
    signals = []
    for file, start in files:
        first = max(span.start, start) - start
        last = min(span.start + span.length, start + file.length_at(target)) - start
        if first < last:
            ratio = file.rate / target
            inside = Span(round(first * ratio), round(last * ratio) - round(first * ratio))
            signals.append(resample(_read(file, inside), file.rate, target))
    return np.concatenate(signals)[: span.length]


def _read(file: _PartFile, span: Span) -> Signal:
    with file.opener(file.path) as sound:
        signal = sound.read_at(span)
    if len(signal) == span.length:
        return signal
    with file.opener(file.path) as sound:
        return extract_spans(sound.blocks(), [span])[0]
