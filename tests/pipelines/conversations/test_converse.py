"""Conversations from the playlists of a release: their form, splits, counts and rejects."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from tests.support.chat_endpoint import Endpoint, follow
from tests.support.vector_catalog import write_vectors
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.conversations.splits import SplitShares
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO

pytestmark = pytest.mark.job

TRACKS, PLAYLISTS = 60, 40
LYRICS = "the sea, the sea\nwaves of the sea\nsail away"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converse")
    rows = [
        {
            "track_id": f"t{n}",
            "title": f"Winter {n}" if n % 3 else f"Ich und du {n}",
            "artist": f"artist {n % 7}",
            "tags": [["rock", "sad"], ["jazz", "piano"], ["low quality"]][n % 3],
            "album": f"album {n % 5}",
            "year": 1980 + n % 30,
            "lyrics": LYRICS if n % 2 else None,
        }
        for n in range(TRACKS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "tracks.parquet")
    write_vectors(folder / "audio.parquet", np.random.default_rng(0).standard_normal((TRACKS, 8)).astype(np.float32))
    embeddings = {AUDIO: PrecomputedConfig(path=str(folder / "audio.parquet"), version="x")}
    source = CatalogSource(tracks=str(folder / "tracks.parquet"), embeddings=embeddings, encoders={})
    RunJob(source=source, store=str(folder / "store"), codebook_size=8).run(PipelineRunner())
    chance = np.random.default_rng(1)
    playlists = [
        {"playlist_id": f"p{n}", "title": "Snow days", "track_ids": [f"t{t}" for t in chance.permutation(TRACKS)[:12]]}
        for n in range(PLAYLISTS)
    ]
    write_lines(folder / "playlists.jsonl", playlists)
    return folder


def write_lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def converse(folder: Path, out: Path, *options: str) -> Result:
    given = ["--store", str(folder / "store"), "--out", str(out)]
    given += [] if "--playlists" in options else ["--playlists", str(folder / "playlists.jsonl")]
    return CliRunner().invoke(main, ["converse", *given, *options])


def test_each_playlist_becomes_a_conversation_about_its_tracks(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "talks.jsonl"
    result = converse(folder, out, "--json", "--tracks", str(folder / "tracks.parquet"))
    assert result.exit_code == 0, result.output
    stats = json.loads(result.stdout)
    listed = {row["playlist_id"]: row["track_ids"] for row in read_lines(folder / "playlists.jsonl")}
    talks = read_lines(out)
    assert [talk["id"] for talk in talks] == [f"p{n}#1" for n in range(PLAYLISTS)]
    for talk in talks:
        text = " ".join(message["content"] for message in talk["messages"])
        named = [part.split("]")[0] for part in text.split("[track:")[1:]]
        assert named
        assert set(named) <= set(listed[talk["playlist"]])
    assert stats["playlists_used"] == stats["playlists_read"] == PLAYLISTS
    assert stats["conversations"] == Counter(talk["split"] for talk in talks)
    assert stats["goals"] == Counter(talk["goal"]["kind"] for talk in talks)
    assert stats["tracks_table"]["tracks_read"] == TRACKS
    assert stats["invalid_plans"] == 0
    assert stats["skeletons"] > 100
    assert 0.1 < stats["distinct_2"] < 1
    assert (tmp_path / "talks.jsonl.rejects").read_text() == ""


def test_albums_years_and_lyrics_are_asked_for_with_the_table_of_tracks_alone(folder: Path, tmp_path: Path) -> None:
    kinds = {}
    for name, options in {"store": [], "table": ["--tracks", str(folder / "tracks.parquet")]}.items():
        out = tmp_path / name
        assert converse(folder, out, "--conversations", "400", *options).exit_code == 0
        kinds[name] = {talk["goal"]["kind"] for talk in read_lines(out)}
    assert kinds["table"] - kinds["store"] == {"album", "years", "theme"}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(folder: Path, tmp_path: Path) -> None:
    outs = [tmp_path / name for name in "abc"]
    for out, seed in zip(outs, "112", strict=True):
        assert converse(folder, out, "--seed", seed).exit_code == 0
    first, second, other = (out.read_bytes() for out in outs)
    assert first == second != other


@pytest.mark.parametrize("count", [7, PLAYLISTS, 101])
def test_the_number_of_conversations_is_divided_among_the_playlists(folder: Path, tmp_path: Path, count: int) -> None:
    out = tmp_path / "talks.jsonl"
    assert converse(folder, out, "--conversations", str(count)).exit_code == 0
    talks = read_lines(out)
    per_playlist = Counter(talk["playlist"] for talk in talks)
    assert len(talks) == len({talk["id"] for talk in talks}) == count
    assert max(per_playlist.values()) - (min(per_playlist.values()) if count >= PLAYLISTS else 0) <= 1


def test_a_playlist_is_in_one_split_and_test_playlists_are_the_test(folder: Path, tmp_path: Path) -> None:
    out, held_out = tmp_path / "talks.jsonl", tmp_path / "test.jsonl"
    tracks = [f"t{n}" for n in range(10)]
    write_lines(held_out, [{"playlist_id": name, "track_ids": tracks} for name in ("p3", "q1")])
    result = converse(
        folder, out, "--conversations", "200", "--test-playlists", str(held_out), "--validation-share", "0.4", "--json"
    )
    talks = read_lines(out)
    splits = {
        talk["playlist"]: {other["split"] for other in talks if other["playlist"] == talk["playlist"]} for talk in talks
    }
    assert all(len(found) == 1 for found in splits.values())
    assert {name for name, found in splits.items() if found == {"test"}} == {"p3", "q1"}
    assert 5 < sum(found == {"validation"} for found in splits.values()) < 28
    [reject] = read_lines(tmp_path / "talks.jsonl.rejects")
    assert (reject["reason"], reject["detail"]) == ("id_duplicate", "playlist p3: its id was read before")
    assert json.loads(result.stdout)["playlists_rejected"] == 1


def test_splits_have_their_shares_and_do_not_depend_on_other_playlists() -> None:
    shares = SplitShares(validation=0.2, test=0.1)
    counts = Counter(shares.split_of(f"playlist {n}") for n in range(5000))
    assert {name: round(count / 5000, 1) for name, count in counts.items()} == {
        "train": 0.7,
        "validation": 0.2,
        "test": 0.1,
    }


def test_what_is_not_used_is_counted_and_listed(folder: Path, tmp_path: Path) -> None:
    playlists, out = tmp_path / "odd.jsonl", tmp_path / "talks.jsonl"
    good = {"playlist_id": "good", "track_ids": ["t1", "t2", "t3", "t4", "nobody"]}
    short = {"playlist_id": "short", "track_ids": ["t1", "t1", "t2", "t3", "who"]}
    write_lines(playlists, [good, short, "{no json", {"playlist_id": "good", "track_ids": good["track_ids"]}])
    result = converse(folder, out, "--playlists", str(playlists), "--max-reject-rate", "1", "--json")
    stats = json.loads(result.stdout)
    assert (stats["playlists_read"], stats["playlists_used"], stats["playlists_rejected"]) == (4, 1, 3)
    assert stats["entries_unknown"] == 3
    rejects = read_lines(tmp_path / "talks.jsonl.rejects")
    assert sorted(row["reason"] for row in rejects) == ["id_duplicate", "malformed_row", "playlist_too_short"]
    assert "playlist short: 3 known of 5 listed tracks, 4 needed" in [row["detail"] for row in rejects]


def test_languages_are_drawn_or_chosen_by_the_titles(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "talks.jsonl"
    assert converse(folder, out, "--languages", "de,fr").exit_code == 0
    assert {talk["language"] for talk in read_lines(out)} == {"de", "fr"}
    playlists = tmp_path / "german.jsonl"
    write_lines(playlists, [{"playlist_id": "p", "track_ids": [f"t{n}" for n in range(0, 30, 3)]}])
    assert converse(folder, out, "--playlists", str(playlists)).exit_code == 0
    [talk] = read_lines(out)
    assert talk["language"] == "de"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--languages", "en,xx"], 2, "--languages: 'xx' is not one of en, de, es, fr"),
        (["--validation-share", "0.6", "--test-share", "0.6"], 2, "more than 1 together"),
        (["--release", "none"], 2, "none"),
        (["--test-playlists", "missing.jsonl"], 2, "missing.jsonl"),
        (["--least-tracks", "50"], 3, "no playlist in"),
    ],
)
def test_wrong_options_are_errors_of_one_line(
    folder: Path, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    out = tmp_path / "talks.jsonl"
    result = converse(folder, out, *options)
    assert result.exit_code == code
    assert message in result.output
    assert not out.exists()


def test_the_conversations_render(folder: Path, tmp_path: Path) -> None:
    out, rendered = tmp_path / "talks.jsonl", tmp_path / "rendered.jsonl"
    assert converse(folder, out).exit_code == 0
    store = ["--store", str(folder / "store"), "--out", str(rendered)]
    result = CliRunner().invoke(main, ["render", "conversations", str(out), *store])
    assert result.output == f"{PLAYLISTS} read, {PLAYLISTS} written, 0 rejected\n"
    assert all("[track:" not in line for line in rendered.read_text().splitlines())


def test_an_endpoint_words_the_plans_and_its_answers_are_kept(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "talks.jsonl"
    assert converse(folder, out).exit_code == 0
    by_template = read_lines(out)
    endpoint = Endpoint(lambda number, prompt: (200, follow(prompt) if number % 4 else "Sure!"))
    options = ["--llm", endpoint.url, "--llm-model", "m", "--llm-tries", "1", "--llm-concurrency", "1", "--json"]
    first = json.loads(converse(folder, out, *options).stdout)
    assert first["llm"] == {"worded": 30, "wrong_answers": 10, "by_template": 10}
    talks = read_lines(out)
    assert [{**talk, "messages": 0} for talk in talks] == [{**talk, "messages": 0} for talk in by_template]
    same = [talk == other for talk, other in zip(talks, by_template, strict=True)]
    assert same == [number % 4 == 0 for number in range(1, PLAYLISTS + 1)]
    again = json.loads(converse(folder, out, *options).stdout)
    assert again["llm"]["from_cache"] == 30
    endpoint.close()
    other = converse(folder, tmp_path / "other.jsonl", *options, "--llm-retries", "0")
    assert other.exit_code == 2
    assert "start the server" in other.output
    assert not (tmp_path / "other.jsonl").exists()


def test_a_model_without_an_endpoint_is_an_error(folder: Path, tmp_path: Path) -> None:
    result = converse(folder, tmp_path / "talks.jsonl", "--llm-model", "m")
    assert (result.exit_code, "belong together" in result.output) == (2, True)
