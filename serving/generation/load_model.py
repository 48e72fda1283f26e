"""Load a language model with tokens: a folder of transformers, with its tokenizer, checked against a release."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tracktokens.schemas.errors import InvalidDataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CONFIG_KEY = "tracktokens"
"""Key of the model's ``config.json`` with the release and its bundle."""


def load_model(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer, in the type of its weights.

    Raises:
        UsageError: the folder has no causal language model with a tokenizer.
        InvalidDataError: the model cannot be read, or lacks weights.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
        with _without_progress_bar():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, dtype="auto", local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, ImportError) as error:
        cause = _first_line(error) if Path(source).exists() else "no such folder"
        raise UsageError(f"{source} has no causal language model with a tokenizer: {cause}") from error
    except Exception as error:  # each library that reads one of the files has errors of its own
        cause = f"{type(error).__name__}: {_first_line(error)}"
        raise InvalidDataError(f"the model in {source} cannot be read: {cause}; save it again") from error
    model, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        raise InvalidDataError(
            f"the model in {source} lacks {len(missing)} weights, such as {missing[0]}: use the complete model"
        )
    return model, tokenizer


def recorded_bundle(config: Any) -> str | None:
    """Return the bundle whose tokens a model has, from its configuration; None if it names none."""
    recorded = getattr(config, CONFIG_KEY, None)
    return recorded.get("bundle") if isinstance(recorded, Mapping) else recorded


def check_bundle(config: Any, bundle_id: str) -> None:
    """Check that the tokens of a model with this configuration are of a bundle.

    Raises:
        InvalidDataError: they are of another bundle, or the model has none.
    """
    bundle = recorded_bundle(config)
    if bundle is None:
        raise InvalidDataError(
            "the model names no bundle of tokens: add those of the release with `tracktokens vocabulary apply`, and "
            "fine-tune it"
        )
    if bundle != bundle_id:
        raise InvalidDataError(
            f"the model has tokens of bundle {bundle}, the release is of {bundle_id}: its codes may have other "
            "meanings; use the model without these tokens, or see `tracktokens diff`"
        )


def embedding_rows(model: PreTrainedModel) -> int:
    """Return the number of tokens that a model has embeddings of, padding included."""
    weight = cast("Tensor", model.get_input_embeddings().weight)
    return int(weight.shape[0])


@contextlib.contextmanager
def _without_progress_bar() -> Iterator[None]:
    from transformers.utils import logging

    shown: Any = logging
    enabled = shown.is_progress_bar_enabled()
    shown.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            shown.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
