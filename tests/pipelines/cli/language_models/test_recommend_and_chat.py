"""The commands with which a model recommends: replies for lines of a file, and a conversation through pipes."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.talking_model import make_model, make_tokenizer, save
from tests.support.titled_store import make_titled_store
from tracktokens.pipelines.cli.main import main
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.serving import CatalogTokens

pytestmark = pytest.mark.job

TRACKS, CODES = 40, 8
HOSTILE = "\x1b[31mred [bold]"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recommend")
    return make_titled_store(folder, [HOSTILE, *(f"song {n}" for n in range(1, TRACKS))], CODES)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Path:
    tokenizer = make_tokenizer(TokenFormat.of(CODES))
    bundle = CatalogTokens.open(store).bundle_id
    return save(tmp_path_factory.mktemp("model"), make_model(tokenizer, bundle), tokenizer)


def user(content: str, **keys: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **keys}


def recommend(path: Path, lines: list[Any], model: Path, store: Path, *options: str) -> Result:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    words = ["recommend", str(path), "--model", str(model), "--store", str(store), "--max-new-tokens", "4", *options]
    return CliRunner().invoke(main, words)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_gets_a_recommendation_or_a_reject(model: Path, store: Path, tmp_path: Path) -> None:
    lines = [
        {"id": "a", "messages": [user("slow and warm")]},
        "no json",
        {
            "id": "b",
            "messages": [user("like [track:t1]", tracks=["t2"]), {"role": "assistant", "content": "[track:t3]"}],
        },
        {"messages": [user("like [track:gone]")]},
        {"id": "d", "messages": [{"role": "assistant", "content": "hello"}]},
    ]
    out = tmp_path / "out.jsonl"
    result = recommend(tmp_path / "in.jsonl", lines, model, store, "--out", str(out), "--top", "5", "--batch-size", "2")
    assert result.exit_code == 0, result.output
    assert "5 read, 3 written, 2 rejected" in result.stdout
    found = read(out)
    assert [line["id"] for line in found] == ["a", "b", 4]
    for line in found:
        ids = [track["track_id"] for track in line["tracks"]]
        assert len(set(ids)) == 5
        assert set(ids) <= {f"t{number}" for number in range(TRACKS)}
        assert f"[track:{ids[0]}]" in line["text"]
    assert not {"t1", "t2"} & {track["track_id"] for track in found[1]["tracks"]}
    rejects = sorted((line["line"], line["written"], line["reason"]) for line in read(tmp_path / "out.jsonl.rejects"))
    assert [(number, written) for number, written, _ in rejects] == [(2, False), (4, True), (5, False)]
    assert "does not have gone" in rejects[1][2]


def test_a_batch_with_a_message_that_is_too_long_loses_that_one_only(model: Path, store: Path, tmp_path: Path) -> None:
    lines = [{"id": "a", "messages": [user("slow")]}, {"id": "b", "messages": [user("x y z " * 3_000)]}]
    out = tmp_path / "out.jsonl"
    result = recommend(tmp_path / "in.jsonl", lines, model, store, "--out", str(out))
    assert "2 read, 1 written, 1 rejected" in result.stdout
    assert "shorten it" in read(tmp_path / "out.jsonl.rejects")[0]["reason"]


def test_a_file_without_a_usable_line_leaves_the_old_output(model: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("old\n")
    result = recommend(tmp_path / "in.jsonl", ["{}", "[]"], model, store, "--out", str(out))
    assert result.exit_code == 3
    assert out.read_text() == "old\n"
    assert [line["line"] for line in read(tmp_path / "out.jsonl.rejects")] == [1, 2]


def test_the_recommendations_can_be_printed(model: Path, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    result = recommend(path, [{"id": "a", "messages": [user("x")]}], model, store, "--out", str(tmp_path / "a"))
    again = recommend(path, [{"id": "a", "messages": [user("x")]}], model, store, "--out", str(tmp_path / "b"))
    assert result.exit_code == again.exit_code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def chat(typed: str, model: Path, store: Path, *options: str) -> Result:
    words = ["chat", "--model", str(model), "--store", str(store), "--max-new-tokens", "4", *options]
    return CliRunner().invoke(main, words, input=typed)


def test_a_chat_through_pipes_keeps_its_history_until_it_is_reset(model: Path, store: Path) -> None:
    result = chat("slow\n\nolder\n/reset\nslow\n/quit\nnever\n", model, store, "--json", "--top", "4")
    assert result.exit_code == 0, result.output
    first, second, again = [json.loads(line) for line in result.stdout.splitlines()]
    ids = [[track["track_id"] for track in reply["tracks"]] for reply in (first, second, again)]
    assert not set(ids[0]) & set(ids[1])
    assert ids[0] == ids[2]
    titles = {track["track_id"]: track["title"] for reply in (first, second) for track in reply["tracks"]}
    assert all(title == f"song {track_id[1:]}" for track_id, title in titles.items() if track_id != "t0")


def test_titles_are_shown_harmlessly(model: Path, store: Path) -> None:
    result = chat("slow\n", model, store, "--top", str(TRACKS))
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    assert "\\x1b[31mred [bold]" in result.stdout.replace("│\n", "")
    assert "song 7" in result.stdout


def test_errors_of_a_turn_do_not_end_the_chat(model: Path, store: Path) -> None:
    result = chat(f"{'x y z ' * 3_000}\n/nonsense\nslow\n", model, store, "--json")
    failed, good = [json.loads(line) for line in result.stdout.splitlines()]
    assert "shorten it" in failed["error"]
    assert len(good["tracks"]) == 3
    assert "/nonsense is not a command" in result.stderr


def test_a_model_of_another_bundle_is_refused(store: Path, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(TokenFormat.of(CODES))
    other = save(tmp_path / "other", make_model(tokenizer, "another"), tokenizer)
    result = chat("slow\n", other, store)
    assert result.exit_code == 3
    assert "tokens of bundle another" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
