"""Text models that are found wanting when they are checked, before a scan."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.tiny_text_model import WORDS
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.encoders.text.model_check import check_padding
from tracktokens.transforms.encoders.text.sentence import sentence_encoder

Damage = Callable[[Path], object]


def edit(name: str, **values: object) -> Damage:
    """Set values of a JSON file of the model; None removes one."""

    def damage(folder: Path) -> None:
        content = {**json.loads((folder / name).read_text()), **values}
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return damage


def edit_weights(change: Callable[[dict[str, object]], object]) -> Damage:
    def damage(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return damage


def truncate_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])


def smaller_vocabulary(folder: Path) -> None:
    rows = len(WORDS) - 3
    edit("config.json", vocab_size=rows)(folder)
    name = "embeddings.word_embeddings.weight"
    edit_weights(lambda weights: weights.update({name: weights[name][:rows].clone()}))(folder)


def zero_weights(weights: dict[str, "object"]) -> None:
    for tensor in weights.values():
        tensor.zero_()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (smaller_vocabulary, "has 13 embeddings, and its tokenizer has a token with number 15"),
        (edit("sentence_bert_config.json", max_seq_length=512), "cannot encode a text"),
        (truncate_weights, "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "modules.json").write_text("[{"), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "no such"}'), "cannot be loaded"),
        (edit_weights(zero_weights), "the same vector for every text|overflows"),
    ],
)
def test_a_model_that_cannot_encode_is_refused_in_one_line(tiny_model: Path, damage: Damage, problem: str) -> None:
    damage(tiny_model)
    with pytest.raises(UsageError, match=problem) as caught:
        sentence_encoder(str(tiny_model), device="cpu").check()
    assert "\n" not in str(caught.value)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A decoder model, whose tokenizer has an end token and no padding token."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=260, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"])
    tokenizer.train_from_iterator(["a song"], trainer)
    tokens = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")  # noqa: S106
    size = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaModel(LlamaConfig(vocab_size=len(tokens), max_position_embeddings=64, **size)).save_pretrained(tmp_path / "m")
    tokens.save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def test_a_tokenizer_without_a_padding_token_pads_with_its_end_token(llama: Path) -> None:
    encoder = sentence_encoder(str(llama), device="cpu")
    encoder.check()
    loaded = encoder.load(threads=1)
    texts = pa.array(["a song", "b", "a much longer text", "b"])
    together = loaded.encode(texts).vectors
    alone = [loaded.encode(texts[row : row + 1]).vectors[0] for row in range(len(texts))]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_a_tokenizer_without_a_padding_and_an_end_token_is_refused(llama: Path) -> None:
    edit("tokenizer_config.json", eos_token=None)(llama)
    with pytest.raises(UsageError, match="neither a padding nor an end token"):
        sentence_encoder(str(llama), device="cpu").check()


def test_padding_that_changes_vectors_is_refused() -> None:
    with pytest.raises(UsageError, match="padding with its end token changes vectors"):
        check_padding(np.float32([[1, 0]]), np.float32([[0.8, 0.6]]))


def test_damaged_prompts_are_invalid_data(tiny_model: Path) -> None:
    (tiny_model / "config_sentence_transformers.json").write_text("{")
    with pytest.raises(InvalidDataError, match="not valid JSON"):
        sentence_encoder(str(tiny_model), prompt="topic", device="cpu")
