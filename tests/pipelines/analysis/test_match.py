"""Tokens find the tracks of a release: the command, and the index that it reads."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from tests.support.vector_catalog import CODES, job, write_catalog
from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.matching import code_similarity
from tracktokens.codebooks.matching.token_index import Matching
from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
from tracktokens.codebooks.tokens.parsing import parse_tokens
from tracktokens.pipelines.analysis.match import find_tracks
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import find_release, latest_id

pytestmark = pytest.mark.job

TRACKS = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A store of 60 tracks in eight groups and four buckets; popularity rises with the number, except five unknown."""
    folder = write_catalog(tmp_path_factory.mktemp("catalog"), TRACKS)
    tracks = pq.read_table(folder / "tracks.parquet")
    popularity = [None if n < 5 else float(n // 2) for n in range(TRACKS)]
    tracks = tracks.set_column(
        tracks.column_names.index("popularity"), "popularity", pa.array(popularity, pa.float64())
    )
    pq.write_table(tracks, folder / "tracks.parquet")
    (folder / "store").mkdir()
    (folder / "store" / "store.json").write_text('{"kind": "tracktokens.store", "format": 1, "buckets": 4}')
    return folder / "store", job(folder, *MODALITIES).run(PipelineRunner())


@pytest.fixture
def store(run: tuple[Path, RunResult]) -> Path:
    return run[0]


@pytest.fixture
def table(run: tuple[Path, RunResult]) -> list[dict]:
    return pq.read_table(f"{run[1].release.folder}/tokens").to_pylist()


def popularity(track_id: str) -> float:
    number = int(track_id[1:])
    return 0 if number < 5 else number // 2


def plain_ranking(table: list[dict], wanted: dict[str, int | None]) -> list[tuple[str, float]]:
    """Score the rows of the token table one by one; slow and simple."""
    weights = dict(zip(MODALITIES, MATCHING_WEIGHTS, strict=True))
    whole = sum(weights[m] for m in wanted)
    scored = [(sum(weights[m] for m in wanted if row[m] == wanted[m]) / whole, row["track_id"]) for row in table]
    best = sorted((-score, -popularity(track_id), track_id) for score, track_id in scored if score)
    return [(track_id, -score) for score, _, track_id in best]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_release_of_several_buckets_is_searched_and_the_popular_win_ties(store: Path, table: list[dict]) -> None:
    for track in table[::7]:
        wanted = {"playlist": track["playlist"], "tags": (track["tags"] + 1) % CODES, "audio": track["audio"]}
        text = "".join(f"<|{modality}_{code}|>" for modality, code in wanted.items())
        found = find_tracks(str(store), text, top=TRACKS)
        expected = plain_ranking(table, wanted)
        assert [track.track_id for track in found.tracks] == [track_id for track_id, _ in expected]
        assert [track.score for track in found.tracks] == pytest.approx([score for _, score in expected])
        assert [track.track_id for track in find_tracks(str(store), text, top=3).tracks] == [t for t, _ in expected[:3]]


def test_found_tracks_have_their_names_and_tokens(store: Path, table: list[dict]) -> None:
    rows = {row["track_id"]: row for row in table}
    found = find_tracks(str(store), rows["t17"]["tokens"], top=1)
    [track] = found.tracks
    number = int(track.track_id[1:])
    assert (track.title, track.artist) == (f"song {number}", f"artist {number // 3}")
    assert track.tokens == rows[track.track_id]["tokens"]
    assert track.similarities == dict.fromkeys(MODALITIES, 1.0)
    assert found.release_id == latest_id(str(store))


def test_graded_mode_takes_the_centroids_of_the_bundle(
    store: Path, run: tuple[Path, RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_similarity, "SHARPNESS", 1)  # few codes, all of them far from each other
    monkeypatch.setattr(code_similarity, "LEVELS", 1 << 30)
    files = list((store / "codebooks").glob("*/audio.safetensors"))
    centroids = Codebook.from_bytes(files[0].read_bytes()).centroids.astype(float)
    found = find_tracks(str(store), "<|audio_3|>", matching=Matching(graded=True), top=TRACKS)
    distances = ((centroids - centroids[3]) ** 2).sum(axis=1)
    pairs = ((centroids[:, np.newaxis] - centroids) ** 2).sum(axis=2)
    expected = np.maximum(0, 1 - distances / (pairs.sum() / (CODES * (CODES - 1))))
    codes = [int(track.tokens.split("<|audio_")[1][:-2]) for track in found.tracks]
    assert [track.score for track in found.tracks] == pytest.approx(expected[codes], abs=1e-5)
    assert len(found.tracks) == sum(
        expected[row["audio"]] > 0 for row in pq.read_table(f"{run[1].release.folder}/tokens").to_pylist()
    )
    assert len(set(codes)) > 1


@pytest.fixture
def index(store: Path) -> ReleaseIndex:
    opened = Store.open(str(store))
    return ReleaseIndex.read(opened, find_release(opened, latest_id(str(store))))


def test_only_allowed_tracks_are_found(index: ReleaseIndex, table: list[dict]) -> None:
    query = parse_tokens("".join(f"<|playlist_{table[0]['playlist']}|>"), index.size)
    allowed = {"t3", "t11", "t30", "t59", "not here"}
    found = index.ids(index.index.match(query, allowed=index.rows(allowed)).rows)
    same = {row["track_id"] for row in table if row["playlist"] == table[0]["playlist"]}
    assert set(found) == same & allowed


def test_the_tree_for_generation_has_the_tuples_of_the_allowed_tracks(index: ReleaseIndex, table: list[dict]) -> None:
    tuples = {row["track_id"]: tuple(row[m] for m in MODALITIES) for row in table}
    assert len(index.tree()) == len(set(tuples.values()))
    few = index.tree(index.rows(["t1", "t2"]))
    assert len(few) == len({tuples["t1"], tuples["t2"]})
    assert few.find(tuples["t1"]) is not None


def test_the_command_prints_tracks_with_titles_scores_and_what_matched(store: Path, table: list[dict]) -> None:
    row = max(table, key=lambda row: popularity(row["track_id"]))
    alike = [other for other in table if all(other[m] == row[m] for m in ("playlist", "audio"))]
    best = max(alike, key=lambda row: (popularity(row["track_id"]), -int(row["track_id"][1:])))
    text = f"<|audio_{row['audio']}|><|lyrics_none|><|playlist_{row['playlist']}|>"
    first, tokens = call("match", text, "--store", store, "--top", 1).stdout.splitlines()
    number = int(best["track_id"][1:])
    assert first == f"0.963  song {number} - artist {number // 3}  (playlist, audio)"  # 26 of 27
    assert tokens.strip() == best["tokens"]
    weighted = call("match", text, "--store", store, "--top", 1, "--weights", "lyrics=6, playlist=1").stdout
    assert weighted.startswith("0.250  ")  # 2 of 8


def test_json_has_all_of_it(store: Path, table: list[dict]) -> None:
    release = latest_id(str(store))
    text = f"<|audio_{table[0]['audio']}|><|tags_none|>"
    result = call("match", text, "--store", store, "--release", release, "--mode", "graded", "--top", 2, "--json")
    content = json.loads(result.stdout)
    assert content["release_id"] == release
    assert content["shares"] == pytest.approx({"tags": 5 / 6, "audio": 1 / 6})
    assert [track["similarities"] for track in content["tracks"]] == [{"tags": 0.0, "audio": 1.0}] * 2
    assert [track["score"] for track in content["tracks"]] == pytest.approx([1 / 6] * 2)


def test_no_match_is_reported(store: Path) -> None:
    result = call("match", "<|lyrics_none|>", "--store", store)
    assert (result.exit_code, result.stdout) == (0, f"no track of {latest_id(str(store))} matches\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["<|audio_8|>"], "audio codes range from 0 to 7"),
        (["hello"], "'hello' is not a token"),
        (["<|audio_1|>", "--release", "nobody"], "has no release nobody"),
        (["<|audio_1|>", "--weights", "mood=1"], "'mood=1' is not MODALITY=WEIGHT"),
        (["<|audio_1|>", "--weights", "audio=-1"], "no weight below 0"),
        (["<|audio_1|>", "--weights", "audio"], "is not MODALITY=WEIGHT"),
        (["<|audio_1|>", "--top", "0"], "--top"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_the_error(store: Path, arguments: list[str], says: str) -> None:
    result = call("match", *arguments, "--store", store)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_store_without_a_release_is_wrong_usage(tmp_path: Path) -> None:
    Store.open_or_create(str(tmp_path), 1)
    with pytest.raises(UsageError, match="has no release"):
        find_tracks(str(tmp_path), "<|audio_1|>")
