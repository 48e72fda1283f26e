"""The example that trains a tiny model, on a release of sixty tracks in eight groups, with an even smaller model."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.train_tiny import (
    TOP,
    Recommender,
    Request,
    Sizes,
    Texts,
    by_chance,
    compare,
    encode,
    fine_tune,
    in_words,
    loss_of,
    make_base,
    popular,
    rank,
    read_texts,
)
from tests.support.vector_catalog import DIMS, GROUPS, job, write_catalog, write_vectors
from tracktokens.pipelines.llm.extend_model import MEAN, apply_to_folder, read_token_release
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO, LYRICS, MODALITIES
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import published_release

pytestmark = pytest.mark.job

TRACKS = 60
TALKS = 480
TINY = Sizes(words=300, hidden=64, layers=1, heads=2, batch=16, base_steps=5, steps=300, early=5, rate=5e-3)
MOODS = ("slow", "loud", "warm", "old", "new", "odd", "big", "low", "sad", "mad", "dry", "raw")
ASKED = ("play {} {}", "some {} {} please", "what {} {} is there", "{} {} for tonight", "more {} {}")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread is fastest for small matrices, and reproducible."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def conversation(number: int) -> dict[str, object]:
    """A request for a group's music, and an answer with two of its tracks."""
    draw = np.random.default_rng(number)
    group = number % GROUPS
    words = ASKED[draw.integers(len(ASKED))].format(MOODS[draw.integers(len(MOODS))], f"genre{group}")
    first, second = (f"t{n}" for n in draw.choice(np.arange(group, TRACKS, GROUPS), 2, replace=False))
    answer = {"role": "assistant", "content": f"Try [track:{first}].", "tracks": [second]}
    return {"id": number, "messages": [{"role": "user", "content": words}, answer]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of a group differ in lyrics and audio, except t0 and t8, which are equal in all modalities."""
    folder = write_catalog(tmp_path_factory.mktemp("tiny"), TRACKS)
    for modality in (LYRICS, AUDIO):
        vectors = np.random.default_rng(1).standard_normal((TRACKS, DIMS[modality])).astype(np.float32)
        vectors[8] = vectors[0]
        write_vectors(folder / modality / "part.parquet", vectors)
    job(folder, *MODALITIES).run(PipelineRunner())
    return folder / "store"


@pytest.fixture(scope="module")
def talks(store: Path) -> Path:
    path = store.parent / "talks.jsonl"
    stranger = {"messages": [{"role": "assistant", "content": "", "tracks": ["nobody"]}]}
    lines = [json.dumps(stranger), "no json", *(json.dumps(conversation(n)) for n in range(TALKS))]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def texts(store: Path, talks: Path) -> Texts:
    return read_texts(str(store), talks, store.parent)


@pytest.fixture(scope="module")
def tracks(store: Path) -> ReleaseIndex:
    opened = Store.open(str(store))
    return ReleaseIndex.read(opened, published_release(opened))


@pytest.fixture(scope="module")
def untrained(store: Path, texts: Texts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model that has the tokens and has not read any."""
    folder, opened = tmp_path_factory.mktemp("models"), Store.open(str(store))
    make_base(texts.plain, folder / "base", TINY, seed=0)
    release = read_token_release(opened.release(published_release(opened).release_id).folder)
    apply_to_folder(str(folder / "base"), str(folder / "with_tokens"), release, init=MEAN)
    return folder / "with_tokens"


def recommender(folder: Path, tracks: ReleaseIndex) -> Recommender:
    return Recommender(AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), tracks)


@pytest.fixture(scope="module")
def trained(untrained: Path, texts: Texts, tracks: ReleaseIndex) -> tuple[Recommender, tuple[float, float]]:
    torch.manual_seed(0)
    made = recommender(untrained, tracks)
    losses = fine_tune(made.model, made.tokenizer, texts, TINY, seed=0)
    return made, losses


def request(*truth: str, named: tuple[str, ...] = ()) -> Request:
    return Request([], {"role": "assistant", "content": ""}, frozenset(named), frozenset(truth))


# Texts


def test_conversations_are_divided_and_no_held_out_request_was_trained_on(texts: Texts) -> None:
    said = {json.dumps(chat[:1]) for chat in texts.conversations}
    assert len(texts.conversations) == 0.8 * TALKS
    assert 5 < len(texts.held_out) <= 0.2 * TALKS
    assert not said & {json.dumps(asked.context) for asked in texts.held_out}


def test_a_request_has_the_tracks_that_were_recommended_and_those_named_before(texts: Texts) -> None:
    by_words = {conversation(n)["messages"][0]["content"]: n for n in range(TALKS)}
    for asked in texts.held_out:
        group = by_words[asked.context[-1]["content"]] % GROUPS
        assert len(asked.truth) == 2
        assert {int(track_id[1:]) % GROUPS for track_id in asked.truth} == {group}
        assert asked.answer["content"].count("<|track|>") == 2


def test_the_model_without_tokens_reads_none_and_nothing_of_what_is_held_out(texts: Texts) -> None:
    said = [message["content"] for chat in texts.plain for message in chat]
    assert not any("<|" in content or "[track:" in content for content in said)
    assert not {asked.context[-1]["content"] for asked in texts.held_out} & set(said)
    raw = conversation(0)["messages"]
    names = {f"t{n}": f"song {n}" for n in range(TRACKS)}
    found, [beside] = raw[1]["content"][len("Try [track:") : -2], raw[1]["tracks"]
    assert in_words(raw, names)[1]["content"] == f"Try {names[found]}. {names[beside]}"


