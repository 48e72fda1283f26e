"""Text models as graphs from word pieces to the vector: with torch's vectors, whatever follows the transformer."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.onnx_graphs import ONNX
from tracktokens.transforms.encoders.text.exported_model import SETTINGS_FILE, TOKENIZER_FILE, ExportedModel
from tracktokens.transforms.encoders.text.sentence import INT8, LoadedSentenceEncoder, sentence_encoder

TEXTS = ["a", "a b c d a b", "songs 中文 c", "歌词 d\n" * 40, "", "[unknown] words", "  A  b\t"]

pytestmark = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(model: Path, backend: str = ONNX, **options: Any) -> LoadedSentenceEncoder:
    return sentence_encoder(str(model), backend=backend, device="cpu", **options).load(threads=1)


def saved(model: Path, *modules: torch.nn.Module, **settings: Any) -> Path:
    """Save the tiny model's transformer with other modules behind it."""
    transformer = SentenceTransformer(str(model), device="cpu")
    changed = SentenceTransformer(modules=[transformer[0], *modules], device="cpu")
    for name, value in settings.items():
        setattr(changed, name, value)
    changed.save(str(model.parent / "changed"))
    return model.parent / "changed"


def assert_torchs_vectors(model: Path, **options: Any) -> None:
    exported, expected = load(model, **options), load(model, "torch", **options)
    assert isinstance(exported.model, ExportedModel)
    for texts in (TEXTS, TEXTS * 20, TEXTS[:1]):
        np.testing.assert_allclose(
            exported.encode(pa.array(texts)).vectors, expected.encode(pa.array(texts)).vectors, atol=1e-6
        )


@pytest.mark.parametrize("mode", [*Pooling.POOLING_MODES, ("mean", "max")])
def test_every_pooling_gives_torchs_vectors(mode: Any, tiny_model: Path) -> None:
    assert_torchs_vectors(saved(tiny_model, Pooling(8, mode)))


@pytest.mark.parametrize("bias", [True, False])
def test_layers_after_the_pooling_give_torchs_vectors(bias: bool, tiny_model: Path) -> None:
    torch.manual_seed(0)
    dense = Dense(8, 5, bias=bias, activation_function=torch.nn.Tanh())
    assert_torchs_vectors(saved(tiny_model, Pooling(8), dense, Normalize()))


def test_only_the_transformer_is_rounded_to_int8(tiny_model: Path, cache: Path) -> None:
    import onnx

    load(saved(tiny_model, Pooling(8), Dense(8, 5, bias=False)), precision=INT8)
    nodes = [[node.op_type for node in onnx.load(path).graph.node] for path in cache.glob("graphs/*/model.onnx")]
    exact, rounded = sorted(nodes, key=lambda kinds: kinds.count("MatMulNBits"))
    assert "MatMulNBits" not in exact
    assert rounded.count("MatMulNBits") == 6  # query, key, value, output and two of the feed-forward part
    assert exact.count("MatMul") == rounded.count("MatMul") + 6
    assert rounded.count("MatMul") == 3  # two of the attention, and the dense layer


def test_vectors_are_cut_to_the_models_own_length(tiny_model: Path) -> None:
    config = tiny_model / "config_sentence_transformers.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "truncate_dim": 3}))
    assert_torchs_vectors(tiny_model)
    assert load(tiny_model).encode(pa.array(TEXTS)).vectors.shape == (len(TEXTS), 3)


@pytest.mark.parametrize("prompt", [None, "", "topic", "c d: "])
def test_prompts_give_torchs_vectors(prompt: str | None, tiny_model: Path) -> None:
    config = tiny_model / "config_sentence_transformers.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "default_prompt_name": "topic"}))
    assert_torchs_vectors(tiny_model, prompt=prompt)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_gives_torchs_vectors(side: str, tiny_model: Path) -> None:
    config = tiny_model / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "padding_side": side}))
    assert_torchs_vectors(tiny_model)


def test_encoding_imports_neither_torch_nor_transformers(tiny_model: Path, cache: Path) -> None:
    expected = load(tiny_model).encode(pa.array(TEXTS)).vectors
    script = (
        "import json, sys, pyarrow as pa;"
        "from tracktokens.transforms.encoders.text.sentence import sentence_encoder;"
        "loaded = sentence_encoder(sys.argv[1], backend='onnx').load(threads=2);"
        "vectors = loaded.encode(pa.array(json.loads(sys.argv[2]))).vectors;"
        "heavy = {'torch', 'transformers', 'sentence_transformers'};"
        "print(json.dumps([vectors.tolist(), sorted(heavy & set(sys.modules))]))"
    )
    command = [sys.executable, "-c", script, str(tiny_model), json.dumps(TEXTS)]
    vectors, imported = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert imported == []
    np.testing.assert_array_equal(np.float32(vectors), expected)


# Models that are more than a graph and a tokenizer


def test_a_pooling_that_leaves_out_the_prompt_is_not_exported(tiny_model: Path) -> None:
    model = saved(tiny_model, Pooling(8, include_prompt=False))
    with pytest.raises(
        UsageError, match=r"cannot be exported \(its vectors leave out the prompt\): use --text-backend"
    ):
        load(model)


def test_a_model_that_changes_texts_before_its_tokenizer_is_not_exported(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess = SentenceTransformer.preprocess

    def in_a_chat(self: SentenceTransformer, inputs: list[str], **options: Any) -> Any:
        return preprocess(self, [f"d: {text}" for text in inputs], **options)

    monkeypatch.setattr(SentenceTransformer, "preprocess", in_a_chat)
    with pytest.raises(UsageError, match="its input_ids do not come from the tokenizer alone"):
        load(tiny_model)


# Damaged caches


def _damage_tokenizer(folder: Path) -> None:
    (folder / TOKENIZER_FILE).write_text("{")


def _remove_settings(folder: Path) -> None:
    (folder / SETTINGS_FILE).unlink()


def _change_vectors(folder: Path) -> None:
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    settings["check_vectors"][0] = settings["check_vectors"][0][::-1]
    (folder / SETTINGS_FILE).write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_damage_tokenizer, "does not run in onnx"),
        (_remove_settings, "does not run in onnx"),
        (_change_vectors, "its vectors differ from the text model's own"),
    ],
)
def test_a_damaged_cache_is_a_usage_error(damage: Any, problem: str, tiny_model: Path, cache: Path) -> None:
    load(tiny_model)
    [graph] = cache.glob("graphs/*/model.onnx")
    damage(graph.parent)
    with pytest.raises(UsageError, match=problem):
        load(tiny_model)
