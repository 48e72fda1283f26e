"""Sound by FFmpeg's libraries: AAC, ALAC, WMA, Opus in WebM, the sound of videos, and whatever else they know.

Only the file itself is read. FFmpeg knows formats that are lists of other files and addresses; were it allowed to, a
playlist called ``song.mp3`` would make it fetch them.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio.errors import AudioDecodeError, one_line
from tracktokens.transforms.audio.windows import Signal, Span, cut

FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "flt": 1, "dbl": 1}
"""Value of a sample at full scale, by FFmpeg's name for its format; 24-bit samples come as the upper bits of s32."""

WARM_UP = Fraction(1, 2)
"""Seconds that are decoded and dropped before a window: MP3 and AAC build on frames before, Opus asks for 80 ms."""

LATE = Fraction(1, 100)
"""Seconds by which the sound after a seek may start behind the window: some containers round times to milliseconds."""


@contextmanager
def open_sound(path: str) -> Iterator["FfmpegSound"]:
    """Open a file at its first audio stream.

    Raises:
        AudioDecodeError: FFmpeg cannot, there is no audio stream, or nothing of it decodes.
    """
    with Path(path).open("rb") as file, _open(file.fileno()) as container:
        if not container.streams.audio:
            raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, "no audio stream")
        stream = container.streams.audio[0]
        if not stream.codec_context:
            raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, "no decoder for its audio stream")
        stream.codec_context.thread_count = 1  # other files are decoded beside it
        yield FfmpegSound(container, stream)


def _open(descriptor: int) -> InputContainer:
    """Open by descriptor: by name, an extension can turn a text into samples, and a colon a folder into a protocol."""
    options = {"fd": str(descriptor), "protocol_whitelist": "fd"}
    try:
        return av.open("fd:", options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise _refused(error) from error


def _refused(error: av.FFmpegError) -> AudioDecodeError:
    return AudioDecodeError(rejects.AUDIO_UNDECODABLE, one_line(error.strerror or type(error).__name__))


class FfmpegSound:
    """A file that FFmpeg opened; see ``reading.Sound``. Its first frame tells the rate, and when the sound starts."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._container = container
        self._stream = stream
        self._error: av.FFmpegError | None = None
        self._opening = self._decoded()
        first = next(self._opening, None)
        if first is None:
            raise self._soundless()
        self._first = first
        self.rate: int = first.sample_rate
        self.frames: int = int(self._seconds() * self.rate)

    def _soundless(self) -> AudioDecodeError:
        if self._error is None:
            return AudioDecodeError(rejects.AUDIO_EMPTY, "0.000 s of sound")
        return _refused(self._error)

    def _seconds(self) -> Fraction:
        if self._stream.duration and self._stream.time_base:
            return max(self._stream.duration * self._stream.time_base, Fraction(0))
        return Fraction(max(self._container.duration or 0, 0), av.time_base)

    def read_at(self, span: Span) -> Signal:
        """Decode a span; shorter where the file ends, and empty where there is no telling the time."""
        start = _time(self._first)
        if start is None or not self._seek(max(start, start + Fraction(span.start, self.rate) - WARM_UP)):
            return np.zeros(0, np.float32)
        frames = self._decoded()
        first = next(frames, None)
        time = _time(first)
        if first is None or time is None or time > start + Fraction(span.start, self.rate) + LATE:
            return np.zeros(0, np.float32)
        skipped = max(0, span.start - round((time - start) * self.rate))
        return cut(self._mono(chain([first], frames)), [Span(skipped, span.length)])[0]

    def _seek(self, time: Fraction) -> bool:
        """Go to the last packet that starts by then."""
        try:
            self._container.seek(int(time / (self._stream.time_base or 1)), stream=self._stream)
        except MemoryError:
            raise
        except av.FFmpegError:
            return False
        return True

    def blocks(self) -> Iterator[Signal]:
        """Decode to the end, and past what does not decode."""
        return self._mono(chain([self._first], self._opening))

    def _mono(self, frames: Iterable[AudioFrame]) -> Iterator[Signal]:
        """Mix frames down, up to where the sample rate changes."""
        for frame in frames:
            if frame.sample_rate != self.rate:
                return
            yield mixed_down(frame)

    def _decoded(self) -> Iterator[AudioFrame]:
        """Decode from where the container stands; a packet that is damaged costs itself."""
        try:
            for packet in self._container.demux(self._stream):
                yield from self._frames(packet)
        except MemoryError:
            raise
        except av.FFmpegError as error:  # the container itself is damaged here
            self._error = error

    def _frames(self, packet: "Packet[AudioStream]") -> list[AudioFrame]:
        try:
            return packet.decode()
        except MemoryError:
            raise
        except av.FFmpegError as error:
            self._error = error
            return []


def _time(frame: AudioFrame | None) -> Fraction | None:
    """When a frame starts, in seconds, if that is known."""
    return frame.pts * frame.time_base if frame and frame.pts is not None and frame.time_base else None


def mixed_down(frame: AudioFrame) -> Signal:
    """Average the channels of a frame of any sample format; full scale becomes 1."""
    sample_format = frame.format.name.removesuffix("p")  # p is for planar: a row a channel
    if sample_format not in FULL_SCALE:
        raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, f"samples of the format {sample_format}")
    samples = frame.to_ndarray()
    channels = samples if frame.format.is_planar else samples.reshape(-1, len(frame.layout.channels)).T
    mono: Signal = np.ascontiguousarray(channels, np.float32).mean(axis=0)
    silence = FULL_SCALE["u8"] if sample_format == "u8" else 0
    return (mono - silence) / np.float32(FULL_SCALE[sample_format])
