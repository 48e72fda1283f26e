"""Sound files through libsndfile: WAV, AIFF, FLAC, Ogg Vorbis, Opus, MP3."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import soundfile as sf

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio.errors import AudioDecodeError, one_line
from tracktokens.transforms.audio.windows import Signal, Span

NO_FRAMES = 7
"""libsndfile's error code for an MP3 without frames; its message wrongly reports that the file does not exist."""

OUT_OF_MEMORY = 17

SEEK_BLOCK = 1 << 17
SCAN_BLOCK = 1 << 12
"""Samples over all channels that are decoded per call. An error loses its whole block, so damaged files are scanned in
small blocks. Blocks also bound the memory that a file with a thousand channels takes."""


@contextmanager
def open_sound(path: str) -> Iterator["LibsndfileSound"]:
    """Open a file.

    Raises:
        AudioDecodeError: libsndfile cannot open it; the error has the reason.
    """
    try:
        sound = sf.SoundFile(os.fsencode(path))
    except sf.LibsndfileError as error:
        raise _decode_error(error) from error
    except TypeError as error:  # soundfile requires the rate and channels of *.raw
        raise AudioDecodeError(rejects.AUDIO_UNDECODABLE, "headerless samples of unknown rate") from error
    with sound:
        yield LibsndfileSound(sound)


class LibsndfileSound:
    """A ``decode.Sound`` that libsndfile opened."""

    def __init__(self, sound: sf.SoundFile) -> None:
        self._sound = sound
        self.rate: int = sound.samplerate
        self.frames: int = sound.frames

    def read_at(self, span: Span) -> Signal:
        """Decode a span; shorter if the file ends or an error occurs first."""
        blocks = [np.zeros(0, np.float32)]
        with suppress(sf.LibsndfileError):  # the caller checks the length
            self._sound.seek(span.start)
            for block in self._mono_blocks(span.length, SEEK_BLOCK):
                blocks.append(block)  # one at a time, to keep the blocks before an error
        return np.concatenate(blocks)

    def blocks(self) -> Iterator[Signal]:
        """Decode up to the end or the first error."""
        any_decoded = False
        try:
            for block in self._mono_blocks(np.iinfo(np.int64).max, SCAN_BLOCK):
                any_decoded = True
                yield block
        except sf.LibsndfileError as error:
            if not any_decoded:
                raise _decode_error(error) from error

    def _mono_blocks(self, frames: int, block_samples: int) -> Iterator[Signal]:
        """Decode up to ``frames`` frames in blocks, each mixed down to the mean of its channels."""
        size = max(1, block_samples // self._sound.channels)
        while frames > 0:
            block = self._sound.read(min(size, frames), dtype="float32", always_2d=True)
            if not len(block):
                return
            frames -= len(block)
            yield _mix_down(block)


def _decode_error(error: sf.LibsndfileError) -> Exception:
    """Convert a libsndfile error; ``str(error)`` is not used because it names the path."""
    if error.code == OUT_OF_MEMORY:
        return MemoryError()
    if error.code == NO_FRAMES:
        return AudioDecodeError(rejects.AUDIO_UNDECODABLE, "it holds no sound")
    return AudioDecodeError(rejects.AUDIO_UNDECODABLE, one_line(error.error_string) or f"error {error.code}")


def _mix_down(block: Signal) -> Signal:
    """Average the channels, the second axis; ``mean(axis=1)`` is ten times slower on so short an axis."""
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    mono /= block.shape[1]
    return mono
