"""What an encoder is: a small description that travels with the job, and the loaded thing that makes vectors."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.failure import Failure

__all__ = ["Encoded", "Encoder", "Failure", "LoadedEncoder", "encoded", "identity_hash"]


@dataclass(frozen=True)
class Encoded:
    """What an encoder made of a batch of inputs.

    Attributes:
        vectors: float32 array of shape (inputs, dim). Rows of failed inputs are zero.
        failures: row number to failure, for the inputs of which no vector could be made.
        decoding_seconds: time that decoders were busy with the inputs, summed over all that ran beside each other.
    """

    vectors: npt.NDArray[np.float32]
    failures: Mapping[int, Failure]
    decoding_seconds: float = 0.0


class LoadedEncoder(ABC):
    """An encoder with its weights in memory, one copy a worker process."""

    @abstractmethod
    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode inputs, one vector each.

        An input that the encoder knows it cannot encode is a failure. One that makes it raise costs its batch a second
        try: :func:`tracktokens.transforms.encoders.bisect.encode_by_bisection` finds it.
        """

    def probe(self) -> bool:
        """Encode something that always can be, after an input raised: to tell a bad input from a broken encoder.

        Returns:
            Whether the encoder is known to work. By default that is not known.

        Raises:
            Exception: whatever a broken encoder raises.
        """
        return False


class Encoder(ABC):
    """A picklable description of an encoder: cheap to make and to send, loaded where it is used.

    Attributes:
        standardize: whether the codebook standardises the vectors, because their dimensions have units of their own;
            otherwise it scales them to unit length.
    """

    standardize: ClassVar[bool] = False

    @abstractmethod
    def identity(self) -> Mapping[str, object]:
        """Return all that changes the vectors (name, hash of the weights, preprocessing, versions), as JSON values."""

    @abstractmethod
    def load(self, threads: int) -> LoadedEncoder:
        """Load the weights, to run on at most ``threads`` CPU threads."""

    @property
    def encoder_id(self) -> str:
        """Name of the vectors that this encoder makes: 12 hex digits, a hash of :meth:`identity`."""
        return identity_hash(self.identity())


def identity_hash(identity: Mapping[str, object]) -> str:
    """Hash a JSON-able description to 12 hex digits."""
    canonical = json.dumps(identity, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode("utf-8"), digest_size=6).hexdigest()


def encoded(vectors: Sequence[npt.NDArray[np.float32] | Failure], dim: int, decoding_seconds: float = 0.0) -> Encoded:
    """Collect per-input results, vectors of ``dim`` values or failures, in their order."""
    stacked = np.zeros((len(vectors), dim), np.float32)
    failures: dict[int, Failure] = {}
    for row, result in enumerate(vectors):
        if isinstance(result, Failure):
            failures[row] = result
        else:
            stacked[row] = result
    return Encoded(stacked, failures, decoding_seconds)
