"""Published conversations: every layout is read, and nothing is lost without a reject."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from tests.support.vector_catalog import write_vectors
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO

pytestmark = pytest.mark.job

TRACKS = 10

DIALOG = {
    "id": "d1",
    "turns": [
        {"user_query": "Party music?", "system_response": "Here.", "liked_results": ["t1", "t2", "gone"]},
        {"user_query": "", "system_response": None, "liked_results": []},
        {"user_query": "More", "system_response": None, "liked_results": ["gone"]},
        {"user_query": None, "system_response": "Bye.", "liked_results": []},
    ],
}

SESSION = {
    "session_id": "s1",
    "user_id": "7",
    "conversation_goal": {"category": "H", "listener_goal": "new artists", "specificity": None},
    "conversations": [
        {"turn_number": 1, "role": "user", "content": "something new", "thought": ""},
        {"turn_number": 1, "role": "music", "content": "t4", "thought": "secret"},
        {"turn_number": 1, "role": "assistant", "content": "Try this.", "thought": None},
        {"turn_number": 2, "role": "user", "content": "next", "thought": None},
        {"turn_number": 2, "role": "music", "content": "t5", "thought": None},
        {"turn_number": 3, "role": "user", "content": "and?", "thought": None},
        {"turn_number": 3, "role": "music", "content": "gone", "thought": None},
        {"turn_number": 3, "role": "assistant", "content": "Maybe.", "thought": None},
        {"turn_number": 4, "role": "user", "content": "last", "thought": None},
    ],
}

MESSAGES = [
    {"role": "user", "content": "something new"},
    {"role": "assistant", "content": "Try this.", "tracks": ["t4"]},
    {"role": "user", "content": "next"},
    {"role": "assistant", "content": "", "tracks": ["t5"]},
    {"role": "user", "content": "and?"},
    {"role": "assistant", "content": "Maybe."},
    {"role": "user", "content": "last"},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("import")
    ids = [f"t{n}" for n in range(TRACKS - 1)] + ["x:t1"]
    pq.write_table(pa.table({"track_id": ids, "title": ids}), folder / "tracks.parquet")
    write_vectors(folder / "audio.parquet", np.random.default_rng(0).standard_normal((TRACKS, 8)).astype(np.float32))
    embeddings = {AUDIO: PrecomputedConfig(path=str(folder / "audio.parquet"), version="x")}
    source = CatalogSource(tracks=str(folder / "tracks.parquet"), embeddings=embeddings, encoders={})
    RunJob(source=source, store=str(folder / "store"), codebook_size=4).run(PipelineRunner())
    return folder / "store"


def run(store: Path, dataset: str, path: Path, out: Path, *options: str) -> Result:
    arguments = [
        "import",
        "conversations",
        str(path),
        "--dataset",
        dataset,
        "--store",
        str(store),
        "--out",
        str(out),
        *options,
    ]
    return CliRunner().invoke(main, arguments)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_liked_results_of_cpcd_are_recommendations(store: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "dialogs.jsonl.gz", tmp_path / "out.jsonl"
    path.write_bytes(gzip.compress(json.dumps(DIALOG).encode()))
    result = run(store, "cpcd", path, out, "--split", "test", "--json")
    assert json.loads(result.stdout) == {
        "read": 1, "written": 1, "rejected": 0, "tracks": 2, "unknown_tracks": 2, "empty_messages": 1
    }  # fmt: skip
    assert read_lines(out) == [
        {
            "id": "d1",
            "messages": [
                {"role": "user", "content": "Party music?"},
                {"role": "assistant", "content": "Here.", "tracks": ["t1", "t2"]},
                {"role": "user", "content": "More"},
                {"role": "assistant", "content": "Bye."},
            ],
            "split": "test",
        }
    ]
    rejects = read_lines(tmp_path / "out.jsonl.rejects")
    assert [(row["line"], row["turn"], row["reason"]) for row in rejects] == [
        (1, 1, "unknown_track"),
        (1, 3, "unknown_track"),
    ]
    assert rejects[0]["detail"] == "the release does not have gone"


@pytest.mark.parametrize("name", ["talk.jsonl", "talk.json", "talk.parquet"])
def test_a_track_of_talkplay_and_the_text_after_it_are_one_message(store: Path, tmp_path: Path, name: str) -> None:
    path, out = tmp_path / name, tmp_path / "out.jsonl"
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist([SESSION]), path)
    else:
        path.write_text(
            json.dumps([SESSION] if name.endswith("json") else SESSION, indent=1 if name.endswith("json") else None)
        )
    assert run(store, "talkplay", path, out).exit_code == 0
    [line] = read_lines(out)
    assert line == {"id": "s1", "messages": MESSAGES, "goal": {"category": "H", "listener_goal": "new artists"}}
    [reject] = read_lines(tmp_path / "out.jsonl.rejects")
    assert (reject["line"], reject["turn"], reject["detail"]) == (1, 3, "the release does not have gone")


def test_bad_records_are_rejected_with_the_reason_and_others_are_written(store: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "talks.jsonl", tmp_path / "out.jsonl"
    bad = [
        "{no json",
        "[1]".replace("[1]", "7"),
        json.dumps({"session_id": "s2"}),
        json.dumps({"session_id": "s3", "conversations": [{"role": "system", "content": "x"}]}),
        json.dumps({"session_id": "s4", "conversations": [{"role": "user", "content": 5}]}),
        json.dumps({"session_id": "s5", "conversations": [{"role": "music", "content": None}]}),
        json.dumps({"session_id": 6, "conversations": [{"role": "user", "content": "x"}]}),
    ]
    path.write_text("\n".join([json.dumps(SESSION), "", *bad]))
    result = run(store, "talkplay", path, out)
    assert result.output.startswith(f"{1 + len(bad)} read, 1 written, {len(bad)} rejected\n")
    rejects = [row for row in read_lines(tmp_path / "out.jsonl.rejects") if row["reason"] == "malformed"]
    assert [row["line"] for row in rejects] == list(range(3, 3 + len(bad)))
    reasons = [
        "invalid JSON",
        "not an object",
        "has no session_id",
        "role 'system'",
        "content is not a text",
        "no messages",
    ]
    for row, reason in zip(rejects, reasons, strict=False):
        assert reason in row["detail"]


def test_a_prefix_makes_the_ids_of_the_catalog(store: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "dialogs.jsonl", tmp_path / "out.jsonl"
    path.write_text(json.dumps(DIALOG))
    assert run(store, "cpcd", path, out, "--prefix", "x:").exit_code == 0
    assert read_lines(out)[0]["messages"][1]["tracks"] == ["x:t1"]


@pytest.mark.parametrize(
    ("content", "options", "code", "message"),
    [
        (json.dumps(DIALOG), ["--prefix", "y:"], 3, "the release has none of its 4 tracks, for example 'y:t1'"),
        (json.dumps(SESSION), [], 3, "none of 1 records is a conversation of this dataset: has no id, or no turns"),
        ("[{]", [], 3, "is not a JSON array"),
        ("", [], 3, "none of"),
        (None, [], 2, "give the file of the conversations"),
    ],
)
def test_a_file_that_cannot_be_imported_is_an_error_of_one_line(
    store: Path, tmp_path: Path, content: str | None, options: list[str], code: int, message: str
) -> None:
    path, out = tmp_path / "dialogs.jsonl", tmp_path / "out.jsonl"
    if content is not None:
        path.write_text(content)
    result = run(store, "cpcd", path, out, *options)
    assert result.exit_code == code
    assert message in result.output
    assert not out.exists()


def test_imported_conversations_render(store: Path, tmp_path: Path) -> None:
    path, out, rendered = (tmp_path / name for name in ("talks.jsonl", "out.jsonl", "rendered.jsonl"))
    path.write_text(json.dumps(SESSION))
    assert run(store, "talkplay", path, out).exit_code == 0
    arguments = ["render", "conversations", str(out), "--store", str(store), "--out", str(rendered)]
    assert CliRunner().invoke(main, arguments).output == "1 read, 1 written, 0 rejected\n"
