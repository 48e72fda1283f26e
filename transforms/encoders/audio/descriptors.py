"""The default audio encoder: descriptors of timbre, harmony and rhythm over a few windows, without weights."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.errors import TracktokensError
from tracktokens.transforms.audio import DECODING_VERSION, DecodedFile, Signal, WindowReader, Windows, read_windows
from tracktokens.transforms.encoders.audio.descriptor_features import (
    DIM,
    LAYOUT,
    LAYOUT_VERSION,
    FilterBanks,
    describe_with,
    filter_banks,
)
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder, encoded


@dataclass(frozen=True)
class DescriptorEncoder(Encoder):
    """Describes audio files with ``descriptor_features``.

    Attributes:
        root: folder that audio paths are relative to, local or ``scheme://...``. It is not in the identity, because
            moving a catalog does not change vectors.
        windows: parts of a file that are described.
    """

    standardize: ClassVar[bool] = True

    root: str
    windows: Windows = field(default_factory=Windows)

    def identity(self) -> Mapping[str, object]:
        """Return name, layout, decoding, windows, and the librosa release series, which defines the filter banks."""
        return {
            "name": "librosa-descriptors",
            "version": LAYOUT_VERSION,
            "layout": [list(block) for block in LAYOUT],
            "decoding": DECODING_VERSION,
            "windows": asdict(self.windows),
            "librosa": ".".join(version("librosa").split(".")[:2]),
        }

    def check(self) -> None:
        """Check nothing: it has no model."""

    def load(self, threads: int) -> "LoadedDescriptorEncoder":
        """Compute the filter banks.

        Raises:
            ValueError: the windows' sample rate is too low for the descriptors.
        """
        return LoadedDescriptorEncoder(self.root, self.windows, threads)


@dataclass(frozen=True)
class DescribeFile:
    """Reads and describes a file, in a decoder process.

    A decoder process does not share a GIL with other threads, and sends 150 values instead of 30 seconds of sound. The
    filter banks are sent to it, because importing librosa takes several times longer than starting a decoder.
    """

    banks: FilterBanks

    def __call__(self, path: str, windows: Windows) -> list[Signal]:
        """Return the vector of a local file, and the seconds that decoding took, in an array of shape (1,).

        Raises:
            AudioDecodeError: the file has no usable window; the error has the reason.
        """
        start = time.monotonic()
        signals = read_windows(path, windows)
        seconds = np.array([time.monotonic() - start], np.float32)
        return [describe_with(self.banks, signals), seconds]


class LoadedDescriptorEncoder(LoadedEncoder):
    """Describes up to ``threads`` files at a time, each in a decoder process."""

    def __init__(self, root: str, windows: Windows, threads: int) -> None:
        self._root = root.rstrip("/")
        self._reader = WindowReader(windows, threads, decode=DescribeFile(filter_banks(windows.sample_rate)))

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Describe audio files, by their paths below the root: float32 vectors of shape (files, ``DIM``)."""
        paths = (f"{self._root}/{path}" for path in inputs.to_pylist())
        results = [_vector_and_seconds(decoded) for decoded in self._reader.read_all(paths)]
        return encoded([vector for vector, _ in results], DIM, sum(seconds for _, seconds in results))

    def probe(self) -> bool:
        """Describe a second of noise.

        Raises:
            TracktokensError: it cannot be described.
        """
        import soundfile as sf

        with tempfile.NamedTemporaryFile(prefix="noise-", suffix=".wav") as file:
            sf.write(file.name, np.random.default_rng(0).uniform(-0.5, 0.5, 44_100), 44_100)
            vector, _ = _vector_and_seconds(self._reader.read(file.name))
        if isinstance(vector, Failure):
            raise TracktokensError(f"a second of noise cannot be described: {vector.detail}")
        return True


def _vector_and_seconds(decoded: DecodedFile) -> tuple[npt.NDArray[np.float32] | Failure, float]:
    """Return the vector of :class:`DescribeFile` or the failure, and the seconds that decoding took."""
    if isinstance(decoded.windows, Failure):
        return decoded.windows, decoded.seconds
    vector, seconds = decoded.windows
    return vector, float(seconds[0])
