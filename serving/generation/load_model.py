"""Load a language model with tokens: a folder of transformers, with its tokenizer, checked against a release."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.serving.generation.pretrained import WITHOUT_CODE, is_bidirectional, load_failure, quiet_transformers

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CONFIG_KEY = "tracktokens"
"""Key of the model's ``config.json`` with the release and its bundle."""


def load_model(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer, in the type of its weights.

    Raises:
        UsageError: the folder has no causal language model with a tokenizer, or needs code of its own.
        InvalidDataError: the model cannot be read, or lacks weights.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    try:
        with quiet_transformers():
            config: Any = AutoConfig.from_pretrained(source, **WITHOUT_CODE)
            if is_bidirectional(config):
                raise ValueError(f"{config.model_type} is an encoder, which cannot write text")
            tokenizer = AutoTokenizer.from_pretrained(source, **WITHOUT_CODE)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, dtype="auto", output_loading_info=True, **WITHOUT_CODE
            )
    except (OSError, ValueError, ImportError) as error:
        cause = load_failure(error) if Path(source).exists() else "no such folder"
        raise UsageError(f"{source} has no causal language model with a tokenizer: {cause}") from error
    except Exception as error:  # each library that reads one of the files has errors of its own
        cause = f"{type(error).__name__}: {load_failure(error)}"
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
