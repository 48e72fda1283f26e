"""Sound files through FFmpeg's libraries: AAC, ALAC, WMA, Opus in WebM, the audio of videos, and other formats.

Only the file itself is read. Some formats that FFmpeg supports are lists of other files and addresses; without this
restriction a playlist called ``song.mp3`` would make it fetch them.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio.errors import AudioDecodeError, one_line
from tracktokens.transforms.audio.windows import Signal, Span, extract_spans

FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "flt": 1, "dbl": 1}
"""Sample value at full scale, by FFmpeg's name of the format; 24-bit samples are the upper bits of s32."""

_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4", "dbl": "f8"}

FRAMES_AT_ONCE = 16
"""Frames that are mixed down together."""

PREROLL = Fraction(1, 2)
"""Seconds decoded and dropped before a window: MP3 and AAC frames depend on earlier frames, and Opus needs 80 ms."""

SEEK_TOLERANCE = Fraction(1, 100)
"""Seconds by which decoding may start after the window's start: some containers round times to milliseconds."""


@contextmanager
def open_sound(path: str) -> Iterator["FfmpegSound"]:
    """Open the first audio stream of a file.

    Raises:
        AudioDecodeError: FFmpeg cannot open the file, it has no audio stream, or nothing of the stream decodes.
    """
    with Path(path).open("rb") as file, _open(file.fileno()) as container:
        if not container.streams.audio:
            raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, "no audio stream")
        stream = container.streams.audio[0]
        if not stream.codec_context:
            raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, "no decoder for its audio stream")
        stream.codec_context.thread_count = 1  # other processes decode other files
        yield FfmpegSound(container, stream)


