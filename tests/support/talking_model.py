"""A tiny language model with the tokens of a release, random or with rigged rows, and its tokenizer."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AddedToken, AutoModelForCausalLM, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from tracktokens.codebooks.tokens.vocabulary import vocabulary
from tracktokens.schemas.token_format import TokenFormat

END = "<|end|>"
TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEXTS = ["play me something slow and warm for the night", "a song like the last, but older", "I like it"] * 20


def make_tokenizer(token_format: TokenFormat | None) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of a few hundred pieces, and add the tokens of a format."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=END)
    tokenizer.chat_template = TEMPLATE
    if token_format is not None:
        names = [entry.token for entry in vocabulary(token_format)]
        tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
    return tokenizer


def make_model(tokenizer: PreTrainedTokenizerFast, bundle: str | None = "b1", seed: int = 0, **settings: Any) -> Any:
    """Make a random Llama whose rows fit the tokenizer, with a few rows of padding."""
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        **small | {"num_key_value_heads": 2, "vocab_size": len(tokenizer) + 5, "initializer_range": 0.4} | settings
    )
    return model_of(config, bundle, seed)


def model_of(config: Any, bundle: str | None = "b1", seed: int = 0) -> Any:
    """Make a random model of any architecture."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.generation_config.eos_token_id = None
    if bundle is not None:
        model.config.update({"tracktokens": {"bundle": bundle, "release": "r1"}})
    return model


def save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
