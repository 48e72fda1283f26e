"""A release's tokens in real tokenizers and small models that the tests train."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import save
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tracktokens.codebooks.tokens.embedding_init import RowStatistics
from tracktokens.codebooks.tokens.vocabulary import token, tokens_json, vocabulary
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.llm.embedding_layers import new_parameters
from tracktokens.pipelines.llm.extend_model import TokenRelease, apply_to_folder, apply_vocabulary, read_token_release
from tracktokens.pipelines.llm.initial_rows import CENTROID, MEAN
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES

pytestmark = pytest.mark.job

SIZE = 32
WORDS = 300
TEXTS = ["play me something slow and warm for the night", "a song like the last, but older", "<| odd _ text |>"] * 40
UNKNOWN = "<unk>"


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=WORDS, special_tokens=["<s>"], initial_alphabet=alphabet)
    made.train_from_iterator(TEXTS, trainer)
    return made


def metaspace() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        TEXTS, trainers.UnigramTrainer(vocab_size=WORDS, special_tokens=[UNKNOWN, "<s>"], unk_token=UNKNOWN)
    )
    return made


def wordpiece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=WORDS, special_tokens=[UNKNOWN, "[CLS]"]))
    return made


TOKENIZERS = {"byte-level": byte_level, "metaspace": metaspace, "wordpiece": wordpiece}

SMALL = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
LLAMA = LlamaConfig(**SMALL, num_key_value_heads=2, vocab_size=320, tie_word_embeddings=False)
GEMMA = Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=12, vocab_size=320)
GPT2 = GPT2Config(n_embd=24, n_layer=1, n_head=2, vocab_size=320)


def model_of(config: object) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(copy.deepcopy(config))


def tokenizer_of(name: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=TOKENIZERS[name]())


@pytest.fixture(scope="module")
def release() -> TokenRelease:
    draw = np.random.default_rng(0)
    centroids = {m: draw.standard_normal((SIZE, 8)).astype(np.float32) for m in MODALITIES}
    centroids["lyrics"] = centroids["lyrics"][:20]  # fewer centroids than reserved codes
    return TokenRelease(
        ReleaseManifest("r1", "bundle1", "c1", SIZE, {}, {"read": 1, "published": 1, "rejected": 0}, {}), centroids
    )


def track_texts(count: int) -> list[str]:
    draw = np.random.default_rng(1)
    codes = draw.integers(-1, SIZE, (count, len(MODALITIES)))
    tokens = [[token(m, None if c < 0 else int(c)) for m, c in zip(MODALITIES, row, strict=True)] for row in codes]
    return [f"<|track|>{''.join(row)}<|/track|>" for row in tokens]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("config", [LLAMA, GEMMA, GPT2], ids=["llama", "gemma", "gpt2"])
def test_tracks_go_through_text_and_come_back_after_saving_and_loading(
    name: str, config: object, release: TokenRelease, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(name)
    applied = apply_vocabulary(model := model_of(config), tokenizer, release)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, loaded = AutoTokenizer.from_pretrained(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)
    names = [entry.token for entry in vocabulary(SIZE)]
    assert again.convert_tokens_to_ids(names) == list(applied.ids.values())
    for text in track_texts(1000):
        ids = again.encode(text, add_special_tokens=False)
        assert len(ids) == 7
        assert again.decode(ids) == text
        assert again.decode(ids, skip_special_tokens=True) == text
    inside = again.encode(f"play {track_texts(1)[0]} now", add_special_tokens=False)
    assert track_texts(1)[0] in again.decode(inside)
    assert torch.isfinite(loaded(torch.tensor([inside])).logits).all()
    assert loaded.get_input_embeddings().weight.shape[0] % 64 == 0


@pytest.mark.parametrize("config", [LLAMA, GEMMA, GPT2], ids=["llama", "gemma", "gpt2"])
@pytest.mark.parametrize("init", [MEAN, CENTROID])
def test_old_rows_stay_and_new_ones_are_like_them(config: object, init: str, release: TokenRelease) -> None:
    model, tokenizer = model_of(config), tokenizer_of("byte-level")
    used = len(tokenizer)
    before = [weight.detach().clone() for weight in matrices(model)]
    applied = apply_vocabulary(model, tokenizer, release, init)
    assert applied.tied == (len(before) == 1)
    for old, new in zip(before, matrices(model), strict=True):
        torch.testing.assert_close(new[:used], old[:used], rtol=0, atol=0)
        rows = new[list(applied.ids.values())].detach().numpy()
        statistics = RowStatistics(old[:used].numpy())
        np.testing.assert_allclose(rows.mean(axis=0), statistics.mean, atol=0.01)
        assert len(np.unique(rows, axis=0)) == len(rows)
        if init == CENTROID:
            audio = rows[[list(applied.ids).index(token("audio", code)) for code in range(SIZE)]]
            spread = np.trace(np.cov(audio, rowvar=False))
            assert 0.5 < spread / statistics.variances.sum() < 2


def matrices(model: PreTrainedModel) -> list[torch.Tensor]:
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return [inputs] if outputs is inputs else [inputs, outputs]


def test_rows_for_padding_are_used_first_and_are_not_counted_among_the_old(release: TokenRelease) -> None:
    model, tokenizer = model_of(LLAMA), tokenizer_of("byte-level")
    with torch.no_grad():
        model.get_input_embeddings().weight[len(tokenizer) :] = 1e6  # rows of no token
    used = len(tokenizer)
    applied = apply_vocabulary(model, tokenizer, release)
    assert min(applied.ids.values()) == used < 320
    assert (applied.rows_before, applied.rows_after) == (320, 512)
    assert model.get_input_embeddings().weight.abs().max() < 10


def test_the_same_input_gives_the_same_model_and_a_second_time_changes_nothing(
    release: TokenRelease, tmp_path: Path
) -> None:
    source, first, second, third = (tmp_path / name for name in ("source", "first", "second", "third"))
    model_of(GPT2).save_pretrained(source)
    tokenizer_of("byte-level").save_pretrained(source)
    for out in (first, second):
        apply_to_folder(str(source), str(out), release, init=CENTROID)
    assert apply_to_folder(str(first), str(third), release, init=CENTROID).unchanged
    for path in sorted(first.iterdir()):
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name
        assert path.read_bytes() == (third / path.name).read_bytes(), path.name
    assert json.loads((first / "config.json").read_text())["tracktokens"] == {"bundle": "bundle1", "release": "r1"}
    ids = json.loads((first / "tokens_to_ids.json").read_text())
    assert ids["bundle"] == "bundle1"
    assert list(ids["tokens"]) == [entry.token for entry in vocabulary(SIZE)]
    with pytest.raises(UsageError, match="is not empty"):
        apply_to_folder(str(source), str(first), release)


def test_a_model_of_another_bundle_is_refused(release: TokenRelease) -> None:
    model, tokenizer = model_of(GPT2), tokenizer_of("byte-level")
    apply_vocabulary(model, tokenizer, release)
    other = TokenRelease(
        ReleaseManifest("r2", "bundle2", "c1", SIZE, {}, {"read": 1, "published": 1, "rejected": 0}, {}),
        release.centroids,
    )
    with pytest.raises(InvalidDataError, match="tokens of bundle bundle1, the release is of bundle2"):
        apply_vocabulary(model, tokenizer, other)


def test_tokens_that_are_there_already_are_refused(release: TokenRelease) -> None:
    tokenizer = tokenizer_of("byte-level")
    tokenizer.add_tokens(["<|audio_5|>"])
    with pytest.raises(InvalidDataError, match=r"has 1 of these tokens already \(<\|audio_5\|> is id"):
        apply_vocabulary(model_of(GPT2), tokenizer, release)


def test_the_tokenizer_of_a_larger_model_is_refused(release: TokenRelease) -> None:
    small = model_of(GPT2Config(n_embd=24, n_layer=1, n_head=2, vocab_size=50))
    with pytest.raises(InvalidDataError, match=r"ids up to \d+, the model has 50 rows"):
        apply_vocabulary(small, tokenizer_of("byte-level"), release)


def test_a_tokenizer_without_entries_is_refused(release: TokenRelease) -> None:
    empty = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    with pytest.raises(InvalidDataError, match="the tokenizer has no entries"):
        apply_vocabulary(model_of(GPT2), empty, release)


def test_a_tokenizer_that_splits_the_tokens_is_refused(release: TokenRelease, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tokenizer_of("byte-level")
    encode: Callable[..., list[int]] = tokenizer.encode
    monkeypatch.setattr(tokenizer, "encode", lambda text, **options: [0, *encode(text, **options)])
    with pytest.raises(InvalidDataError, match=r"splits <\|playlist_0\|>"):
        apply_vocabulary(model_of(GPT2), tokenizer, release)


def test_llama_3_2_1b_gets_10_485_760_parameters_for_the_code_tokens() -> None:
    published = LlamaConfig(
        vocab_size=128_256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(published)
    assert new_parameters(model, 5 * 1024) == 10_485_760
    assert model.num_parameters() == 1_235_814_400
    assert new_parameters(model, 5 * 1024) / model.num_parameters() < 0.01


def test_the_command_reads_a_release_and_writes_a_model(release: TokenRelease, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    (folder / "vocabulary").mkdir(parents=True)
    (folder / "manifest.json").write_text(release.manifest.to_json())
    (folder / "vocabulary" / "tokens.json").write_text(json.dumps(tokens_json("bundle1", SIZE)))
    (folder / "vocabulary" / "centroids.safetensors").write_bytes(save(dict(release.centroids)))
    assert read_token_release(str(folder)).entries == release.entries
    model_of(GPT2).save_pretrained(tmp_path / "model")
    tokenizer_of("byte-level").save_pretrained(tmp_path / "model")
    out = tmp_path / "out"
    options = ["--model", str(tmp_path / "model"), "--release", str(folder), "--out", str(out), "--init", "centroid"]
    result = CliRunner().invoke(main, ["vocabulary", "apply", *options])
    assert result.exit_code == 0, result.output
    assert f"tokens: {5 * SIZE + 7}" in result.stdout
    assert AutoModelForCausalLM.from_pretrained(out).config.tracktokens["release"] == "r1"
    as_json = ["--model", str(tmp_path / "model"), "--release", str(folder), "--out", str(tmp_path / "more"), "--json"]
    report = json.loads(CliRunner().invoke(main, ["vocabulary", "apply", *as_json]).stdout)
    assert report["last_id"] - report["first_id"] + 1 == report["tokens"] == 5 * SIZE + 7
    none = ["--model", str(tmp_path / "none"), "--release", str(folder), "--out", str(tmp_path / "other")]
    assert CliRunner().invoke(main, ["vocabulary", "apply", *none]).exit_code == 2


def not_finite(model: PreTrainedModel, rows: list[int], head: bool = False) -> PreTrainedModel:
    layer = model.get_output_embeddings() if head else model.get_input_embeddings()
    with torch.no_grad():
        layer.weight[rows] = float("nan") if head else float("inf")
    return model


@pytest.mark.parametrize("init", [MEAN, CENTROID])
@pytest.mark.parametrize(("head", "name"), [(False, "input embeddings"), (True, "output head")])
def test_rows_that_are_not_finite_are_named(release: TokenRelease, init: str, head: bool, name: str) -> None:
    model, tokenizer = not_finite(model_of(LLAMA), [5, *range(10, 20)], head), tokenizer_of("byte-level")
    before = len(tokenizer)
    with pytest.raises(InvalidDataError, match=f"rows 5, 10, 11, 12, 13 and 6 more of the {name} are not finite"):
        apply_vocabulary(model, tokenizer, release, init)
    assert len(tokenizer) == before


def test_padding_rows_need_not_be_finite(release: TokenRelease) -> None:
    tokenizer = tokenizer_of("byte-level")
    model = not_finite(model_of(LLAMA), [len(tokenizer)])
    apply_vocabulary(model, tokenizer, release)
    assert model.get_input_embeddings().weight.isfinite().all()


def test_new_rows_that_exceed_the_type_are_refused(release: TokenRelease) -> None:
    model = model_of(LLAMA)
    with torch.no_grad():
        model.get_input_embeddings().weight.uniform_(-60_000, 60_000)
    with pytest.raises(InvalidDataError, match="exceed the range of"):
        apply_vocabulary(model.half(), tokenizer_of("byte-level"), release, CENTROID)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model_of(LLAMA).save_pretrained(folder)
    tokenizer_of("byte-level").save_pretrained(folder)
    return folder


def changed(saved: Path, folder: Path, name: str, content: bytes | None) -> str:
    """Copy a model with one file changed or removed."""
    shutil.copytree(saved, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("model.safetensors", None, UsageError),
        ("model.safetensors", b"x" * 100, InvalidDataError),
        ("tokenizer.json", b"{}", InvalidDataError),
        ("config.json", b"[]", UsageError),
        ("config.json", None, UsageError),
    ],
)
def test_a_model_that_cannot_be_read_is_refused(
    saved: Path, release: TokenRelease, tmp_path: Path, name: str, content: bytes | None, kind: type[Exception]
) -> None:
    source = changed(saved, tmp_path / "model", name, content)
    with pytest.raises(kind, match=source) as error:
        apply_to_folder(source, str(tmp_path / "out"), release)
    assert "\n" not in str(error.value)


def test_a_model_that_lacks_weights_is_refused(saved: Path, release: TokenRelease, tmp_path: Path) -> None:
    config = json.loads((saved / "config.json").read_text()) | {"num_hidden_layers": 2}
    source = changed(saved, tmp_path / "model", "config.json", json.dumps(config).encode())
    with pytest.raises(InvalidDataError, match=r"lacks 9 weights, such as model\.layers\.1"):
        apply_to_folder(source, str(tmp_path / "out"), release)


@pytest.mark.parametrize("out", ["file", "file/below", "{model}/new", "unknown://bucket/a"])
def test_a_model_is_written_to_a_folder_of_its_own(
    saved: Path, release: TokenRelease, tmp_path: Path, out: str
) -> None:
    (tmp_path / "file").write_text("mine")
    target = out if "://" in out else str(tmp_path / out.format(model=saved))
    with pytest.raises(UsageError):
        apply_to_folder(str(saved), target, release)
    assert (tmp_path / "file").read_text() == "mine"