def _open(descriptor: int) -> InputContainer:
    """Open by descriptor, not by name: an extension can select a format, and a colon in a folder a protocol."""
    options = {"fd": str(descriptor), "protocol_whitelist": "fd"}
    try:
        return av.open("fd:", options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise _decode_error(error) from error


def _decode_error(error: av.FFmpegError) -> AudioDecodeError:
    return AudioDecodeError(rejects.AUDIO_UNDECODABLE, one_line(error.strerror or type(error).__name__))


class FfmpegSound:
    """A ``decode.Sound`` that FFmpeg opened. Its first frame determines the sample rate and the start time."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._container = container
        self._stream = stream
        self._error: av.FFmpegError | None = None
        self._initial_frames = self._decode_frames()
        first = next(self._initial_frames, None)
        if first is None:
            raise self._no_sound_error()
        self._first = first
        self.rate: int = first.sample_rate
        self.frames: int = int(self._duration() * self.rate)

    def _no_sound_error(self) -> AudioDecodeError:
        if self._error is None:
            return AudioDecodeError(rejects.AUDIO_EMPTY, "0.000 s of sound")
        return _decode_error(self._error)

    def _duration(self) -> Fraction:
        """Duration in seconds that the file claims."""
        if self._stream.duration and self._stream.time_base:
            return max(self._stream.duration * self._stream.time_base, Fraction(0))
        return Fraction(max(self._container.duration or 0, 0), av.time_base)

    def read_at(self, span: Span) -> Signal:
        """Decode a span; shorter if the file ends, and empty if frames have no timestamps or seeking fails."""
        start = _start_time(self._first)
        if start is None or not self._seek(max(start, start + Fraction(span.start, self.rate) - PREROLL)):
            return np.zeros(0, np.float32)
        frames = self._decode_frames()
        first = next(frames, None)
        time = _start_time(first)
        if first is None or time is None or time > start + Fraction(span.start, self.rate) + SEEK_TOLERANCE:
            return np.zeros(0, np.float32)
        skipped = max(0, span.start - round((time - start) * self.rate))
        signals = self._mono(chain([first], frames), skipped + span.length)
        return extract_spans(signals, [Span(skipped, span.length)])[0]

    def _seek(self, time: Fraction) -> bool:
        """Seek to the last packet that starts at or before ``time``; return False if FFmpeg cannot."""
        try:
            self._container.seek(int(time / (self._stream.time_base or 1)), stream=self._stream)
        except MemoryError:
            raise
        except av.FFmpegError:
            return False
        return True

    def blocks(self) -> Iterator[Signal]:
        """Decode to the end; packets that do not decode are skipped."""
        return self._mono(chain([self._first], self._initial_frames))

    def _mono(self, frames: Iterable[AudioFrame], wanted: float = math.inf) -> Iterator[Signal]:
        """Mix frames down; where the sample rate changes, convert it to that of the first frame.

        Of frames of the first rate, none is decoded after ``wanted`` samples. AAC decoders draw noise: how many frames
        were decoded before a seek changes the samples after it.
        """
        for rate, group in groupby(frames, lambda frame: frame.sample_rate):
            if rate != self.rate:
                yield from _resampled((mix_down([frame]) for frame in group), rate, self.rate)
                wanted = 0  # from here on, frame by frame
                continue
            for batch in _batches(group, wanted):
                wanted -= sum(frame.samples for frame in batch)
                yield mix_down(batch)

    def _decode_frames(self) -> Iterator[AudioFrame]:
        """Decode from the container's current position; a damaged packet is skipped."""
        try:
            for packet in self._container.demux(self._stream):
                yield from self._decode_packet(packet)
        except MemoryError:
            raise
        except av.FFmpegError as error:  # the container itself is damaged here
            self._error = error

    def _decode_packet(self, packet: "Packet[AudioStream]") -> list[AudioFrame]:
        try:
            return packet.decode()
        except MemoryError:
            raise
        except av.FFmpegError as error:
            self._error = error
            return []


def _resampled(signals: Iterable[Signal], rate: int, target: int) -> Iterator[Signal]:
    import soxr

    stream = soxr.ResampleStream(rate, target, 1, dtype="float32", quality="HQ")
    for signal in signals:
        yield stream.resample_chunk(signal)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _start_time(frame: AudioFrame | None) -> Fraction | None:
    """Start of a frame in seconds; None if it has no timestamp."""
    return frame.pts * frame.time_base if frame and frame.pts is not None and frame.time_base else None


def _batches(frames: Iterable[AudioFrame], wanted: float) -> Iterator[list[AudioFrame]]:
    """Group consecutive frames of one format, a few at a time: calls per frame take longer than the samples.

    A batch ends with the frame that has the last of the ``wanted`` samples; later batches have one frame.
    """
    for _, alike in groupby(frames, lambda frame: (frame.format.name, frame.layout.nb_channels)):
        batch: list[AudioFrame] = []
        for frame in alike:
            batch.append(frame)
            wanted -= frame.samples
            if wanted <= 0 or len(batch) == FRAMES_AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch


def mix_down(frames: Sequence[AudioFrame]) -> Signal:
    """Average the channels of frames of one sample format, scaled to full scale 1: float32 of shape (samples,).

    Raises:
        AudioDecodeError: the sample format is not in ``FULL_SCALE``.
    """
    layout, kind = frames[0].layout, frames[0].format
    sample_format = kind.name.removesuffix("p")  # p is for planar: one buffer per channel
    if sample_format not in FULL_SCALE:
        raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, f"unsupported sample format {sample_format}")
    per_buffer = 1 if kind.is_planar else layout.nb_channels
    dtype, length = np.dtype(_DTYPES[sample_format]), sum(frame.samples for frame in frames)
    samples = np.empty((layout.nb_channels // per_buffer, length * per_buffer), dtype)
    buffers = zip(*(_buffers(frame, dtype, frame.samples * per_buffer) for frame in frames), strict=True)
    for joined, parts in zip(samples, buffers, strict=True):
        np.concatenate(parts, out=joined)
    channels = samples if kind.is_planar else samples.reshape(length, layout.nb_channels).T
    mono: Signal = np.ascontiguousarray(channels, np.float32).mean(axis=0)
    if sample_format == "u8":
        mono -= FULL_SCALE["u8"]  # silence
    if (scale := FULL_SCALE[sample_format]) != 1:
        mono /= np.float32(scale)
    return mono


def _buffers(frame: AudioFrame, dtype: "np.dtype[Any]", count: int) -> list[npt.NDArray[Any]]:
    """View the samples of each buffer of a frame, without what it is padded with."""
    planes: Sequence[Any] = frame.planes  # buffers, although their type has no such protocol
    return [np.frombuffer(plane, dtype, count) for plane in planes]
