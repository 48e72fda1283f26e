"""What every CLAP makes of a file: its network hears a few windows, and their vectors are averaged."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.tables.rejects import NOT_FINITE
from tracktokens.transforms.audio import Signal, WindowReader, Windows
from tracktokens.transforms.encoders.base import Encoded, Failure, LoadedEncoder, encoded
from tracktokens.transforms.encoders.bisect import with_smaller_batches

BATCH_SIZE = 8
"""Windows in one forward pass."""


class ClapNetwork(ABC):
    """The audio half of a CLAP in memory, for every encoder of this process that names it.

    Attributes:
        windows: which parts of a file it hears.
        dim: values of a vector.
    """

    def __init__(self, windows: Windows, dim: int) -> None:
        self.windows = windows
        self.dim = dim

    @abstractmethod
    def embed(self, windows: Sequence[Signal]) -> npt.NDArray[np.float32]:
        """Run the network on windows in one forward pass: unit vectors, float32 (windows, ``dim``).

        It is safe to call from several threads.
        """


@dataclass
class _Heard:
    """What has come of the files so far: seconds that decoders were busy, and the rows without windows."""

    seconds: float = 0.0
    failures: dict[int, Failure] = field(default_factory=dict)


class LoadedClapEncoder(LoadedEncoder):
    """A network, and the windows around it. Decoder processes read ahead while the network works."""

    def __init__(self, network: ClapNetwork, root: str, batch_size: int, threads: int) -> None:
        """Set up.

        Args:
            network: hears the windows.
            root: folder that the audio paths start from, local or ``scheme://...``.
            batch_size: windows in one forward pass.
            threads: files decoded at a time.
        """
        self.network = network
        self._root = root.rstrip("/")
        self._batch_size = batch_size
        self._reader = WindowReader(network.windows, threads)

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode audio files, given by their paths below the root: unit vectors, float32 of shape (files, dim).

        A file's vector is the mean of its windows' unit vectors, brought back to unit length. In another batch it may
        differ by rounding (about 1e-7).
        """
        sums = np.zeros((len(inputs), self.network.dim), np.float32)
        heard = _Heard()
        windows = self._windows(inputs.to_pylist(), heard)
        while batch := list(islice(windows, self._batch_size)):
            np.add.at(sums, [row for row, _ in batch], self.embed([window for _, window in batch]))
        vectors = [heard.failures[row] if row in heard.failures else _unit(total) for row, total in enumerate(sums)]
        return encoded(vectors, self.network.dim, heard.seconds)

    def embed(self, windows: Sequence[Signal]) -> npt.NDArray[np.float32]:
        """Run the network on windows, on fewer at a time from now on if memory runs out: float32 (windows, dim)."""

        def run(size: int) -> npt.NDArray[np.float32]:
            parts = [self.network.embed(windows[start : start + size]) for start in range(0, len(windows), size)]
            self._batch_size = size
            return np.concatenate(parts)

        return with_smaller_batches(run, self._batch_size)

    def probe(self) -> bool:
        """Embed a second of noise."""
        noise = 0.1 * np.random.default_rng(0).standard_normal(self.network.windows.sample_rate, np.float32)
        self.embed([noise])
        return True

    def _windows(self, paths: list[str], heard: _Heard) -> Iterator[tuple[int, Signal]]:
        """Yield each window with its file's row; what else comes of a file goes into ``heard``."""
        for row, read in enumerate(self._reader.read_all(f"{self._root}/{path}" for path in paths)):
            heard.seconds += read.seconds
            if isinstance(read.windows, Failure):
                heard.failures[row] = read.windows
            else:
                yield from ((row, window) for window in read.windows)


def _unit(total: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | Failure:
    length = np.linalg.norm(total)
    if not 0 < length < np.inf:  # false of NaN
        return Failure(NOT_FINITE, "the model gave values that are not finite, or only zeros")
    return np.asarray(total / length, np.float32)
