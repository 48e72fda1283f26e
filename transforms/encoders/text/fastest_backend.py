"""Run a text model in the library that is fastest on this machine's CPU, measured on texts of the model's own words."""

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.backend_choice import MAX_PASSES, BackendChoice, Timed, Vectors, time_passes
from tracktokens.transforms.encoders.forward_passes import one_thread_per_pass
from tracktokens.transforms.encoders.onnx_graphs import TORCH
from tracktokens.transforms.encoders.text.exported_model import FLOAT32
from tracktokens.transforms.encoders.text.model_cache import exported_model
from tracktokens.transforms.encoders.text.text_model import TextModel

if TYPE_CHECKING:
    from tracktokens.transforms.encoders.text.torch_model import TorchModel

_logger = logging.getLogger(__name__)

SHORT_TEXTS, SHORT_PIECES = 24, 10
LONG_TEXTS, LONG_PIECES = 1, 128
"""Texts of one pass, and their word pieces: about those of titles and of a part of some lyrics."""

_SEED = 20_210_913


def fastest_model(load: Callable[[], "TorchModel"], *, weights: str, threads: int) -> TextModel:
    """Open a model in the backend that is fastest on this machine.

    Args:
        load: loads the model in torch, on the CPU in float32; called only where it is measured, exported or run there.
        weights: hash of the model's files.
        threads: forward passes at a time.
    """
    load = cache(load)
    backend = fastest_backend(load, weights=weights)
    if backend == TORCH:
        return load()
    try:
        return exported_model(load, weights=weights, backend=backend, precision=FLOAT32, threads=threads)
    except UsageError as error:
        _logger.warning("the text model runs in torch: %s", error)
        return load()


def fastest_backend(load: Callable[[], "TorchModel"], *, weights: str) -> str:
    """Choose the backend of a model on this machine, by measuring it unless the cache has the choice.

    Args:
        load: loads the model in torch, on the CPU in float32.
        weights: hash of the model's files.

    Returns:
        ``torch``, ``onnx`` or ``openvino``.
    """

    def time_backend(backend: str) -> Timed:
        model: TextModel = load()
        passes = _sample_passes(model)
        if backend != TORCH:
            model = exported_model(load, weights=weights, backend=backend, precision=FLOAT32, threads=1)
        with one_thread_per_pass():
            return time_passes(partial(_encode, model), passes)

    return BackendChoice("the text model", weights, time_backend).fastest()


def _encode(model: TextModel, texts: list[str]) -> Vectors:
    """Encode the short texts and the long ones, in a batch each."""
    vectors = np.concatenate([model.encode(part, None) for part in (texts[:SHORT_TEXTS], texts[SHORT_TEXTS:])])
    with np.errstate(invalid="ignore"):  # a damaged model is refused later
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _sample_passes(model: TextModel) -> list[list[str]]:
    """Draw texts of the model's word pieces, other ones for each pass."""
    words = model.tokenizer.get_vocab_size()
    draw = np.random.default_rng(_SEED)
    window = int(min(model.max_length or LONG_PIECES, LONG_PIECES))

    def text(pieces: int) -> str:
        return str(model.tokenizer.decode(draw.integers(words, size=pieces).tolist()))

    lengths = [min(SHORT_PIECES, window)] * SHORT_TEXTS + [window] * LONG_TEXTS
    return [[text(pieces) for pieces in lengths] for _ in range(MAX_PASSES)]
