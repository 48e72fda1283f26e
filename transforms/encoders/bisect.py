"""Encode a batch in which some input may break the encoder: bisect the batch until that input is alone."""

import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pyarrow as pa

from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.tables.rejects import ENCODER_FAILED, ENCODER_UNAVAILABLE, OUT_OF_MEMORY
from tracktokens.transforms.encoders.base import Encoded, Failure, LoadedEncoder

Result = TypeVar("Result")

_OUT_OF_MEMORY_MESSAGES = ("can't allocate memory", "Failed to allocate memory")
"""Parts of the messages of torch on a CPU and of ONNX Runtime."""

_logger = logging.getLogger(__name__)


def encode_by_bisection(encoder: LoadedEncoder, inputs: pa.StringArray) -> Encoded:
    """Encode inputs; if that raises, bisect them until the input that raises is alone, and report it as a failure.

    Raises:
        TracktokensError: the encoder cannot be used as configured; no input is the cause.
        Exception: an error of a broken encoder: its probe raises, or it has no probe and all of several inputs fail.
    """
    try:
        return encoder.encode(inputs)
    except TracktokensError:
        raise
    except Exception as error:  # third-party code on unforeseen inputs: any type
        known_to_work = encoder.probe()
        parts = _bisect(encoder, inputs, error)
        failed = sum(len(part.failures) for part in parts)
        if failed == len(inputs) > 1 and not known_to_work:
            raise
        return _concatenate(parts)


def _bisect(encoder: LoadedEncoder, inputs: pa.StringArray, error: Exception) -> list[Encoded]:
    """Split inputs that raised an error in two and encode each part, recursively; a single input becomes a failure."""
    if len(inputs) == 1:
        return [_failed(inputs[0].as_py(), error)]
    middle = len(inputs) // 2
    parts: list[Encoded] = []
    for half in (inputs[:middle], inputs[middle:]):
        try:
            parts.append(encoder.encode(half))
        except TracktokensError:
            raise
        except Exception as half_error:
            parts.extend(_bisect(encoder, half, half_error))
    return parts


def _failed(text: str, error: Exception) -> Encoded:
    reason = _reason(error)
    _logger.warning("an input of %d characters cannot be encoded: %r", len(text), error)
    return Encoded(np.zeros((1, 0), np.float32), {0: Failure(reason, repr(error))})


def _reason(error: Exception) -> str:
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    return ENCODER_UNAVAILABLE if isinstance(error, OSError) else ENCODER_FAILED  # a disk, a network, a permission


def _concatenate(parts: list[Encoded]) -> Encoded:
    """Concatenate the results of consecutive parts of a batch."""
    dim = max(1, *(part.vectors.shape[1] for part in parts))
    vectors = [part.vectors if part.vectors.shape[1] else np.zeros((len(part.vectors), dim)) for part in parts]
    starts = np.cumsum([0, *(len(part.vectors) for part in parts)])
    failures = {
        int(start) + row: failure
        for start, part in zip(starts, parts, strict=False)
        for row, failure in part.failures.items()
    }
    concatenated = np.concatenate(vectors).astype(np.float32, copy=False)
    return Encoded(concatenated, failures, sum(part.decoding_seconds for part in parts))


def with_smaller_batches(run: Callable[[int], Result], batch_size: int) -> Result:
    """Call ``run`` with a batch size, and again with half of it each time memory runs out.

    Raises:
        MemoryError: a batch of one does not fit in memory. torch's own out-of-memory errors are raised as they are.
    """
    while True:
        try:
            return run(batch_size)
        except Exception as error:
            if batch_size == 1 or not is_out_of_memory(error):
                raise
        batch_size //= 2
        _free_cached_memory()
        _logger.warning("out of memory: retry with batches of %d", batch_size)


def is_out_of_memory(error: BaseException) -> bool:
    """Recognise out-of-memory errors: Python's, those of GPUs, and those that only their message identifies.

    >>> is_out_of_memory(MemoryError())
    True
    """
    if isinstance(error, MemoryError):
        return True
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(
        message in str(error) for message in _OUT_OF_MEMORY_MESSAGES
    )


def _free_cached_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