def test_the_loss_covers_the_assistants_messages(untrained: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(untrained)
    turns = (("user", "who?"), ("assistant", "me"), ("user", "<|audio_1|>"), ("assistant", "<|audio_2|>"))
    chat = [{"role": role, "content": content} for role, content in turns]
    ids, labels = encode(tokenizer, chat)
    assert tokenizer.decode(ids).startswith("<|user|>who?<|end|><|assistant|>me<|end|><|user|>")
    assert tokenizer.decode([label for label in labels if label >= 0]) == "me<|end|><|audio_2|><|end|>"
    assert all(label in (number, -100) for number, label in zip(ids, labels, strict=True))


# Training and answers


def test_training_lowers_the_loss_of_answers_that_were_held_out(
    trained: tuple[Recommender, tuple[float, float]], untrained: Path, texts: Texts, tracks: ReleaseIndex
) -> None:
    early, final = trained[1]
    base = recommender(untrained, tracks)
    answers = [encode(base.tokenizer, [*asked.context, asked.answer]) for asked in texts.held_out]
    assert loss_of(base.model, answers) > early > final


def test_constrained_answers_are_ten_different_tracks_that_exist_even_of_a_model_that_learned_nothing(
    trained: tuple[Recommender, tuple[float, float]], untrained: Path, texts: Texts, tracks: ReleaseIndex
) -> None:
    for made in (trained[0], recommender(untrained, tracks)):
        written = made.answer(texts.held_out)
        assert written.existing == written.tuples == TOP * len(texts.held_out)
        for found in written.tracks:
            assert len(set(found)) == len(found) == TOP
            assert set(found) <= {f"t{n}" for n in range(TRACKS)}


def test_without_the_constraint_a_model_that_learned_nothing_writes_no_tracks(
    untrained: Path, texts: Texts, tracks: ReleaseIndex
) -> None:
    written = recommender(untrained, tracks).answer(texts.held_out[:8], constrained=False)
    assert written.tuples == 8 * TOP
    assert written.existing < 8


def test_a_trained_model_recommends_better_than_popularity_does(
    trained: tuple[Recommender, tuple[float, float]], texts: Texts
) -> None:
    learned = rank(trained[0].answer(texts.held_out).tracks, texts.held_out)
    known = rank(popular(texts.requests, texts.held_out), texts.held_out)
    assert learned["hit@10"] > 0.8 > 2 * known["hit@10"]
    assert learned["mrr"] > 2 * known["mrr"]


def test_tracks_named_before_are_not_recommended_again(
    trained: tuple[Recommender, tuple[float, float]], texts: Texts, tracks: ReleaseIndex
) -> None:
    first = texts.held_out[0]
    again = replace(first, context=[*first.context, first.answer, {"role": "user", "content": "more old genre1"}])
    [found] = trained[0].answer([again]).tracks
    assert len(found) == TOP
    assert not set(found) & first.truth


def test_tracks_of_one_tuple_are_in_the_order_of_the_index(trained: tuple[Recommender, tuple[float, float]]) -> None:
    index = trained[0].tracks
    [row] = np.flatnonzero(index.rows(["t0"]))
    other = np.flatnonzero(index.rows(["t1"]))
    codes = index.index.codes(np.array([row, *other]))
    assert trained[0]._look_up(list(codes)) == ["t8", "t0", "t1"]  # the popularity of a track is its number


# Measures


def test_a_rank_is_that_of_the_first_right_track() -> None:
    answers = [["a", "b"], ["b", "a"], ["b", "c", "d", "a"], ["b"]]
    asked = [request("a", "b"), request("a"), request("a"), request("a")]
    assert rank(answers, asked) == {"hit@1": 0.25, "hit@10": 0.75, "mrr": pytest.approx((1 + 1 / 2 + 1 / 4) / 4)}


def test_popularity_counts_training_answers_and_leaves_out_what_was_named() -> None:
    training = [request("a", "b"), request("a", "c"), request("c"), request("c")]
    assert popular(training, [request(), request(named=("c",))]) == [["c", "a", "b"], ["a", "b"]]


def test_chance_draws_ten_tracks_that_were_not_named() -> None:
    ids = [f"t{n}" for n in range(12)]
    [found] = by_chance(ids, [request(named=("t3", "t4"))])
    assert sorted(found) == sorted(set(ids) - {"t3", "t4"})


def test_the_comparison_prints_a_line_a_training_and_saves_the_models(
    store: Path, talks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = replace(TINY, base_steps=2, steps=3, early=1)
    compare(str(store), talks, tmp_path / "out", ("mean", "centroid"), 1, sizes)
    lines = capsys.readouterr().out.splitlines()
    names = ["popularity", "chance", "mean, seed 0", "centroid, seed 0", "mean, all seeds", "centroid, all seeds"]
    assert [line[:20].strip() for line in lines[2:]] == names
    for init in ("mean", "centroid"):
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / f"{init}-0" / "trained")
        assert model.config.tracktokens["release"] == published_release(Store.open(str(store))).release_id
