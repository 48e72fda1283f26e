"""Encoders as models of Beam's ``RunInference``. Import it only where inputs may be encoded: Beam takes a second."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tracktokens.transforms.embedding.batches import LazyEncoder, encode_inputs
from tracktokens.transforms.embedding.inference import ModelHandler
from tracktokens.transforms.encoders.base import Encoder


class EncoderHandler(ModelHandler[pa.RecordBatch, pa.RecordBatch, LazyEncoder]):
    """Runs an :class:`Encoder` in Beam's ``RunInference``, one copy per worker process. Each example is one batch."""

    def __init__(self, encoder: Encoder, workers: int) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._encoder = encoder
        self._workers = workers

    def load_model(self) -> LazyEncoder:
        """Return an encoder that loads itself on its first batch."""
        return LazyEncoder(self._encoder, self._workers)

    def run_inference(
        self,
        batch: Sequence[pa.RecordBatch],
        model: LazyEncoder,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[pa.RecordBatch]:
        """Encode batches of ``INPUTS`` with :func:`encode_inputs`."""
        return [encode_inputs(inputs, model) for inputs in batch]

    def get_num_bytes(self, batch: Sequence[pa.RecordBatch]) -> int:
        """Return the size of the inputs, for Beam's metrics."""
        return sum(inputs.nbytes for inputs in batch)
