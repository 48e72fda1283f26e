"""The default audio encoder: descriptors of timbre, harmony and rhythm over a few windows. It needs no weights."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.transforms.audio_descriptors import DIM, LAYOUT, LAYOUT_VERSION, describe, filter_banks
from tracktokens.transforms.audio_windows import DECODING_VERSION, WindowReader, Windows
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder, encoded


@dataclass(frozen=True)
class DescriptorEncoder(Encoder):
    """Describes audio files by ``transforms.audio_descriptors``.

    Attributes:
        root: folder that the paths start from, local or ``scheme://...``. Moving a catalog changes no vector, so it is
            not in the identity.
        windows: which parts of a file are heard.
    """

    standardize: ClassVar[bool] = True

    root: str
    windows: Windows = field(default_factory=Windows)

    def identity(self) -> Mapping[str, object]:
        """Return name, layout, decoding, windows, and the librosa series that defines the filter banks."""
        return {
            "name": "librosa-descriptors",
            "version": LAYOUT_VERSION,
            "layout": [list(block) for block in LAYOUT],
            "decoding": DECODING_VERSION,
            "windows": asdict(self.windows),
            "librosa": ".".join(version("librosa").split(".")[:2]),
        }

    def load(self, threads: int) -> "LoadedDescriptorEncoder":
        """Compute the filter banks.

        Raises:
            ValueError: the windows' sample rate is too low for the descriptors.
        """
        filter_banks(self.windows.sample_rate)
        return LoadedDescriptorEncoder(self.root, self.windows, threads)


class LoadedDescriptorEncoder(LoadedEncoder):
    """Decodes and describes up to ``threads`` files at a time: each thread waits for its decoder, then describes."""

    def __init__(self, root: str, windows: Windows, threads: int) -> None:
        self._root = root.rstrip("/")
        self._sample_rate = windows.sample_rate
        self._threads = threads
        self._reader = WindowReader(windows, threads)

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Describe audio files, given by their paths below the root: float32 vectors of ``DIM`` values."""
        with ThreadPoolExecutor(self._threads, thread_name_prefix="descriptors") as pool:
            described = list(pool.map(self._encode_file, inputs.to_pylist()))
        return encoded([vector for vector, _ in described], DIM, sum(seconds for _, seconds in described))

    def probe(self) -> bool:
        """Describe a second of noise."""
        noise = np.random.default_rng(0).standard_normal(self._sample_rate, np.float32)
        describe([noise], self._sample_rate)
        return True

    def _encode_file(self, path: str) -> tuple[npt.NDArray[np.float32] | Failure, float]:
        """Describe one file; tell for how many seconds a decoder was busy with it, too."""
        read = self._reader.read(f"{self._root}/{path}")
        if isinstance(read.windows, Failure):
            return read.windows, read.seconds
        return describe(read.windows, self._sample_rate), read.seconds
