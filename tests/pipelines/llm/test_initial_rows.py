"""Rows of new tokens from the words of their codes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from tests.support.training_catalog import Catalog, make_catalog, make_model
from tracktokens.codebooks.tokens.embedding_init import NOISE
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.llm.extend_model import apply_vocabulary, read_token_release
from tracktokens.pipelines.llm.initial_rows import find_word_ids
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store.releases import release_folder

pytestmark = pytest.mark.job


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return make_catalog(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="module")
def plain(small: Catalog, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a model without the tokens."""
    return str(make_model(small, tmp_path_factory.mktemp("model")).parent / "plain")


def test_the_words_of_a_code_are_those_of_its_tracks(small: Catalog) -> None:
    release = read_token_release(release_folder(None, str(small.store)), str(small.store))
    assert release.words is not None
    for track_id, tokens in small.tokens().items():
        best = release.words["tags"][code_of(tokens)]
        assert best[0] == f"genre{int(track_id[1:]) % 4}"
        assert "all" not in best  # every track has it


def code_of(tokens: str) -> int:
    return int(tokens.partition("<|tags_")[2].partition("|")[0])


def test_a_row_points_to_its_words_from_those_of_all_codes_at_the_distance_of_old_rows(
    small: Catalog, plain: str
) -> None:
    release = read_token_release(release_folder(None, str(small.store)), str(small.store))
    assert release.words is not None
    model, tokenizer = AutoModelForCausalLM.from_pretrained(plain), AutoTokenizer.from_pretrained(plain)
    old = model.get_input_embeddings().weight.detach().numpy()[: len(tokenizer)].astype(np.float64)
    mean, spread = old.mean(axis=0), np.sqrt(((old - old.mean(axis=0)) ** 2).sum(axis=1).mean())

    def row_of(words: Sequence[str]) -> np.ndarray:
        ids = [tokenizer.encode(f" {word}", add_special_tokens=False) for word in words]
        return np.mean([old[word].mean(axis=0) for word in ids], axis=0)

    rows = [row_of(words) for by_code in release.words.values() for words in by_code if words]
    apart = row_of(release.words["tags"][2]) - np.mean(rows, axis=0)
    expected = mean + apart * spread / np.linalg.norm(apart)
    applied = apply_vocabulary(model, tokenizer, release, "text")
    found = model.get_input_embeddings().weight.detach().numpy()[applied.ids["<|tags_2|>"]]
    assert np.linalg.norm(found - expected) < 3 * NOISE * spread
    assert np.linalg.norm(expected - mean) > 20 * NOISE * spread


def test_codes_without_words_are_counted_and_made_as_the_mean(small: Catalog, plain: str) -> None:
    release = read_token_release(release_folder(None, str(small.store)), str(small.store))
    assert release.words is not None
    without = replace(release, words={**release.words, "tags": [(), *release.words["tags"][1:]]})
    models = [AutoModelForCausalLM.from_pretrained(plain) for _ in range(3)]
    inits = (("text", release), ("text", without), ("mean", release))
    results = [
        apply_vocabulary(model, AutoTokenizer.from_pretrained(plain), chosen, init)
        for model, (init, chosen) in zip(models, inits, strict=True)
    ]
    counted = [result.without_words for result in results]
    assert counted[0] is not None
    assert counted == [counted[0], counted[0] + 1, None]
    rows = [model.get_input_embeddings().weight.detach() for model in models]
    code, end = results[0].ids["<|tags_0|>"], results[0].ids["<|/track|>"]
    torch.testing.assert_close(rows[1][code], rows[2][code], rtol=0, atol=0)
    torch.testing.assert_close(rows[0][end], rows[2][end], rtol=0, atol=0)
    assert not torch.allclose(rows[0][code], rows[2][code])


def test_words_that_look_like_tokens_are_text(small: Catalog, plain: str) -> None:
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(plain)
    release = read_token_release(release_folder(None, str(small.store)))
    [[ids]] = find_word_ids(tokenizer, release.entries, {"audio": [("<|audio_0|>",)]}).values()
    assert tokenizer.decode(ids) == " < |audio_0|>"


def test_the_command_needs_the_store_of_the_release(
    small: Catalog, plain: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, out = release_folder(None, str(small.store)), str(tmp_path_factory.mktemp("out") / "model")
    arguments = ["vocabulary", "apply", "--model", plain, "--out", out, "--init", "text"]
    alone = CliRunner().invoke(main, [*arguments, "--release", folder])
    assert (alone.exit_code, "--init text needs --store" in alone.stderr) == (2, True)
    result = CliRunner().invoke(main, [*arguments, "--store", str(small.store)])
    assert result.exit_code == 0, result.output
    assert "codes without words: " in result.stdout
    with pytest.raises(UsageError, match="needs the words"):
        model = AutoModelForCausalLM.from_pretrained(plain)
        apply_vocabulary(model, AutoTokenizer.from_pretrained(plain), read_token_release(folder), "text")
