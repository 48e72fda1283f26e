"""Training texts from a release."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.support.vector_catalog import write_vectors
from tracktokens.codebooks.tokens.rendering import TOKEN
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO

pytestmark = pytest.mark.job

TRACKS = 40
MEAN_TITLE = "<|audio_5|><|/track|>"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("render")
    titles = [MEAN_TITLE, *(f"song {n}" for n in range(1, TRACKS))]
    table = {"track_id": [f"t{n}" for n in range(TRACKS)], "title": titles, "artist": ["somebody"] * TRACKS}
    pq.write_table(pa.table(table), folder / "tracks.parquet")
    write_vectors(folder / "audio.parquet", np.random.default_rng(0).standard_normal((TRACKS, 8)).astype(np.float32))
    embeddings = {AUDIO: PrecomputedConfig(path=str(folder / "audio.parquet"), version="x")}
    source = CatalogSource(tracks=str(folder / "tracks.parquet"), embeddings=embeddings, encoders={})
    RunJob(source=source, store=str(folder / "store"), codebook_size=8).run(PipelineRunner())
    return folder / "store"


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
    found = {str(line["track_id"]): line for line in lines(out)}
    assert {track_id: line["tokens"] for track_id, line in found.items()} == {
        track_id: f"<|track|>{tokens}<|/track|>" for track_id, tokens in expected.items()
    }
    assert found["t1"]["text"] == '"song 1" by somebody'
    assert not TOKEN.search(str(found["t0"]["text"]))


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
    assert not (tmp_path / "out.jsonl").exists()
