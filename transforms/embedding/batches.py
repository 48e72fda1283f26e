"""Batches of inputs: cut to even work, and encoded."""

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


MAX_FILES = 32


ENCODING = "encoding_milliseconds"


DECODING = "decoding_milliseconds"
"""What encoding cost: time in the encoder, waiting for decoders included, and time that decoders were busy beside it.
Both are summed over all that ran at a time."""


FLOAT16_MAX = float(np.finfo(np.float16).max)


def encoding_batches(inputs: pa.RecordBatch, modality: str) -> Iterator[pa.RecordBatch]:
    """Cut inputs into batches of even work: so many audio files, or texts up to a number and a size.

    A batch is what is encoded at a time and lands as one file, so it bounds what a killed job does again.
    """
    limit = MAX_FILES if modality == AUDIO else MAX_TEXTS
    sizes = np.cumsum(pc.binary_length(inputs["input"]).to_numpy(zero_copy_only=False)) if inputs.num_rows else []
    start = 0
    while start < inputs.num_rows:
        before = sizes[start - 1] if start else 0
        fits = int(np.searchsorted(sizes, before + MAX_TEXT_BYTES, side="right")) - start
        length = min(limit, max(fits, 1))
        yield inputs.slice(start, length)
        start += length


class LazyEncoder:
    """Loads an encoder when the first batch comes, so that a run with nothing to encode pays for no model."""

    def __init__(self, encoder: Encoder, workers: int) -> None:
        self._encoder = encoder
        self._workers = workers
        self._loaded: LoadedEncoder | None = None
        self._lock = threading.Lock()

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode inputs; see :func:`encode_by_bisection`.

        Raises:
            TracktokensError: the encoder does not give a vector for each input.
        """
        with self._lock:  # threads of a worker share it
            if self._loaded is None:
                self._loaded = self._encoder.load(thread_share(self._workers))
        found = encode_by_bisection(self._loaded, inputs)
        if found.vectors.ndim != 2 or len(found.vectors) != len(inputs):
            raise TracktokensError(
                f"{type(self._loaded).__name__} made an array of shape {found.vectors.shape} of {len(inputs)} inputs: "
                "it has to be (inputs, dim)"
            )
        return found


def encode_inputs(inputs: pa.RecordBatch, model: LazyEncoder) -> pa.RecordBatch:
    """Encode one batch of ``INPUTS`` to keys, float16 vectors (zero where it failed), reasons and details.

    What it cost stands in the metadata of the schema, where it stays with the batch.
    """
    start = time.monotonic()
    encoded = model.encode(inputs["input"])
    spent = {ENCODING: time.monotonic() - start, DECODING: encoded.decoding_seconds}
    failures = {**encoded.failures, **_unstorable(encoded)}
    vectors = encoded.vectors.copy() if failures else encoded.vectors
    vectors[list(failures)] = 0
    records = make_vector_records(inputs["key"], vectors.astype(np.float16))
    reasons = [failures[row].reason if row in failures else None for row in range(inputs.num_rows)]
    details = [failures[row].detail if row in failures else None for row in range(inputs.num_rows)]
    records = records.append_column("reason", pa.array(reasons, pa.string()))
    records = records.append_column("detail", pa.array(details, pa.string()))
    return records.replace_schema_metadata({step: str(round(1000 * seconds)) for step, seconds in spent.items()})


def _unstorable(encoded: Encoded) -> dict[int, Failure]:
    """Vectors that float16 cannot hold."""
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(encoded.vectors) <= FLOAT16_MAX).all(axis=1)
    return {
        int(row): Failure(rejects.NOT_FINITE, "the encoder gave a value that is not finite in float16")
        for row in np.flatnonzero(bad)
    }
