"""Batches of inputs: cut for even work, and encoded to vectors and failures."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.modalities import AUDIO
from tracktokens.schemas.tables import rejects
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder
from tracktokens.transforms.encoders.bisect import encode_by_bisection
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store.records import make_vector_records

MAX_TEXTS = 2048
MAX_TEXT_BYTES = 512 * 1024
"""Limits of a batch of texts; a longer text is a batch by itself."""

MAX_FILES = 32
"""Limit of a batch of audio files."""

ENCODING = "encoding_milliseconds"
DECODING = "decoding_milliseconds"
"""Schema metadata keys and counters of the cost of encoding: time in the encoder, including waits for decoders, and
time that decoders worked. Both are summed over parallel batches."""

FLOAT16_MAX = float(np.finfo(np.float16).max)


def encoding_batches(inputs: pa.RecordBatch, modality: str) -> Iterator[pa.RecordBatch]:
    """Cut inputs into batches of even work: ``MAX_FILES`` audio files, or ``MAX_TEXTS`` texts of ``MAX_TEXT_BYTES``.

    One batch is encoded at a time and written as one file, so it bounds the work that a killed job repeats.

    >>> inputs = pa.record_batch({"key": [b"k"] * 70, "input": ["track.mp3"] * 70})
    >>> [batch.num_rows for batch in encoding_batches(inputs, "audio")]
    [32, 32, 6]
    """
    limit = MAX_FILES if modality == AUDIO else MAX_TEXTS
    ends = np.cumsum(pc.binary_length(inputs["input"]).to_numpy(zero_copy_only=False)) if inputs.num_rows else []
    start = 0
    while start < inputs.num_rows:
        offset = ends[start - 1] if start else 0
        fitting = int(np.searchsorted(ends, offset + MAX_TEXT_BYTES, side="right")) - start
        length = min(limit, max(fitting, 1))
        yield inputs.slice(start, length)
        start += length


class LazyEncoder:
    """Loads an encoder on the first batch, so that a run with nothing to encode loads no model."""

    def __init__(self, encoder: Encoder, workers: int) -> None:
        self._encoder = encoder
        self._workers = workers
        self._loaded: LoadedEncoder | None = None
        self._lock = threading.Lock()

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode inputs; see :func:`encode_by_bisection`.

        Raises:
            TracktokensError: the encoder does not return one vector per input.
        """
        with self._lock:  # the threads of a worker share the encoder
            if self._loaded is None:
                self._loaded = self._encoder.load(thread_share(self._workers))
        result = encode_by_bisection(self._loaded, inputs)
        if result.vectors.ndim != 2 or len(result.vectors) != len(inputs):
            raise TracktokensError(
                f"{type(self._loaded).__name__} returned an array of shape {result.vectors.shape} for {len(inputs)} "
                "inputs: it must return shape (inputs, dim)"
            )
        return result


def encode_inputs(inputs: pa.RecordBatch, model: LazyEncoder) -> pa.RecordBatch:
    """Encode one batch of ``INPUTS`` to keys, float16 vectors (zero for failures), reasons and details.

    The schema's metadata holds the cost in milliseconds, under ``ENCODING`` and ``DECODING``.
    """
    start = time.monotonic()
    result = model.encode(inputs["input"])
    seconds = {ENCODING: time.monotonic() - start, DECODING: result.decoding_seconds}
    failures = {**result.failures, **_float16_overflows(result)}
    vectors = result.vectors.copy() if failures else result.vectors
    vectors[list(failures)] = 0
    records = make_vector_records(inputs["key"], vectors.astype(np.float16))
    reasons = [failures[row].reason if row in failures else None for row in range(inputs.num_rows)]
    details = [failures[row].detail if row in failures else None for row in range(inputs.num_rows)]
    records = records.append_column("reason", pa.array(reasons, pa.string()))
    records = records.append_column("detail", pa.array(details, pa.string()))
    return records.replace_schema_metadata({name: str(round(1000 * value)) for name, value in seconds.items()})


def _float16_overflows(result: Encoded) -> dict[int, Failure]:
    """Report the vectors that float16 cannot represent."""
    with np.errstate(invalid="ignore"):
        overflows = ~(np.abs(result.vectors) <= FLOAT16_MAX).all(axis=1)
    return {
        int(row): Failure(rejects.NOT_FINITE, "the encoder returned a value that is not finite in float16")
        for row in np.flatnonzero(overflows)
    }
