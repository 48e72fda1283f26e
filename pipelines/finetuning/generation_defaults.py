"""Generation settings of a model that writes tracks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerBase


def generation_config(before: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """Make settings that work with constrained beams: greedy, with the ids of the model's special tokens.

    Settings of chat models, such as ``top_k``, ``top_p`` and ``temperature``, cut the distribution of the next token
    before the constraint does, so that no existing track may be left.

    Args:
        before: settings of the model, whose ids are kept.
        tokenizer: its tokenizer, whose end of text also ends a reply.
    """
    from transformers import GenerationConfig

    ends = before.eos_token_id if isinstance(before.eos_token_id, Iterable) else [before.eos_token_id]
    eos = [number for number in dict.fromkeys([tokenizer.eos_token_id, *ends]) if number is not None]
    make: Any = GenerationConfig
    made: GenerationConfig = make(
        do_sample=False,
        bos_token_id=before.bos_token_id,
        eos_token_id=eos[0] if len(eos) == 1 else eos,
        pad_token_id=tokenizer.eos_token_id if before.pad_token_id is None else before.pad_token_id,
    )
    return made
