"""Folders of models that strangers made: no code in them runs, and the error is one line."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, BertConfig, BertForMaskedLM, BertTokenizerFast

from tracktokens.schemas.errors import InvalidDataError, TracktokensError, UsageError
from tracktokens.serving.generation.load_model import load_model
from tracktokens.serving.generation.pretrained import is_bidirectional
from tracktokens.transforms.encoders.text.model_files import model_hash
from tracktokens.transforms.encoders.text.sentence import SentenceEncoder

CODE = "open({marker!r}, 'w').close()\nclass C: pass\n"


class Payload:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    config = BertConfig(
        vocab_size=6, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, is_decoder=False
    )
    BertForMaskedLM(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A path that code in a model makes, if it runs."""
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists()


def failure(folder: Path, kind: type[TracktokensError]) -> str:
    with pytest.raises(kind) as error:
        load_model(str(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_encoder_is_not_taken_for_a_causal_model(encoder: Path) -> None:
    assert failure(encoder, UsageError).endswith("with a tokenizer: bert is an encoder, which cannot write text")


def test_code_in_a_model_does_not_run_and_nobody_is_asked(
    encoder: Path, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(encoder, tmp_path / "model"))
    auto = {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.C", "AutoTokenizer": ["code.C", None]}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto}))
    (folder / "code.py").write_text(CODE.format(marker=str(marker)))
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("a question"))
    assert "it needs code from its own folder, which is not run" in failure(folder, UsageError)
    assert capsys.readouterr() == ("", "")


def test_a_pickle_with_code_does_not_run(encoder: Path, tmp_path: Path, marker: Path) -> None:
    folder = Path(shutil.copytree(encoder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"is_decoder": True}))
    (folder / "model.safetensors").unlink()
    torch.save({"a": Payload(marker)}, folder / "pytorch_model.bin")
    assert "its weights are a pickle with code, which is not run; use weights in safetensors" in failure(
        folder, InvalidDataError
    )
    with pytest.raises(UsageError, match="pickle with code, which is not run") as error:
        SentenceEncoder(model=str(folder), weights=model_hash(folder)).load(1)
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "expected"), [("llama", False), ("gpt2", False), ("roberta", True), ("modernbert", True), ("t5", False)]
)
def test_an_encoder_is_known_by_its_kind(kind: str, expected: bool) -> None:
    assert is_bidirectional(AutoConfig.for_model(kind)) is expected
