"""Slices of the Million Playlist Dataset become tables."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import CliRunner

from tracktokens.pipelines.cli import main


def entry(number: int, pos: int) -> dict[str, Any]:
    return {
        "pos": pos,
        "artist_name": f"Artist {number % 2}",
        "track_uri": f"spotify:track:{number}",
        "artist_uri": f"spotify:artist:{number % 2}",
        "track_name": f"Song {number}",
        "album_uri": "spotify:album:1",
        "duration_ms": 226863,
        "album_name": "Album",
    }


def playlist(pid: int, name: str, *numbers: int) -> dict[str, Any]:
    tracks = [entry(number, pos) for pos, number in enumerate(numbers)]
    return {"name": name, "collaborative": "false", "pid": pid, "modified_at": 1493424000, "tracks": tracks[::-1]}


def write_slice(folder: Path, first: int, *playlists: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"mpd.slice.{first}-{first + 999}.json"
    path.write_text(json.dumps({"info": {"version": "v1"}, "playlists": playlists}), encoding="utf-8")
    return path


def run_import(source: Path, out: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["import", "mpd", str(source), "--out", str(out), *options])
    assert result.exit_code == code, result.output
    return result.output


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / f"{table}.parquet").to_pylist()
    return found


def test_slices_are_read_by_number_and_entries_by_position(tmp_path: Path) -> None:
    write_slice(tmp_path / "mpd", 10000, playlist(10000, "Road Trip!", 3, 1))
    write_slice(tmp_path / "mpd", 2000, playlist(2000, "road trip", 1, 2), playlist(2001, "2016", 2))
    run_import(tmp_path / "mpd", tmp_path / "out", "--tags-from-names", "2")
    playlists = rows(tmp_path / "out", "playlists")
    assert [row["playlist_id"] for row in playlists] == ["2000", "2001", "10000"]
    assert playlists[2] == {
        "playlist_id": "10000",
        "track_ids": ["spotify:track:3", "spotify:track:1"],
        "name": "Road Trip!",
    }
    tracks = rows(tmp_path / "out", "tracks")
    assert [row["track_id"] for row in tracks] == ["spotify:track:1", "spotify:track:2", "spotify:track:3"]
    assert (tracks[0]["title"], tracks[0]["artist"], tracks[0]["album"]) == ("Song 1", "Artist 1", "Album")
    assert [row["tags"] for row in tracks] == [["road trip"], None, None]  # twice by name


def test_a_slice_that_is_cut_keeps_the_playlists_before_the_cut(tmp_path: Path) -> None:
    path = write_slice(tmp_path / "mpd", 0, playlist(0, "a", 1, 2), playlist(1, "b", 3, 4))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"spotify:track:3")])
    run_import(tmp_path / "mpd", tmp_path / "out")
    assert [row["playlist_id"] for row in rows(tmp_path / "out", "playlists")] == ["0"]
    [lost] = rows(tmp_path / "out", "rejects")
    assert (lost["file"], lost["reason"]) == ("mpd.slice.0-999.json", "malformed")
    assert lost["detail"].startswith("the rest of the file is lost")


def test_each_playlist_and_entry_is_written_or_rejected(tmp_path: Path) -> None:
    holey = {"pid": 5, "name": 7, "tracks": [entry(1, 0), {"pos": 1}, None]}
    write_slice(tmp_path / "mpd", 0, holey, {"pid": 6, "tracks": []}, {"name": "x"}, "text", {"pid": 7, "tracks": [{}]})
    run_import(tmp_path / "mpd", tmp_path / "out")
    summary = json.loads((tmp_path / "out/import.json").read_text(encoding="utf-8"))["counts"]
    lost = Counter((row["reason"], row["id"]) for row in rows(tmp_path / "out", "rejects"))
    assert lost == {
        ("malformed", "5"): 2,
        ("playlist_empty", "6"): 1,
        ("malformed", None): 2,
        ("malformed", "7"): 1,
        ("playlist_empty", "7"): 1,
    }
    assert summary["found"] == {"playlist entries": 4, "playlists": 5, "slices": 1}
    assert (summary["written"], summary["entries"]) == ({"playlists": 1, "tracks": 1}, 1)


def test_the_challenge_set_is_a_slice(tmp_path: Path) -> None:
    content = {"playlists": [{"pid": 1000002, "num_holdouts": 90, "num_samples": 1, "tracks": [entry(1, 0)]}]}
    (tmp_path / "challenge_set.json").write_text(json.dumps(content), encoding="utf-8")
    run_import(tmp_path / "challenge_set.json", tmp_path / "out")
    assert rows(tmp_path / "out", "playlists")[0]["name"] is None


def test_a_folder_without_slices_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mpd").mkdir()
    assert "has no JSON file" in run_import(tmp_path / "mpd", tmp_path / "out", code=2)
    write_slice(tmp_path / "mpd", 0)
    assert "no playlist that can be read" in run_import(tmp_path / "mpd", tmp_path / "out", code=3)


def test_a_playlist_that_is_there_twice_is_written_once_and_one_needs_a_pid(tmp_path: Path) -> None:
    write_slice(tmp_path / "mpd", 0, playlist(0, "a", 1))
    nameless: dict[str, Any] = playlist(1, "b", 2) | {"pid": None}
    write_slice(tmp_path / "mpd", 1000, playlist(0, "copy", 2), nameless)
    run_import(tmp_path / "mpd", tmp_path / "out")
    assert [(row["playlist_id"], row["name"]) for row in rows(tmp_path / "out", "playlists")] == [("0", "a")]
    lost = [(row["line"], row["reason"], row["id"]) for row in rows(tmp_path / "out", "rejects")]
    assert lost == [(1, "same_id", "0"), (2, "malformed", None)]
