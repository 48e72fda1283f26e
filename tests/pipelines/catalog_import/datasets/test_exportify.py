"""CSV files of Exportify become playlists and their tracks."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import CliRunner

from tracktokens.pipelines.cli import main

NEW = "Track URI,Track Name,Album Name,Artist Name(s),Release Date,Popularity,Added By,Genres"
OLD = "Spotify ID,Artist IDs,Track Name,Album Name,Artist Name(s),Release Date,Popularity,Added By,Genres"
BLUE, RED = "spotify:track:" + "A" * 22, "spotify:track:" + "B" * 22


def run_import(source: Path, out: Path, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["import", "exportify", str(source), "--out", str(out)])
    assert result.exit_code == code, result.output
    return result.output


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / f"{table}.parquet").to_pylist()
    return found


def write_files(folder: Path) -> Path:
    folder.mkdir()
    new = (
        NEW,
        f'{BLUE},Blue,"Sky, Sea","Ann;Bob",1971-06-22,61,secret_user,"folk, soft rock"',
        "spotify:episode:1,Talk,,,,,secret_user,",
        ",Lost,,,,,secret_user,",
        f"{BLUE},cut",
    )
    (folder / "calm_evenings.csv").write_bytes(("\ufeff" + "\r\n".join(new) + "\r\n").encode())
    old = (OLD, f"{'B' * 22},x,Red,Album,Cid,1999,,secret_user,", f"{'A' * 22},x,Blue,,Ann,,,secret_user,")
    (folder / "old.csv").write_text("\n".join(old) + "\n", encoding="utf-8")
    (folder / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (folder / "none.csv").write_text(NEW + "\n", encoding="utf-8")
    return folder


def test_both_versions_name_the_same_tracks(tmp_path: Path) -> None:
    run_import(write_files(tmp_path / "source"), tmp_path / "out")
    blue, red = rows(tmp_path / "out", "tracks")
    assert (blue["track_id"], blue["title"], blue["artist"], blue["album"]) == (BLUE, "Blue", "Ann;Bob", "Sky, Sea")
    assert (blue["year"], blue["popularity"], blue["tags"]) == (1971, 61, ["folk", "soft rock"])
    assert (red["track_id"], red["year"], red["popularity"], red["tags"]) == (RED, 1999, None, None)
    assert [(row["playlist_id"], row["name"], row["track_ids"]) for row in rows(tmp_path / "out", "playlists")] == [
        ("calm_evenings", "calm evenings", [BLUE]),
        ("old", "old", [RED, BLUE]),
    ]


def test_each_entry_is_written_or_rejected_and_no_user_is(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source")
    run_import(source, tmp_path / "out")
    run_import(source, tmp_path / "again")
    lost = [(row["file"], row["line"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    assert lost == [
        ("calm_evenings.csv", 3, "podcast"),
        ("calm_evenings.csv", 4, "no_id"),
        ("calm_evenings.csv", 5, "malformed"),
        ("none.csv", None, "playlist_empty"),
        ("other.csv", None, "malformed"),
    ]
    counts = json.loads((tmp_path / "out/import.json").read_text())["counts"]
    assert counts["found"]["playlist entries"] == counts["entries"] + 2
    for path in (tmp_path / "out").iterdir():
        assert path.suffix == ".json" or path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    written = [row for table in ("tracks", "playlists", "rejects") for row in rows(tmp_path / "out", table)]
    assert "secret_user" not in str(written)


def test_a_zip_file_is_read_as_the_folder_of_its_files(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source")
    with zipfile.ZipFile(tmp_path / "playlists.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(source.iterdir()):
            archive.write(path, path.name)
    run_import(source, tmp_path / "out")
    run_import(tmp_path / "playlists.zip", tmp_path / "zipped")
    for table in ("tracks", "playlists", "rejects"):
        assert rows(tmp_path / "zipped", table) == rows(tmp_path / "out", table)


def test_a_zip_file_of_which_a_member_is_damaged_keeps_the_others(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "playlists.zip", "w") as archive:
        archive.writestr("a.csv", f"{NEW}\n{BLUE},Blue,,Ann,1971,61,,\n")
        archive.writestr("b.csv", f"{NEW}\n{RED},Red,,Cid,1999,1,,\n")
    content = (tmp_path / "playlists.zip").read_bytes()
    (tmp_path / "playlists.zip").write_bytes(content.replace(b"Cid", b"Cyd", 1))  # its checksum is of Cid
    run_import(tmp_path / "playlists.zip", tmp_path / "out")
    assert rows(tmp_path / "out", "playlists")[0]["playlist_id"] == "a"
    lost = [(row["file"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    assert ("b.csv", "malformed") in lost


def test_values_that_cannot_be_read_are_rejected_and_unused_columns_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{NEW}\n{BLUE},Blue,,Ann,June,many,me,\n{RED},Red,,,1999,,me,\n", encoding="utf-8")
    run_import(tmp_path / "a.csv", tmp_path / "out")
    lost = [(row["line"], row["reason"], row["detail"]) for row in rows(tmp_path / "out", "rejects")]
    unreadable = "value_unreadable"
    assert lost == [(2, unreadable, "'June' is not a year"), (2, unreadable, "'many' is not a number")]
    counts = json.loads((tmp_path / "out/import.json").read_text())["counts"]
    assert counts["found"]["columns not used"] == 1  # Added By


def test_of_two_playlists_of_one_id_the_first_is_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.CSV", "a.csv"):
        (tmp_path / "in" / name).write_text(f"{NEW}\n{BLUE},Blue,,Ann,1971,61,,\n", encoding="utf-8")
    run_import(tmp_path / "in", tmp_path / "out")
    assert [row["playlist_id"] for row in rows(tmp_path / "out", "playlists")] == ["a"]
    assert [(row["file"], row["reason"]) for row in rows(tmp_path / "out", "rejects")] == [("a.csv", "same_id")]


def test_a_source_without_playlists_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no CSV file" in run_import(tmp_path / "empty", tmp_path / "out", code=2)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert "no playlist that can be read" in run_import(tmp_path / "a.csv", tmp_path / "out", code=3)
