"""Which parts of a file are heard.

Reading three windows of ten seconds costs a sixth of reading a three-minute file, and tells about the same.

A file of ``D`` seconds gives ``k = clip(floor(D / seconds), 1, count)`` windows, centred at ``D (2i + 1) / 2k`` for
``i = 0 .. k - 1``: three windows lie round 1/6, 3/6 and 5/6 of the file. Windows never overlap, and all have the same
length; a file shorter than one window is itself the only window. Nothing is padded with silence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float32]
"""Mono samples, shape (samples,); full scale is 1."""

MIN_SECONDS = 0.1
"""A window with less sound than this is left out: it holds no spectrum worth the name."""

RATES = range(1_000, 1_000_001)
"""Sample rates in Hz that a file may claim. Outside lie damaged headers, and resampling those would take gigabytes."""


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


def cut(blocks: Iterable[Signal], spans: Sequence[Span]) -> list[Signal]:
    """Cut spans that do not overlap out of a signal that comes in blocks; where it ends early, so do they."""
    pieces: list[list[Signal]] = [[] for _ in spans]
    position = 0
    for block in blocks:
        for piece, span in zip(pieces, spans, strict=True):
            inside = block[max(span.start - position, 0) : max(span.start + span.length - position, 0)]
            if len(inside):
                piece.append(inside)
        position += len(block)
        if not spans or position >= spans[-1].start + spans[-1].length:
            break
    return [np.concatenate([np.zeros(0, np.float32), *piece]) for piece in pieces]
