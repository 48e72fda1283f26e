"""Evaluation of recommendations in conversations, on a small store with text vectors."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.support.tiny_text_model import write_tiny_model
from tracktokens.pipelines.analysis.conversations import table_systems
from tracktokens.pipelines.analysis.conversations.evaluate import ConversationOptions, evaluate_conversations
from tracktokens.pipelines.analysis.conversations.queries import QueryOptions
from tracktokens.pipelines.analysis.conversations.table_systems import (
    AFFINITY,
    BM25,
    BM25_REQUEST,
    DENSE,
    MODEL,
    NAMES,
    PLAYLIST_VECTORS,
    POPULARITY,
    RANDOM,
    RERANKED,
    TO_TOKENS,
    TO_TOKENS_REQUEST,
)
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.encoder_config import TextEncoderConfig
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.serving.generation.precision import AUTO

pytestmark = pytest.mark.job

TRACKS = 60
WORDS = ("a", "b", "c", "d")
RIVALS = [name for name in NAMES if name not in (MODEL, RERANKED)]


def job(folder: Path, playlists: bool = True) -> RunJob:
    """Build a job: track n has the tags of group n % 4, and is in playlists of its group alone."""
    source = CatalogSource(
        tracks=str(folder / "tracks.parquet"),
        playlists=str(folder / "playlists.parquet") if playlists else None,
        text=TextEncoderConfig(model=str(folder / "model")),
    )
    return RunJob(source=source, store=str(folder / ("store" if playlists else "no_playlists")), codebook_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conversations")
    (folder / "model").mkdir()
    write_tiny_model(folder / "model")
    rows = {
        "track_id": [f"t{n}" for n in range(TRACKS)],
        "title": [f"song {n}" for n in range(TRACKS)],
        "artist": [f"Artist{n // 2}" for n in range(TRACKS)],
        "album": [f"Album{n}" for n in range(TRACKS)],
        "tags": [[WORDS[n % 4]] for n in range(TRACKS)],
    }
    pq.write_table(pa.table(rows), folder / "tracks.parquet")
    draw = np.random.default_rng(0)
    lists = [[f"t{n}" for n in draw.permutation(np.arange(group, TRACKS, 4))[:8]] for group in [0, 1, 2, 3] * 10]
    names = [f"p{n}" for n in range(len(lists))]
    pq.write_table(pa.table({"playlist_id": names, "track_ids": lists}), folder / "playlists.parquet")
    job(folder).run(PipelineRunner())
    return folder


def write_talks(path: Path, *conversations: Sequence[tuple[str, str, list[str]]], **keys: Any) -> str:
    lines = [
        {
            "id": f"c{number}",
            "messages": [{"role": role, "content": text, "tracks": tracks} for role, text, tracks in messages],
            **keys,
        }
        for number, messages in enumerate(conversations)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture
def talks(tmp_path: Path) -> str:
    """Two conversations of three turns, one of them with a gold track that the release does not have."""
    return write_talks(
        tmp_path / "talks.jsonl",
        [
            ("user", "[track:t0] and [track:t4], more like it", []),
            ("assistant", "Try [track:t8].", []),
            ("user", "and one by Artist10", []),
            ("assistant", "here", ["t20", "t21"]),
        ],
        [("user", "a song b", ["gone"]), ("assistant", "", ["gone"]), ("user", "no", []), ("assistant", "", ["t1"])],
    )


def test_every_system_ranks_twenty_distinct_tracks_that_were_not_named(folder: Path, talks: str) -> None:
    found = evaluate_conversations(str(folder / "store"), talks)
    assert list(found.evaluation.qualities) == RIVALS
    assert found.evaluation.left_out == {}
    assert (found.evaluation.conversations, found.evaluation.turns, found.evaluation.tracks) == (2, 3, TRACKS)
    for name, answers in found.answers.items():
        assert len(answers) == 3
        for query, answer in zip(found.queries.queries, answers, strict=True):
            assert len(set(answer.rows.tolist())) == 20, name
            assert not set(query.named.tolist()) & set(answer.rows.tolist()), name


def test_the_same_seed_ranks_the_same_tracks(folder: Path, talks: str) -> None:
    first, again = (evaluate_conversations(str(folder / "store"), talks) for _ in range(2))
    other = evaluate_conversations(str(folder / "store"), talks, ConversationOptions(seed=1, systems=[RANDOM]))
    for name in RIVALS:
        rankings = [[answer.rows.tolist() for answer in run.answers[name]] for run in (first, again)]
        assert rankings[0] == rankings[1]
        assert first.evaluation.qualities[name].metrics == again.evaluation.qualities[name].metrics
    assert other.answers[RANDOM][0].rows.tolist() != first.answers[RANDOM][0].rows.tolist()


def test_words_of_a_track_rank_it_first(folder: Path, talks: str) -> None:
    options = ConversationOptions(systems=[BM25_REQUEST])
    found = evaluate_conversations(str(folder / "store"), talks, options)
    assert set(found.index.ids(found.answers[BM25_REQUEST][1].rows[:2])) == {"t20", "t21"}  # the tracks by Artist10
    assert "left out without --tracks" in found.evaluation.notes[0]


def test_albums_are_words_if_the_tracks_table_is_given(folder: Path, tmp_path: Path) -> None:
    test = write_talks(tmp_path / "a.jsonl", [("user", "ALBUM33!", []), ("assistant", "", ["t33"])])
    options = ConversationOptions(systems=[BM25], tracks=str(folder / "tracks.parquet"))
    quality = evaluate_conversations(str(folder / "store"), test, options).evaluation.qualities[BM25]
    assert quality.metrics["ndcg@1"].mean == 1
    without = dataclasses.replace(options, tracks=None)
    assert (
        evaluate_conversations(str(folder / "store"), test, without).evaluation.qualities[BM25].metrics["mrr"].mean < 1
    )


def test_systems_of_named_tracks_stay_in_their_group(folder: Path, talks: str) -> None:
    found = evaluate_conversations(
        str(folder / "store"), talks, ConversationOptions(systems=[PLAYLIST_VECTORS, AFFINITY])
    )
    for name in (PLAYLIST_VECTORS, AFFINITY):
        first = found.index.ids(found.answers[name][0].rows[:8])
        assert sum(int(track[1:]) % 4 == 0 for track in first) >= 6, name


def test_tokens_of_a_request_match_tracks_with_its_tag(folder: Path, tmp_path: Path) -> None:
    test = write_talks(tmp_path / "a.jsonl", [("user", "c", []), ("assistant", "", ["t2"])])
    found = evaluate_conversations(str(folder / "store"), test, ConversationOptions(systems=[TO_TOKENS_REQUEST]))
    first = found.index.ids(found.answers[TO_TOKENS_REQUEST][0].rows[:10])
    assert all(int(track[1:]) % 4 == 2 for track in first)


def test_a_turn_without_words_gets_the_most_popular_tracks(folder: Path, tmp_path: Path) -> None:
    test = write_talks(tmp_path / "a.jsonl", [("user", " ", []), ("assistant", "", ["t2"])])
    found = evaluate_conversations(str(folder / "store"), test)
    popular = found.answers[POPULARITY][0].rows.tolist()
    for name in (BM25, TO_TOKENS, PLAYLIST_VECTORS, AFFINITY):
        assert found.answers[name][0].rows.tolist() == popular, name


def test_named_tracks_are_kept_on_request(folder: Path, tmp_path: Path) -> None:
    test = write_talks(tmp_path / "a.jsonl", [("user", "Artist10", ["t20"]), ("assistant", "", ["t20"])])
    with pytest.raises(InvalidDataError, match="none of 1 turns has a track to find"):
        evaluate_conversations(str(folder / "store"), test)
    options = ConversationOptions(systems=[BM25], queries=QueryOptions(keep_named=True))
    quality = evaluate_conversations(str(folder / "store"), test, options).evaluation.qualities[BM25]
    assert quality.metrics["hit@1"].mean == 1


def test_the_first_track_of_a_turn_is_gold_or_all_are(folder: Path, talks: str) -> None:
    golds = []
    for every in (False, True):
        options = ConversationOptions(systems=[RANDOM], queries=QueryOptions(all_gold=every))
        found = evaluate_conversations(str(folder / "store"), talks, options)
        golds.append([found.index.ids(query.gold) for query in found.queries.queries])
    assert golds == [[["t8"], ["t20"], ["t1"]], [["t8"], ["t20", "t21"], ["t1"]]]


def test_unknown_tracks_lose_their_mention_and_not_the_conversation(folder: Path, talks: str, tmp_path: Path) -> None:
    Path(talks).write_text(Path(talks).read_text() + "{}\n")
    command = ["evaluate", "conversations", "--test", talks, "--store", str(folder / "store"), "--system", RANDOM]
    ended = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "out.json")], env={"COLUMNS": "80"})
    assert ended.exit_code == 0, ended.output
    assert "1 lines are not conversations; 2 mentions name tracks that the release does not have" in ended.stderr
    rejects = [json.loads(line) for line in (tmp_path / "out.json.rejects").read_text().splitlines()]
    assert [(reject["line"], reject.get("track_id")) for reject in rejects] == [(3, None), (2, "gone"), (2, "gone")]
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["counts"] == {
        "read": 3, "rejected": 1, "mentions": 8, "unknown": 2, "turns": 4, "without_gold": 1,
    }  # fmt: skip
    assert set(written["qualities"][RANDOM]["metrics"]["mrr"]) == {"mean", "low", "high"}


def test_only_the_test_split_is_used(folder: Path, tmp_path: Path) -> None:
    turn = [("user", "a", []), ("assistant", "", ["t3"])]
    test = write_talks(tmp_path / "train.jsonl", turn, split="train")
    with pytest.raises(InvalidDataError, match="no conversation has the split test"):
        evaluate_conversations(str(folder / "store"), test)
    Path(test).write_text(
        Path(test).read_text() + Path(write_talks(tmp_path / "b", turn, turn, split="test")).read_text()
    )
    found = evaluate_conversations(str(folder / "store"), test, ConversationOptions(systems=[RANDOM]))
    assert found.evaluation.turns == 2
    assert found.evaluation.counts["other_split"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "none of 0 lines is a conversation"),
        ("{}\n", "none of 1 lines is a conversation"),
        ('{"messages": [{"role": "user", "content": "[track:t1]"}]}\n', "no message of an assistant names a track"),
    ],
)
def test_a_file_without_turns_is_refused(folder: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "empty.jsonl").write_text(content)
    with pytest.raises(InvalidDataError, match=message):
        evaluate_conversations(str(folder / "store"), str(tmp_path / "empty.jsonl"))


def test_a_release_without_playlists_leaves_their_vectors_out(folder: Path, talks: str) -> None:
    job(folder, playlists=False).run(PipelineRunner())
    found = evaluate_conversations(str(folder / "no_playlists"), talks)
    assert found.evaluation.left_out == {PLAYLIST_VECTORS: "the release has no playlist vectors"}
    assert len(found.evaluation.qualities) == len(RIVALS) - 1


def test_a_text_model_that_is_not_installed_leaves_its_systems_out(
    folder: Path, talks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(config: TextEncoderConfig, device: str | None) -> None:
        raise UsageError("the model is not on this machine")

    monkeypatch.setattr(table_systems, "make_text_encoder", missing)
    command = ["evaluate", "conversations", "--test", talks, "--store", str(folder / "store")]
    ended = CliRunner().invoke(main, command, env={"COLUMNS": "80"})
    assert ended.exit_code == 0, ended.output
    for name in (DENSE, TO_TOKENS, TO_TOKENS_REQUEST):
        assert f"{name} is left out: the text model of the release cannot be used" in ended.stdout


class FakeRecommender:
    """Recommends the tracks of a list, among them unknown and repeated ones."""

    @classmethod
    def open(cls, model: str, release: str, precision: str) -> "FakeRecommender":
        assert (Path(release) / "manifest.json").exists() and precision == AUTO
        return cls()

    def recommend_batch(
        self, conversations: list[Any], top_k: int, *, exclude: Sequence[Sequence[str]], repeat_named: bool
    ) -> list[Any]:
        assert repeat_named  # what is excluded is for the evaluation to choose
        return [self._reply(messages, top_k, ids) for messages, ids in zip(conversations, exclude, strict=True)]

    def _reply(self, messages: list[Any], top_k: int, exclude: Sequence[str]) -> Any:
        ids = ["t20", "unknown", "t20", *(f"t{n}" for n in range(TRACKS) if f"t{n}" not in exclude)]
        tracks = tuple(SimpleNamespace(track_id=track_id) for track_id in ids[:top_k])
        return SimpleNamespace(text=f"{len(messages)} messages before", tracks=tracks)


@pytest.fixture
def recommender(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(table_systems, "Recommender", FakeRecommender)
    yield


@pytest.mark.usefixtures("recommender")
def test_a_model_and_its_reranking_are_measured(folder: Path, talks: str) -> None:
    found = evaluate_conversations(str(folder / "store"), talks, ConversationOptions(model="m", systems=[RERANKED]))
    assert list(found.answers) == [MODEL, RERANKED]
    model, reranked = found.answers[MODEL], found.answers[RERANKED]
    assert found.index.ids(model[1].rows[:3]) == ["t20", "t1", "t2"]  # t0, t4 and t8 were named
    for before, after in zip(model, reranked, strict=True):
        assert before.rows.tolist() != after.rows.tolist()
        assert set(before.rows.tolist()) == set(after.rows.tolist())
    assert found.evaluation.qualities[MODEL].metrics["hit@20"].mean == 1
    assert found.evaluation.qualities[MODEL].distinct_2 == pytest.approx(3 / 6)  # "1 messages", "3 messages", the rest


@pytest.mark.usefixtures("recommender")
def test_a_submission_has_one_prediction_per_turn_also_without_gold(folder: Path, talks: str, tmp_path: Path) -> None:
    unanswered = write_talks(tmp_path / "more.jsonl", [("user", "and now?", [])], user_id="u7")
    Path(talks).write_text(Path(talks).read_text() + Path(unanswered).read_text())
    command = ["evaluate", "conversations", "--test", talks, "--store", str(folder / "store"), "--system", RANDOM]
    out = tmp_path / "submission.json"
    refused = CliRunner().invoke(main, [*command, "--system", BM25, "--submission", str(out)])
    assert refused.exit_code == 2
    assert "needs --model or --submission-system" in refused.stderr
    ended = CliRunner().invoke(main, [*command, "--submission", str(out), "--model", "m"], env={"COLUMNS": "80"})
    assert ended.exit_code == 0, ended.output
    predictions = json.loads(out.read_text())
    assert [(row["session_id"], row["user_id"], row["turn_number"]) for row in predictions] == [
        ("c0", "", 1), ("c0", "", 2), ("c1", "", 1), ("c1", "", 2), ("c0", "u7", 1),
    ]  # fmt: skip
    for row in predictions:
        assert len(row["predicted_track_ids"]) == len(set(row["predicted_track_ids"])) == 20
        assert row["predicted_response"].endswith("messages before")


def test_unknown_systems_and_misplaced_options_are_usage_errors(folder: Path, talks: str) -> None:
    with pytest.raises(UsageError, match="unknown system oracle: choose some of popularity; random"):
        evaluate_conversations(str(folder / "store"), talks, ConversationOptions(systems=["oracle"]))
    ended = CliRunner().invoke(main, ["evaluate", "--store", "s", "conversations", "--test", talks])
    assert (ended.exit_code, "give --store after `conversations`" in ended.stderr) == (2, True)
    assert CliRunner().invoke(main, ["evaluate", "--store", "s"]).exit_code == 2
