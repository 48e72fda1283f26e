"""The next-track benchmark holds the last tracks out, and ranks all others."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "next_track.py"


@pytest.fixture(scope="module")
def next_track() -> ModuleType:
    spec = importlib.util.spec_from_file_location("next_track", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["next_track"] = module
    spec.loader.exec_module(module)
    return module


def prepare(out: Path, *options: str) -> tuple[dict[str, list[str]], dict[str, tuple[list[str], str]]]:
    subprocess.run([sys.executable, str(SCRIPT), "prepare", str(out), *options], check=True)
    train = pq.read_table(out / "train.parquet").to_pylist()
    test = pq.read_table(out / "test.parquet").to_pylist()
    return (
        {row["playlist_id"]: row["track_ids"] for row in train},
        {row["playlist_id"]: (row["track_ids"], row["target"]) for row in test},
    )


def test_the_last_track_of_each_playlist_of_three_is_held_out(tmp_path: Path) -> None:
    lists = {"a": ["t1", "t2", "t1", "t3"], "b": ["t1", "t2"], "c": None, "d": ["t3", "t1", "t2"]}
    table = pa.table({"playlist_id": list(lists), "track_ids": pa.array(lists.values(), pa.list_(pa.string()))})
    pq.write_table(table, tmp_path / "playlists.parquet")
    train, test = prepare(tmp_path / "out", "--playlists", str(tmp_path / "playlists.parquet"))
    assert train == {"a": ["t1", "t2"], "b": ["t1", "t2"], "c": [], "d": ["t3", "t1"]}
    assert test == {"a": (["t1", "t2"], "t3"), "d": (["t3", "t1"], "t2")}


def test_slices_of_the_million_playlists_are_read_in_order_with_their_tracks(tmp_path: Path) -> None:
    def track(name: str) -> dict[str, str]:
        return {"track_uri": f"spotify:track:{name}", "track_name": name, "artist_name": "A", "album_name": "B"}

    for number in (1000, 0):
        playlist = {"pid": number, "tracks": [track(f"{number}-{position}") for position in range(3)]}
        path = tmp_path / "data" / f"mpd.slice.{number}-{number + 999}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"playlists": [playlist]}))
    train, test = prepare(tmp_path / "out", "--mpd", str(tmp_path / "data"), "--most", "1")
    assert train == {"0": ["spotify:track:0-0", "spotify:track:0-1"]}
    assert test["0"][1] == "spotify:track:0-2"
    tracks = pq.read_table(tmp_path / "out" / "tracks.parquet")
    assert tracks.column_names == ["track_id", "title", "artist", "album"]
    assert tracks["title"][0].as_py() == "0-0"


def test_rivals_rank_the_rest_of_the_tracks_and_equal_scores_by_popularity(next_track: ModuleType) -> None:
    train = [["a", "b"], ["a", "b"], ["c", "d"], ["a", "d"], ["e", "c"]]
    split = next_track.Split(train, [["a"], ["unknown"]], ["b", "a"])
    items = next_track.Items(split, sorted(split.counts, key=lambda track: (-split.counts[track], track)))
    assert items.order == ["a", "b", "c", "d", "e"]
    assert next_track.popularity(items) == [["b", "c", "d", "e"], ["a", "b", "c", "d", "e"]]
    near, _ = next_track.item_knn(items)
    assert near[:2] == ["b", "d"]
    result = next_track.measure("kNN", next_track.item_knn(items), split, 0.0)
    assert np.array_equal(result.ranks, [1, 1])
