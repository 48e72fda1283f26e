"""The interface of the decoding libraries: an open sound file."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from tracktokens.transforms.audio.windows import Signal, Span


class Sound(Protocol):
    """An open audio file, positioned at its start."""

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""

    @property
    def frames(self) -> int:
        """Number of frames that the header claims; 0 if it claims none."""

    def read_at(self, span: Span) -> Signal:
        """Seek and decode to mono; shorter than the span if the file ends, is damaged or does not allow seeking."""

    def blocks(self) -> Iterator[Signal]:
        """Decode from the start to mono, in blocks; call it before any seek.

        Raises:
            AudioDecodeError: nothing decodes; the error has the reason.
        """


SoundOpener = Callable[[str], AbstractContextManager[Sound]]
"""Opens a file; raises :class:`AudioDecodeError` if it cannot."""


def resample(signal: Signal, rate: int, target: int) -> Signal:
    """Convert a mono signal from one sample rate to another, in Hz."""
    import soxr

    if rate == target:
        return signal
    resampled: Signal = soxr.resample(signal, rate, target, quality="HQ")
    return resampled
