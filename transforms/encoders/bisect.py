"""Encode a batch of which some input may break the encoder: by halves, until what breaks it stands alone."""

import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pyarrow as pa

from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.tables.rejects import ENCODER_FAILED, OUT_OF_MEMORY
from tracktokens.transforms.encoders.base import Encoded, Failure, LoadedEncoder

Result = TypeVar("Result")

_NO_MEMORY = ("can't allocate memory", "Failed to allocate memory")
"""What torch says on a CPU, and ONNX Runtime."""

_logger = logging.getLogger(__name__)


def encode_by_bisection(encoder: LoadedEncoder, inputs: pa.StringArray) -> Encoded:
    """Encode inputs; where that raises, halve them until the input that is to blame stands alone, and is a failure.

    Raises:
        TracktokensError: the encoder is not usable as it is set up; no input is to blame for that.
        Exception: what the encoder raises when it is broken: its probe says so, or, where it has none, every one of
            several inputs fails.
    """
    try:
        return encoder.encode(inputs)
    except TracktokensError:
        raise
    except Exception as error:  # the code of others, on inputs that nobody foresaw: any type
        known_to_work = encoder.probe()
        parts = _halves(encoder, inputs, error)
        failed = sum(len(part.failures) for part in parts)
        if failed == len(inputs) > 1 and not known_to_work:
            raise
        return _joined(parts)


def _halves(encoder: LoadedEncoder, inputs: pa.StringArray, error: Exception) -> list[Encoded]:
    """Encode the two halves of inputs that raised an error together, each by halves again; a single one has failed."""
    if len(inputs) == 1:
        return [_failed(inputs[0].as_py(), error)]
    middle = len(inputs) // 2
    parts: list[Encoded] = []
    for half in (inputs[:middle], inputs[middle:]):
        try:
            parts.append(encoder.encode(half))
        except Exception as raised:
            parts.extend(_halves(encoder, half, raised))
    return parts


def _failed(text: str, error: Exception) -> Encoded:
    reason = OUT_OF_MEMORY if is_out_of_memory(error) else ENCODER_FAILED
    _logger.warning("an input of %d characters cannot be encoded: %r", len(text), error)
    return Encoded(np.zeros((1, 0), np.float32), {0: Failure(reason, repr(error))})


def _joined(parts: list[Encoded]) -> Encoded:
    """Put the results of parts of a batch one after the other."""
    dim = max(1, *(part.vectors.shape[1] for part in parts))
    vectors = [part.vectors if part.vectors.shape[1] else np.zeros((len(part.vectors), dim)) for part in parts]
    starts = np.cumsum([0, *(len(part.vectors) for part in parts)])
    failures = {
        int(start) + row: failure
        for start, part in zip(starts, parts, strict=False)
        for row, failure in part.failures.items()
    }
    joined = np.concatenate(vectors).astype(np.float32, copy=False)
    return Encoded(joined, failures, sum(part.decoding_seconds for part in parts))


def with_smaller_batches(run: Callable[[int], Result], batch_size: int) -> Result:
    """Call ``run`` with a batch size, and with half of it as long as memory runs out.

    Raises:
        MemoryError: even a batch of one does not fit; so does torch's own error.
    """
    while True:
        try:
            return run(batch_size)
        except Exception as error:
            if batch_size == 1 or not is_out_of_memory(error):
                raise
        batch_size //= 2
        _free_cached_memory()
        _logger.warning("out of memory: goes on with batches of %d", batch_size)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, a GPU's, or one of those that have no type of their own."""
    if isinstance(error, MemoryError):
        return True
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _NO_MEMORY)


def _free_cached_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
