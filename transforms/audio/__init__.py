"""Audio files in: a few fixed windows of each file, decoded by seeking, mixed down to mono and resampled.

``placement`` says which parts of a file are read, ``reading`` reads them, by ``libsndfile`` or else by ``ffmpeg``, and
``isolation`` does so in other processes (``decoder_process``), so that a file that breaks its decoder costs one track.
"""

from tracktokens.transforms.audio.decode import DECODING_VERSION, read_windows
from tracktokens.transforms.audio.errors import AudioDecodeError
from tracktokens.transforms.audio.sandbox import Limits, Reading, WindowReader
from tracktokens.transforms.audio.windows import Signal, Span, Windows

__all__ = [
    "DECODING_VERSION",
    "AudioDecodeError",
    "Limits",
    "Reading",
    "Signal",
    "Span",
    "WindowReader",
    "Windows",
    "read_windows",
]
