"""The encoder interface: a small picklable description that travels with a job, and the loaded model it creates."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.errors import TracktokensError, UsageError
from tracktokens.schemas.failure import Failure

__all__ = ["Encoded", "Encoder", "Failure", "LoadedEncoder", "encoded", "identity_hash"]


@dataclass(frozen=True)
class Encoded:
    """Result of encoding a batch of inputs.

    Attributes:
        vectors: float32 array of shape (inputs, dim). Rows of failed inputs are zero.
        failures: row number to failure, for the inputs that have no vector.
        decoding_seconds: time that decoders worked on the inputs, summed over parallel decoders.
    """

    vectors: npt.NDArray[np.float32]
    failures: Mapping[int, Failure]
    decoding_seconds: float = 0.0


class LoadedEncoder(ABC):
    """An encoder with its weights in memory, one copy per worker process."""

    @abstractmethod
    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode inputs, one vector each.

        Report an input that cannot be encoded as a failure. If ``encode`` raises,
        :func:`tracktokens.transforms.encoders.bisect.encode_by_bisection` encodes parts of the batch again to find the
        input that causes it.
        """

    def probe(self) -> bool:
        """Encode a known good input, after an input raised, to distinguish a bad input from a broken encoder.

        Returns:
            True if the encoder is known to work. The default returns False: not known.

        Raises:
            Exception: any error of a broken encoder.
        """
        return False


class Encoder(ABC):
    """A picklable description of an encoder: cheap to create and to send, loaded where it is used.

    Attributes:
        standardize: True if the codebook standardises the vectors because their dimensions have different units; False
            if it scales them to unit length.
    """

    standardize: ClassVar[bool] = False

    @abstractmethod
    def identity(self) -> Mapping[str, object]:
        """Return all that changes the vectors (name, hash of the weights, preprocessing, versions), as JSON values."""

    @abstractmethod
    def load(self, threads: int) -> LoadedEncoder:
        """Load the weights, to run on at most ``threads`` CPU threads."""

    def check(self) -> None:
        """Check before a job that the encoder on this machine loads and encodes. The default loads it, and probes it.

        Raises:
            UsageError: it does not.
            TracktokensError: a more specific error of the encoder.
        """
        try:
            self.load(threads=1).probe()
        except TracktokensError:
            raise
        except Exception as error:  # third-party code: any type
            message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise UsageError(f"the encoder {type(self).__name__} cannot be used ({message})") from error

    @property
    def encoder_id(self) -> str:
        """Id of the encoder's vectors: 12 hex digits, a hash of :meth:`identity`."""
        return identity_hash(self.identity())


def identity_hash(identity: Mapping[str, object]) -> str:
    """Hash a JSON-able description to 12 hex digits of BLAKE2b; the order of the keys does not matter.

    >>> identity_hash({"name": "letters", "version": 1})
    '859511d53758'
    >>> identity_hash({"version": 1, "name": "letters"})
    '859511d53758'
    """
    canonical = json.dumps(identity, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode("utf-8"), digest_size=6).hexdigest()


def encoded(vectors: Sequence[npt.NDArray[np.float32] | Failure], dim: int, decoding_seconds: float = 0.0) -> Encoded:
    """Collect the results of single inputs, vectors of ``dim`` values or failures, in their order.

    >>> batch = encoded([np.float32([1, 2]), Failure("audio_empty", "0 bytes")], dim=2)
    >>> batch.vectors
    array([[1., 2.],
           [0., 0.]], dtype=float32)
    >>> batch.failures
    {1: Failure(reason='audio_empty', detail='0 bytes')}
    """
    stacked = np.zeros((len(vectors), dim), np.float32)
    failures: dict[int, Failure] = {}
    for row, result in enumerate(vectors):
        if isinstance(result, Failure):
            failures[row] = result
        else:
            stacked[row] = result
    return Encoded(stacked, failures, decoding_seconds)
