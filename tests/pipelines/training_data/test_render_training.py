"""Training files of a release: rows, splits, mixes, and everything that is not used."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.training_catalog import (
    MEAN_TITLE,
    PLAYLISTS,
    TRACKS,
    Catalog,
    read_lines,
    write_lines,
)
from tracktokens.codebooks.tokens.rendering import TOKEN
from tracktokens.pipelines.cli.main import main

pytestmark = pytest.mark.job

TRACK = re.compile(r"<\|track\|>.*?<\|/track\|>")

TALKS: list[dict[str, Any]] = [
    {
        "id": "c1",
        "playlist": "p6",
        "split": "test",
        "messages": [
            {"role": "system", "content": "You recommend music."},
            {"role": "user", "content": f"like {MEAN_TITLE}?"},
            {"role": "assistant", "content": "Try [track:t2].", "tracks": ["t2", "t6"]},
            {"role": "user", "content": "more"},
            {"role": "user", "content": "please"},
            {"role": "assistant", "content": "[track:t10] it is"},
        ],
    },
    {
        "id": "c2",
        "split": "train",
        "messages": [
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": [{"type": "text", "text": "like [track:nobody]?"}]},
            {"role": "assistant", "content": "Try [track:nobody] or [track:t3]."},
            {"role": "user", "content": "no"},
            {"role": "assistant", "content": "", "tracks": ["t4"]},
        ],
    },
    {"id": "c3", "split": "validation", "messages": [{"role": "user", "content": "hi"}]},
    {"id": "c4", "messages": [{"role": "tool", "content": "x"}]},
    {"id": "c5", "split": "dev", "messages": TRACKS * [{"role": "user", "content": "hi"}]},
]


def render(small: Catalog, out: Path, *options: str) -> Result:
    arguments = ["render", "training", "--store", str(small.store), "--out", str(out), *options]
    return CliRunner().invoke(main, arguments)


def rows(out: Path, split: str, task: str) -> list[dict[str, Any]]:
    return [row for row in read_lines(out / f"{split}.jsonl") if row["task"] == task]


@pytest.fixture(scope="module")
def rendered(small: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    talks = write_lines(folder / "talks.jsonl", TALKS)
    inputs = ["--tracks", str(small.tracks), "--playlists", str(small.playlists), "--conversations", talks]
    result = render(small, folder / "out", *inputs, "--validation-share", "0.3", "--test-share", "0.2")
    assert result.exit_code == 0, result.output
    return folder / "out"


def test_the_summary_counts_what_the_files_have(rendered: Path, small: Catalog) -> None:
    summary = json.loads((rendered / "training.json").read_text())
    assert (summary["format"], summary["trainer"], summary["permute"]) == (1, "trl", False)
    assert summary["release"] == (small.store / "LATEST").read_text().strip()
    for split in ("train", "validation", "test"):
        found = read_lines(rendered / f"{split}.jsonl")
        counted = {task: sum(row["task"] == task for row in found) for task in {row["task"] for row in found}}
        assert summary["counts"][split] == counted
    for name in ("conversations", "playlists"):
        counts = summary["inputs"][name]
        assert counts["read"] == counts["used"] + counts["rejected"]
    lyrics = summary["inputs"]["lyrics"]
    assert lyrics["read"] == TRACKS == sum(count for name, count in lyrics.items() if name != "read")
    assert summary["rejects"] == len(read_lines(rendered / "rejects.jsonl"))


def test_every_named_track_is_asked_for_by_name_and_described_in_training(rendered: Path, small: Catalog) -> None:
    tokens = small.tokens()
    for row in (found := rows(rendered, "train", "title_to_tokens")):
        [track_id] = row["tracks"]
        [answer] = row["completion"]
        assert TRACK.findall(answer["content"]) == [tokens[track_id]]
        assert not TOKEN.search(row["prompt"][0]["content"])
        assert track_id == "t0" or f'"song {track_id[1:]}"' in row["prompt"][0]["content"]
    assert sorted(row["tracks"][0] for row in found) == sorted(set(tokens) - {"t1"})  # t1 has no name
    for row in rows(rendered, "train", "tokens_to_title"):
        assert tokens[row["id"]] in row["prompt"][0]["content"]
        assert not TOKEN.search(row["completion"][0]["content"])
        assert row["tracks"] == []


def test_validation_asks_for_trained_tracks_in_words_that_training_does_not_have(rendered: Path) -> None:
    def asked(split: str) -> set[str]:
        return {re.sub(r'".*" by [\w ]+?(?=[.,? ]|$)', "", row["prompt"][0]["content"]) for row in named[split]}

    named = {split: rows(rendered, split, "title_to_tokens") for split in ("train", "validation", "test")}
    assert named["validation"]
    assert not asked("train") & asked("validation")
    assert {row["id"] for row in named["validation"]} <= {row["id"] for row in named["train"]}
    assert named["test"] == []


def test_a_line_of_lyrics_leads_to_its_track(rendered: Path, small: Catalog) -> None:
    found = rows(rendered, "train", "lyrics_to_tokens")
    assert len(found) == TRACKS / 2
    for row in found:
        assert re.search(rf"\b{row['id'][1:]}\b", row["prompt"][0]["content"])
        assert small.tokens()[row["id"]] in row["completion"][0]["content"]


def test_a_code_leads_to_the_words_of_its_tracks(rendered: Path, small: Catalog) -> None:
    found = {row["id"]: row["completion"][0]["content"] for row in rows(rendered, "train", "code_to_words")}
    for track_id, tokens in small.tokens().items():
        [code] = re.findall(r"<\|tags_\d+\|>", tokens)
        assert f"genre{int(track_id[1:]) % 4}" in found[code]


def test_a_playlist_is_in_one_split_and_that_of_its_conversation(rendered: Path, small: Catalog) -> None:
    by_split = {split: rows(rendered, split, "playlist_continuation") for split in ("train", "validation", "test")}
    ids = {split: {row["id"] for row in found} for split, found in by_split.items()}
    assert all(ids.values())
    assert not ids["train"] & ids["validation"] | ids["train"] & ids["test"] | ids["validation"] & ids["test"]
    assert "p6" in ids["test"]
    assert len(set.union(*ids.values())) == sum(n % 7 >= 2 for n in range(PLAYLISTS))
    for row in by_split["train"]:
        seeds, answer = TRACK.findall(row["prompt"][0]["content"]), TRACK.findall(row["completion"][0]["content"])
        assert seeds
        assert answer == [small.tokens()[track_id] for track_id in row["tracks"]]


def test_a_conversation_is_a_row_per_complete_turn_of_the_assistant(rendered: Path, small: Catalog) -> None:
    tokens = small.tokens()
    first, second = rows(rendered, "test", "conversation")
    assert first["prompt"] == [
        {"role": "system", "content": "You recommend music."},
        {"role": "user", "content": "like < |audio_5|>?"},
    ]
    assert first["completion"] == [{"role": "assistant", "content": f"Try {tokens['t2']}. {tokens['t6']}"}]
    assert (first["id"], first["tracks"]) == ("c1/3", ["t2", "t6"])
    assert second["prompt"][-1] == {"role": "user", "content": "more\nplease"}
    assert second["prompt"][:-1] == [*first["prompt"], *first["completion"]]
    [kept] = rows(rendered, "train", "conversation")
    assert kept["prompt"][0] == {"role": "user", "content": "like ?"}
    assert kept["prompt"][1]["content"] == f"Try or {tokens['t3']}."
    assert kept["tracks"] == ["t4"]


def test_what_is_not_used_is_a_reject(rendered: Path) -> None:
    rejects = [line for line in read_lines(rendered / "rejects.jsonl") if line["input"].endswith("talks.jsonl")]
    found = {(line["line"], line.get("message")): line["reason"] for line in rejects}
    assert found[2, 2] == found[2, 3] == "the release does not have nobody"
    assert found[3, None] == "has no turn of the assistant from which a model can learn"
    assert found[4, None].startswith("message 1 has the role 'tool'")
    assert found[5, None].startswith("split 'dev' is not one of")
    assert len(found) == len(rejects) == 5


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(small: Catalog, tmp_path: Path) -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert render(small, tmp_path / out, "--seed", seed, "--permute").exit_code == 0
    for name in ("train.jsonl", "validation.jsonl", "training.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / "train.jsonl").read_bytes() != (tmp_path / "c" / "train.jsonl").read_bytes()


def test_a_mix_sets_the_rows_per_source(small: Catalog, tmp_path: Path) -> None:
    mix = "title_to_tokens=3,tokens_to_title=0.5,code_to_words=0"
    result = render(small, tmp_path / "out", "--mix", mix)
    assert "left out: code_to_words: its rate is 0" in result.output
    assert "left out: conversation: --conversations is not given" in result.output
    counts = json.loads((tmp_path / "out" / "training.json").read_text())["counts"]["train"]
    assert counts["title_to_tokens"] == 3 * (TRACKS - 1)
    assert 15 < counts["tokens_to_title"] < 45
    assert "code_to_words" not in counts
    asked = [(row["id"], row["prompt"][0]["content"]) for row in rows(tmp_path / "out", "train", "title_to_tokens")]
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize(
    "mix", ["songs=1", "conversation=-1", "conversation=nan", "conversation", "conversation=1," * 2]
)
def test_a_wrong_mix_is_wrong_usage(small: Catalog, tmp_path: Path, mix: str) -> None:
    assert render(small, tmp_path / "out", "--mix", mix).exit_code == 2


def test_an_input_whose_task_is_switched_off_is_a_warning(
    small: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ["--playlists", str(small.playlists), "--mix", "playlist_continuation=0,lyrics_to_tokens=2"]
    assert render(small, tmp_path / "out", *options).exit_code == 0
    assert "--playlists is not used: --mix gives playlist_continuation a rate of 0" in caplog.text
    assert "--mix names lyrics_to_tokens, which has no rows: --tracks is not given" in caplog.text


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--validation-share", "0.5", "--test-share", "0.5"], 2, "leave nothing to train on"),
        (["--conversations", "none.jsonl"], 2, "none.jsonl"),
        (["--shape", "messages"], 2, "needs --model"),
        (["--shape", "messages", "--trainer", "axolotl"], 2, "is for trl"),
        (["--mix", "title_to_tokens=0,tokens_to_title=0,code_to_words=0"], 3, "nothing to train on"),
        (["--release", "none"], 2, "no release none"),
    ],
)
def test_bad_options_write_nothing(small: Catalog, tmp_path: Path, options: list[str], code: int, message: str) -> None:
    result = render(small, tmp_path / "out", *options)
    assert result.exit_code == code
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_inputs_without_a_usable_row_are_refused(small: Catalog, tmp_path: Path) -> None:
    talks = write_lines(tmp_path / "talks.jsonl", [{"messages": []}])
    assert "has no turn of the assistant" in render(small, tmp_path / "out", "--conversations", talks).stderr
    lists = write_lines(tmp_path / "lists.jsonl", [{"playlist_id": "p", "track_ids": ["x", "y"]}])
    assert "has two tracks of the release, for example" in render(small, tmp_path / "out", "--playlists", lists).stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_or_in_the_store_is_refused(small: Catalog, tmp_path: Path) -> None:
    assert "is not empty: give a new folder" in render(small, small.folder).stderr
    assert render(small, small.store / "new").exit_code == 2
    (tmp_path / "empty").mkdir()
    assert render(small, tmp_path / "empty").exit_code == 0
