"""Encoders as models of Beam's ``RunInference``. It is imported where something is encoded, since it imports torch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from apache_beam.ml.inference.base import ModelHandler

from tracktokens.transforms.embedding.batches import LazyEncoder, encode_inputs
from tracktokens.transforms.encoders.base import Encoder


class EncoderHandler(ModelHandler[pa.RecordBatch, pa.RecordBatch, LazyEncoder]):
    """Runs an :class:`Encoder` in Beam's ``RunInference``, one copy a worker process. An example is a batch."""

    def __init__(self, encoder: Encoder, workers: int) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._encoder = encoder
        self._workers = workers

    def load_model(self) -> LazyEncoder:
        """Make the encoder that loads itself when it is needed."""
        return LazyEncoder(self._encoder, self._workers)

    def run_inference(
        self,
        batch: Sequence[pa.RecordBatch],
        model: LazyEncoder,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[pa.RecordBatch]:
        """Encode batches of ``INPUTS``: each gives ``ENCODED`` rows."""
        return [encode_inputs(inputs, model) for inputs in batch]

    def get_num_bytes(self, batch: Sequence[pa.RecordBatch]) -> int:
        """Size of the inputs, for Beam's metrics."""
        return sum(inputs.nbytes for inputs in batch)
