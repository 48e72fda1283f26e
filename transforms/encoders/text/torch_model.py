"""A text model in torch: sentence-transformers' own.

This module imports torch.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers.utils import logging as transformers_logging

from tracktokens.schemas.errors import UsageError
from tracktokens.serving.generation.pretrained import load_failure
from tracktokens.transforms.encoders.bisect import is_out_of_memory
from tracktokens.transforms.encoders.text.model_check import check_vocabulary, ensure_padding
from tracktokens.transforms.encoders.text.text_model import TextModel

Result = TypeVar("Result")


class TorchModel(TextModel):
    """A model in torch.

    Attributes:
        transformer: the model.
    """

    in_torch = True

    def __init__(self, transformer: SentenceTransformer) -> None:
        """Check the model's tokenizer, and give it a padding token if it has none.

        Raises:
            UsageError: it cannot divide texts for this model.
        """
        super().__init__()
        self.pads_with_end_token = ensure_padding(transformer)
        check_vocabulary(transformer)
        self.tokenizer = fast_tokenizer(transformer)
        self.max_length = transformer.max_seq_length
        self.default_prompt = transformer.prompts.get(transformer.default_prompt_name or "") or ""
        # One thread at a time tokenizes: a fast tokenizer raises "Already borrowed" if two use it at once.
        transformer.preprocess = _one_at_a_time(transformer.preprocess)  # type: ignore[method-assign]
        self.transformer = transformer

    def encode(self, texts: list[str], prompt: str | None) -> npt.NDArray[np.float32]:
        """Encode a batch with sentence-transformers."""
        vectors = self.transformer.encode(texts, prompt=prompt, batch_size=len(texts), show_progress_bar=False)
        return np.asarray(vectors, np.float32)


def _one_at_a_time(call: Callable[..., Result]) -> Callable[..., Result]:
    lock = threading.Lock()

    @wraps(call)
    def locked(*arguments: Any, **options: Any) -> Result:
        with lock:
            return call(*arguments, **options)

    return locked


def fast_tokenizer(transformer: SentenceTransformer) -> Tokenizer:
    """Return the model's tokenizer of the ``tokenizers`` library, which reports character offsets.

    Raises:
        UsageError: it has another one.
    """
    tokenizer = getattr(transformer.tokenizer, "backend_tokenizer", transformer.tokenizer)
    if not isinstance(tokenizer, Tokenizer):
        raise UsageError(
            f"the text model's tokenizer ({type(tokenizer).__name__}) does not report the offsets of its word pieces:"
            " give --text-model a model with a tokenizer.json"
        )
    return tokenizer


def load_transformer(folder: Path, precision: str, device: str) -> SentenceTransformer:
    """Load a model's folder.

    Args:
        folder: the folder.
        precision: ``float32``, ``float16`` or ``bfloat16``.
        device: where it runs.

    Raises:
        UsageError: it cannot be loaded.
    """
    weights = {"dtype": getattr(torch, precision)}
    with _no_progress_bar():
        try:
            return SentenceTransformer(str(folder), device=device, local_files_only=True, model_kwargs=weights)
        except Exception as error:  # third-party code on files of the user: any type
            if is_out_of_memory(error):
                raise
            raise UsageError(f"text model {folder} cannot be loaded: {load_failure(error)}") from error


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Disable transformers' progress bar ("Loading weights"), which would disturb a job's own output."""
    if not transformers_logging.is_progress_bar_enabled():
        yield
        return
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
