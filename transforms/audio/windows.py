"""Window placement: the parts of a file that are decoded.

Decoding three windows of ten seconds costs a sixth of decoding a three-minute file, and describes it about as well.

A file of ``D`` seconds has ``k = clip(floor(D / seconds), 1, count)`` windows, centred at ``D (2i + 1) / 2k`` for
``i = 0 .. k - 1``: three windows are centred at 1/6, 3/6 and 5/6 of the file. Windows do not overlap, and all have the
same length. A file shorter than one window is itself the only window. Nothing is padded with silence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float32]
"""Mono samples, shape (samples,); full scale is 1."""

MIN_SECONDS = 0.1
"""Windows with less sound than this are dropped: they are too short for a meaningful spectrum."""

VALID_RATES = range(1_000, 1_000_001)
"""Sample rates in Hz that are accepted. Rates outside this range come from damaged headers, and resampling from them
would take gigabytes."""


class Span(NamedTuple):
    """Part of a file, in frames at the file's own sample rate."""

    start: int
    length: int


@dataclass(frozen=True)
class Windows:
    """Number, length and sample rate of the windows of a file.

    Attributes:
        count: windows of a file that is long enough; at least 1.
        seconds: length of a window; at least ``MIN_SECONDS``.
        sample_rate: rate in Hz that windows are resampled to.
    """

    count: int = 3
    seconds: float = 10.0
    sample_rate: int = 22_050

    def __post_init__(self) -> None:
        if self.count < 1 or not MIN_SECONDS <= self.seconds < float("inf") or self.sample_rate not in VALID_RATES:
            raise ValueError(
                f"windows need a count of at least 1, at least {MIN_SECONDS} seconds and a sample rate of "
                f"{VALID_RATES.start:,} to {VALID_RATES.stop - 1:,} Hz, not {self}"
            )

    def spans(self, frames: int, rate: int) -> list[Span]:
        """Place the windows on a file of ``frames`` frames at ``rate`` Hz, in order; an empty file has none.

        >>> Windows(count=3, seconds=10.0).spans(frames=18_000, rate=100)
        [Span(start=2500, length=1000), Span(start=8500, length=1000), Span(start=14500, length=1000)]
        >>> Windows(count=3, seconds=10.0).spans(frames=999, rate=100)
        [Span(start=0, length=999)]
        """
        length = min(frames, round(self.seconds * rate))
        if length <= 0:
            return []
        count = min(self.count, frames // length)
        return [Span(frames * (2 * i + 1) // (2 * count) - length // 2, length) for i in range(count)]


def extract_spans(blocks: Iterable[Signal], spans: Sequence[Span]) -> list[Signal]:
    """Extract spans from a signal that arrives in blocks; spans past its end are truncated.

    Args:
        blocks: consecutive parts of the signal, from its start. No block is read past the last span.
        spans: parts to extract, in order and without overlap.

    Returns:
        One signal per span, float32 of shape (samples,).

    >>> extract_spans(iter([np.float32([0, 1, 2]), np.float32([3, 4])]), [Span(1, 3), Span(4, 9)])
    [array([1., 2., 3.], dtype=float32), array([4.], dtype=float32)]
    """
    parts: list[list[Signal]] = [[] for _ in spans]
    position = 0
    for block in blocks:
        for part, span in zip(parts, spans, strict=True):
            inside = block[max(span.start - position, 0) : max(span.start + span.length - position, 0)]
            if len(inside):
                part.append(inside)
        position += len(block)
        if not spans or position >= spans[-1].start + spans[-1].length:
            break
    return [np.concatenate([np.zeros(0, np.float32), *part]) for part in parts]
