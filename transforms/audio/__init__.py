"""Decoding of audio files: a few fixed windows per file, mixed down to mono and resampled.

``windows`` places the windows on a file. ``decode`` reads them, with ``libsndfile`` first and ``ffmpeg`` for what
libsndfile cannot read. ``sandbox`` runs ``decode`` in child processes (``decoder_worker``), so that a file that crashes
its decoder costs one track. ``errors`` holds the error of a file that has no usable window.
"""

from tracktokens.transforms.audio.decode import DECODING_VERSION, read_windows
from tracktokens.transforms.audio.errors import AudioDecodeError
from tracktokens.transforms.audio.sandbox import DecodedFile, DecodeLimits, WindowReader
from tracktokens.transforms.audio.windows import Signal, Span, Windows

__all__ = [
    "DECODING_VERSION",
    "AudioDecodeError",
    "DecodeLimits",
    "DecodedFile",
    "Signal",
    "Span",
    "WindowReader",
    "Windows",
    "read_windows",
]
