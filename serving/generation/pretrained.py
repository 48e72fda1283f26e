"""Folders of transformers that strangers made: read from the disk only, quietly, and without running code in them."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

from tracktokens.schemas.display import printable

WITHOUT_CODE: Any = {"local_files_only": True, "trust_remote_code": False}
"""Arguments of ``from_pretrained``. Without the second, transformers asks on the terminal, and then runs the code."""


def load_failure(error: Exception) -> str:
    """Explain in one line why a folder cannot be loaded: code in it that is not run, or the first line of the error."""
    text = str(error).strip()
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return "its weights are a pickle with code, which is not run; use weights in safetensors"
    if "custom code" in text or "trust_remote_code" in text:
        return "it needs code from its own folder, which is not run; use an architecture that transformers has"
    return printable((text or type(error).__name__).splitlines()[0])


def is_bidirectional(config: Any) -> bool:
    """Return whether a model sees the tokens after each token, as BERT does: it cannot write text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    encoder_decoder = getattr(config, "is_encoder_decoder", False)
    masked = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not encoder_decoder
    return masked and not getattr(config, "is_decoder", False)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Switch off the bars and the reports of transformers while a model is loaded: failures are raised."""
    from transformers.utils import logging

    shown: Any = logging
    enabled, verbosity = shown.is_progress_bar_enabled(), shown.get_verbosity()
    shown.disable_progress_bar()
    shown.set_verbosity(shown.CRITICAL)
    try:
        yield
    finally:
        shown.set_verbosity(verbosity)
        if enabled:
            shown.enable_progress_bar()
