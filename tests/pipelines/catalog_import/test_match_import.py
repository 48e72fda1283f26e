"""``--match-to`` writes playlists in the ids of a catalog that exists, and accounts for each track and entry."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.imports import read_counts, read_rows, run_import
from tracktokens.pipelines.catalog_import.read_import import read_import

CATALOG = (
    {"track_id": "t1", "title": "Blue (Remastered 2011)", "artist": "Ann & Bob"},
    {"track_id": "t2", "title": "Red", "artist": "Cid"},
    {"track_id": "spotify:track:3", "title": "Green", "artist": "Dee"},
)


def entry(number: int, title: str, artist: str) -> dict[str, Any]:
    return {"pos": number, "track_uri": f"spotify:track:{number}", "track_name": title, "artist_name": artist}


BLUE, RED, THIRD, GONE = entry(1, "Blue", "Ann"), entry(2, "Redd", "Cid"), entry(3, "?", "?"), entry(4, "Pink", "Eve")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    playlists = [
        {"pid": 0, "name": "calm", "tracks": [BLUE, THIRD, GONE, BLUE]},
        {"pid": 1, "name": "lost", "tracks": [GONE]},
        {"pid": 2, "name": "red", "tracks": [RED, {"pos": 1}]},
    ]
    path = tmp_path / "mpd.slice.0-2.json"
    path.write_text(json.dumps({"playlists": playlists}), encoding="utf-8")
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(list(CATALOG)), tmp_path / "mine.parquet")
    return tmp_path / "mine.parquet"


def test_entries_become_ids_of_the_catalog_or_are_counted(source: Path, catalog: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_import("mpd", source, out, "--match-to", str(catalog), "--match-threshold", "80")
    playlists = [(row["playlist_id"], row["name"], row["track_ids"]) for row in read_rows(out, "playlists")]
    assert playlists == [("0", "calm", ["t1", "t1", "spotify:track:3"]), ("2", "red", ["t2"])]
    matches = [(row["source_id"][-1], row["track_id"], row["matched_by"]) for row in read_rows(out, "matches")]
    assert matches == [("1", "t1", "name"), ("2", "t2", "similar name"), ("3", "spotify:track:3", "id")]
    lost = [(row["table"], row["id"], row["reason"], row["detail"]) for row in read_rows(out, "rejects")]
    assert lost == [
        ("playlists", "2", "malformed", "a track without URI"),
        ("tracks", "spotify:track:4", "no_match", "Eve - Pink"),
        ("playlists", "1", "playlist_empty", None),
    ]
    counts = read_counts(out)
    found = counts["found"]
    assert found["playlist entries"] == counts["entries"] + found["playlist entries without a match"] + 1
    assert counts["written"] == {"matches": 3, "playlists": 2}


def test_the_folder_is_a_catalog_with_the_tracks_that_were_matched(source: Path, catalog: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_import("mpd", source, out)
    assert (out / "tracks.parquet").exists()
    assert "--catalog" in run_import("mpd", source, out, "--match-to", str(catalog))
    assert not (out / "tracks.parquet").exists()
    options = {"tracks": str(catalog), "playlists": str(out / "playlists.parquet")}
    assert read_import(str(out)).options == options
    run_import("mpd", source, out)
    assert not (out / "matches.parquet").exists()


def test_the_folder_of_an_import_brings_its_audio(source: Path, catalog: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    catalog.rename(mine / "tracks.parquet")
    summary = {"audio_root": "/music", "embeddings": {"tags": {"path": "a", "column": "b"}}, "counts": {"written": {}}}
    (mine / "import.json").write_text(json.dumps(summary), encoding="utf-8")
    run_import("mpd", source, tmp_path / "out", "--match-to", str(mine))
    read = read_import(str(tmp_path / "out"))
    assert (read.options["audio-root"], read.options["tracks"]) == ("/music", str(mine / "tracks.parquet"))
    assert read.embeddings == {"tags": {"embeddings": "a", "embeddings-column": "b"}}


def test_a_catalog_that_cannot_be_used_is_an_error(source: Path, tmp_path: Path) -> None:
    def message(catalog: Path, code: int) -> str:
        return run_import("mpd", source, tmp_path / "out", "--match-to", str(catalog), code=code)

    assert "No such file" in message(tmp_path / "missing.parquet", 2)
    assert "give a table of tracks, or the folder of an import" in message(tmp_path, 2)
    assert "is not a Parquet file" in message(source, 3)
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    assert "has no column track_id" in message(tmp_path / "other.parquet", 3)
    pq.write_table(pa.table({"track_id": ["a"]}), tmp_path / "none.parquet")
    assert "no track of the source is in" in message(tmp_path / "none.parquet", 3)
    assert not (tmp_path / "out/import.json").exists()
