"""The common part of the CLAP encoders: a network embeds a few windows of a file, and their vectors are averaged."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.tables.rejects import NOT_FINITE
from tracktokens.transforms.audio import Signal, WindowReader, Windows
from tracktokens.transforms.encoders.base import Encoded, Failure, LoadedEncoder, encoded
from tracktokens.transforms.encoders.bisect import with_smaller_batches
from tracktokens.transforms.encoders.devices import CPU
from tracktokens.transforms.encoders.forward_passes import map_passes

if TYPE_CHECKING:
    import torch

BATCH_SIZE = 8
"""Windows per forward pass."""


Trunk = Callable[["torch.Tensor"], "torch.Tensor"]
"""Nearly all of a network: from spectrograms, one per window, to embeddings of shape (windows, values)."""


class ClapNetwork(ABC):
    """The audio half of a CLAP in memory, shared by all encoders of this process that use it.

    Attributes:
        windows: parts of a file that it embeds.
        dim: values per vector.
        device: where it runs.
        trunk: its trunk in torch; None where it cannot be replaced.
        lock: held while encoders use it: one has all threads.
    """

    def __init__(self, windows: Windows, dim: int, device: "torch.device", trunk: "torch.nn.Module | None") -> None:
        self.windows = windows
        self.dim = dim
        self.device = device
        self.trunk = trunk
        self.lock = threading.Lock()

    @abstractmethod
    def use_trunk(self, trunk: Trunk | None) -> None:
        """Use another implementation of the trunk from now on; None for the one in torch."""

    @abstractmethod
    def embed(self, windows: Sequence[Signal]) -> npt.NDArray[np.float32]:
        """Run the network on windows in one forward pass: unit vectors, float32 of shape (windows, ``dim``).

        Implementations are thread-safe.
        """


@dataclass
class _DecodeSummary:
    """Seconds that decoders worked on the files so far, and the failures by row."""

    seconds: float = 0.0
    failures: dict[int, Failure] = field(default_factory=dict)


class LoadedClapEncoder(LoadedEncoder):
    """A network with a window reader. Decoder processes read ahead while the network computes."""

    def __init__(self, network: ClapNetwork, root: str, batch_size: int, threads: int) -> None:
        """Create the window reader; decoder processes start on the first file.

        Args:
            network: embeds the windows.
            root: folder that audio paths are relative to, local or ``scheme://...``.
            batch_size: windows per forward pass.
            threads: files decoded at a time and, on a CPU, forward passes at a time.
        """
        self.network = network
        self._root = root.rstrip("/")
        self._batch_size = batch_size
        self._passes = threads if network.device.type == CPU else 1
        self._reader = WindowReader(network.windows, threads)

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode audio files, by their paths below the root: unit vectors, float32 of shape (files, dim).

        A file's vector is the mean of its windows' unit vectors, scaled to unit length. In a different batch it may
        differ by rounding (about 1e-7). It does not depend on the number of threads.
        """
        sums = np.zeros((len(inputs), self.network.dim), np.float32)
        summary = _DecodeSummary()
        windows = self._windows(inputs.to_pylist(), summary)
        while batch := list(islice(windows, self._batch_size * self._passes)):
            np.add.at(sums, [row for row, _ in batch], self.embed([window for _, window in batch]))
        vectors = [summary.failures[row] if row in summary.failures else _unit(total) for row, total in enumerate(sums)]
        return encoded(vectors, self.network.dim, summary.seconds)

    def embed(self, windows: Sequence[Signal]) -> npt.NDArray[np.float32]:
        """Run the network on windows: float32 of shape (windows, dim).

        If memory runs out, the batch size is reduced for all later calls too.
        """

        def run(size: int) -> npt.NDArray[np.float32]:
            batches = [windows[start : start + size] for start in range(0, len(windows), size)]
            parts = map_passes(self.network.embed, batches, self._passes)
            self._batch_size = size
            return np.concatenate(parts)

        with self.network.lock:
            return with_smaller_batches(run, self._batch_size)

    def probe(self) -> bool:
        """Embed a second of noise."""
        noise = 0.1 * np.random.default_rng(0).standard_normal(self.network.windows.sample_rate, np.float32)
        self.embed([noise])
        return True

    def _windows(self, paths: list[str], summary: _DecodeSummary) -> Iterator[tuple[int, Signal]]:
        """Yield each window with its file's row; add failures and decoding time to ``summary``."""
        for row, decoded in enumerate(self._reader.read_all(f"{self._root}/{path}" for path in paths)):
            summary.seconds += decoded.seconds
            if isinstance(decoded.windows, Failure):
                summary.failures[row] = decoded.windows
            else:
                yield from ((row, window) for window in decoded.windows)


def _unit(total: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | Failure:
    length = np.linalg.norm(total)
    if not 0 < length < np.inf:  # false for NaN
        return Failure(NOT_FINITE, "the model returned values that are not finite, or only zeros")
    return np.asarray(total / length, np.float32)
