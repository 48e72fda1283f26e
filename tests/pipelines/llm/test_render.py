"""Training texts from a release."""

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from tests.support.titled_store import make_titled_store
from tracktokens.codebooks.tokens.rendering import TOKEN
from tracktokens.pipelines.cli.main import main

pytestmark = pytest.mark.job

TRACKS = 40
MEAN_TITLE = "<|audio_5|><|/track|>"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    titles = [MEAN_TITLE, *(f"song {n}" for n in range(1, TRACKS))]
    return make_titled_store(tmp_path_factory.mktemp("render"), titles)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def token_column(store: Path) -> dict[str, str]:
    release = (store / "LATEST").read_text().strip()
    table = pq.read_table(store / "releases" / release / "tokens").to_pylist()
    return {row["track_id"]: row["tokens"] for row in table}


def test_each_track_is_a_line_with_its_own_tokens_alone(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "tracks.jsonl"
    result = CliRunner().invoke(main, ["render", "tracks", "--store", str(store), "--out", str(out)])
    assert result.output == f"{TRACKS} read, {TRACKS} written, 0 rejected\n"
    expected = token_column(store)
    found = {line.pop("track_id"): line for line in lines(out)}
    assert {track_id: line["completion"] for track_id, line in found.items()} == {
        track_id: [{"role": "assistant", "content": f"<|track|>{tokens}<|/track|>"}]
        for track_id, tokens in expected.items()
    }
    assert found["t1"]["prompt"] == [{"role": "user", "content": '"song 1" by somebody'}]
    assert not TOKEN.search(str(found["t0"]["prompt"]))
    assert {tuple(line) for line in found.values()} == {("prompt", "completion")}  # TRL would train on a text


def test_conversations_name_tracks_by_their_tokens_and_bad_ones_are_rejected(store: Path, tmp_path: Path) -> None:
    good = {
        "id": 7,
        "messages": [
            {"role": "user", "content": f"like {MEAN_TITLE}?"},
            {"role": "assistant", "content": "Try [track:t1].", "tracks": ["t1", "t2"]},
        ],
    }
    stranger = {"messages": [{"role": "assistant", "content": "", "tracks": ["nobody"]}]}
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text("\n".join([json.dumps(good), "", "no json", json.dumps(stranger), '{"messages": [{"role": 1}]}']))
    result = CliRunner().invoke(main, ["render", "conversations", str(path), "--store", str(store), "--out", str(out)])
    assert result.output == "4 read, 1 written, 3 rejected\n"
    tokens = {name: f"<|track|>{text}<|/track|>" for name, text in token_column(store).items()}
    [found] = lines(out)
    assert found == {
        "id": 7,
        "messages": [
            {"role": "user", "content": "like < |audio_5|>< |/track|>?"},
            {"role": "assistant", "content": f"Try {tokens['t1']}. {tokens['t2']}"},
        ],
    }
    reasons = {line["line"]: str(line["reason"]) for line in lines(tmp_path / "out.jsonl.rejects")}
    assert reasons[4] == "the release does not have nobody"
    assert reasons[3].startswith("invalid JSON")
    assert reasons[5].startswith("not an object with a list of messages")


def test_a_file_without_any_usable_conversation_is_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("no json")
    options = ["--store", str(store), "--out", str(tmp_path / "out.jsonl")]
    result = CliRunner().invoke(main, ["render", "conversations", str(tmp_path / "in.jsonl"), *options])
    assert result.exit_code == 3
    assert "line 1: invalid JSON" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def talk(content: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}]}).encode() + b"\n"


def render(store: Path, conversations: Path, out: Path) -> Result:
    return CliRunner().invoke(
        main, ["render", "conversations", str(conversations), "--store", str(store), "--out", str(out)]
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("marked.jsonl", b"\xef\xbb\xbf" + talk("[track:t1]")),
        ("in.jsonl.gz", gzip.compress(talk("[track:t1]"), mtime=0)),
        ("in.jsonl.bz2", bz2.compress(b"\n" + talk("[track:t1]"))),
        ("nan.jsonl", talk("[track:t1]").replace(b'"role"', b'"weight": NaN, "role"')),
        ("mac.jsonl", b"\r" + talk("[track:t1]").replace(b"\n", b"\r")),
    ],
)
def test_conversations_are_read_like_tables(store: Path, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert render(store, tmp_path / name, tmp_path / "out").output == "1 read, 1 written, 0 rejected\n"


@pytest.mark.parametrize("content", [talk("a").decode().encode("utf-16"), gzip.compress(talk("a"), mtime=0)[:-9]])
def test_a_text_that_cannot_be_read_is_refused(store: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("in.jsonl.gz" if content.startswith(b"\x1f") else "in.jsonl")
    path.write_bytes(content)
    assert render(store, path, tmp_path / "out").exit_code == 3
    assert not (tmp_path / "out").exists()


def test_rejected_conversations_are_a_warning(store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in.jsonl").write_bytes(talk("a") + talk("[track:nobody]"))
    assert render(store, tmp_path / "in.jsonl", tmp_path / "out").exit_code == 0
    assert "1 of 2 conversations are rejected: line 2: the release does not have nobody" in caplog.text


@pytest.mark.parametrize(
    ("source", "out"),
    [("none", "out"), ("folder", "out"), ("in", "in"), ("in", "link"), ("in", "folder"), ("in.rejects", "in")],
)
def test_a_wrong_path_is_wrong_usage_and_nothing_is_written(store: Path, tmp_path: Path, source: str, out: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "in").write_bytes(talk("a"))
    (tmp_path / "in.rejects").write_bytes(talk("a"))
    (tmp_path / "link").symlink_to("in")
    assert render(store, tmp_path / source, tmp_path / out).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "in", "in.rejects", "link"]
    assert (tmp_path / "in").read_bytes() == (tmp_path / "in.rejects").read_bytes() == talk("a")


def test_no_text_is_written_into_the_store(store: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(talk("a"))
    latest = (store / "LATEST").read_bytes()
    assert render(store, tmp_path / "in", store / "LATEST").exit_code == 2
    assert (store / "LATEST").read_bytes() == latest


def test_a_link_to_a_file_is_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "train").write_text("old")
    (tmp_path / "link").symlink_to("train")
    ended = CliRunner().invoke(main, ["render", "tracks", "--store", str(store), "--out", str(tmp_path / "link")])
    assert ended.exit_code == 2 and "link" in ended.output
    assert (tmp_path / "train").read_text() == "old"
