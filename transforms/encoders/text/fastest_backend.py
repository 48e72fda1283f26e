"""Run a text model in the library that is fastest on this machine's CPU, measured on texts of the model's own words.

This module imports torch.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from sentence_transformers import SentenceTransformer

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.backend_choice import MAX_PASSES, BackendChoice, Timed, Vectors, time_passes
from tracktokens.transforms.encoders.forward_passes import one_thread_per_pass
from tracktokens.transforms.encoders.onnx_graphs import TORCH
from tracktokens.transforms.encoders.text.chunking import fast_tokenizer
from tracktokens.transforms.encoders.text.graph_backend import find_network, has_network, use_exported_graph

_logger = logging.getLogger(__name__)

SHORT_TEXTS, SHORT_PIECES = 24, 10
LONG_TEXTS, LONG_PIECES = 1, 128
"""Texts of one pass, and their word pieces: about those of titles and of a part of some lyrics."""

_SEED = 20_210_913


def use_fastest_backend(transformer: SentenceTransformer, *, weights: str, threads: int) -> None:
    """Run a model, in place, in the backend that is fastest on this machine.

    Args:
        transformer: the model, on the CPU in float32.
        weights: hash of the model's files.
        threads: forward passes at a time.
    """
    backend = fastest_backend(transformer, weights=weights)
    if backend == TORCH:
        return
    try:
        use_exported_graph(transformer, weights=weights, backend=backend, precision="float32", threads=threads)
    except UsageError as error:
        _logger.warning("the text model runs in torch: %s", error)


def fastest_backend(transformer: SentenceTransformer, *, weights: str) -> str:
    """Choose the backend of a model on this machine, by measuring it unless the cache has the choice.

    Args:
        transformer: the model, on the CPU in float32; unchanged afterwards.
        weights: hash of the model's files.

    Returns:
        ``torch``, ``onnx`` or ``openvino``.
    """
    if not has_network(transformer):
        return TORCH

    def encode(texts: list[str]) -> Vectors:
        return transformer.encode(texts, normalize_embeddings=True, show_progress_bar=False)

    def time_backend(backend: str) -> Timed:
        passes = _sample_passes(transformer)
        with _in_backend(transformer, weights, backend), one_thread_per_pass():
            return time_passes(encode, passes)

    return BackendChoice("the text model", weights, time_backend).fastest()


@contextmanager
def _in_backend(transformer: SentenceTransformer, weights: str, backend: str) -> Iterator[None]:
    """Run a model in a backend during a block."""
    module, name = find_network(transformer)
    network = getattr(module, name)
    if backend != TORCH:
        use_exported_graph(transformer, weights=weights, backend=backend, precision="float32", threads=1)
    try:
        yield
    finally:
        setattr(module, name, network)


def _sample_passes(transformer: SentenceTransformer) -> list[list[str]]:
    """Draw texts of the model's word pieces, other ones for each pass."""
    tokenizer = fast_tokenizer(transformer)
    words = tokenizer.get_vocab_size()
    draw = np.random.default_rng(_SEED)
    window = int(min(transformer.max_seq_length or LONG_PIECES, LONG_PIECES))

    def text(pieces: int) -> str:
        return str(tokenizer.decode(draw.integers(words, size=pieces).tolist()))

    lengths = [min(SHORT_PIECES, window)] * SHORT_TEXTS + [window] * LONG_TEXTS
    return [[text(pieces) for pieces in lengths] for _ in range(MAX_PASSES)]
