"""The tables, lyrics, clips and listening history of Music4All become a catalog."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tracktokens.pipelines.cli import main

TABLES = {
    "id_information.csv": (
        "id\tartist\tsong\talbum_name",
        '0009fFIM1eYThaPg\tCheryl\t"Rain, ""On Me"""\t3 Words',
        "0010xmHR6UICBOYT\tOddisee\tAfter Thoughts\tThe Beauty in All",
        "00CH4HJdxQQQbJfu\t\t\t",
    ),
    "id_metadata.csv": (
        "id\tspotify_id\tpopularity\trelease\tdanceability",
        "0009fFIM1eYThaPg\t3eObKIfHKJ\t21.0\t2009\t0.6",
        "0010xmHR6UICBOYT\t3UALSBoEh5\t32.0\t\t0.6",
        "9999999999999999\t3UALSBoEh6\t32.0\t2010\t0.6",
    ),
    "id_genres.csv": ("id\tgenres", "0009fFIM1eYThaPg\tpop,dance pop", "0010xmHR6UICBOYT\thip hop"),
    "id_tags.csv": ("id\ttags", "0009fFIM1eYThaPg\tpop, cheryl cole,", "0010xmHR6UICBOYT\t"),
    "listening_history.csv": (
        "user\tsong\ttimestamp",
        "user_b\t0010xmHR6UICBOYT\t2019-02-20 12:28",
        "user_a\t0010xmHR6UICBOYT\t2019-02-20 12:40",
        "user_a\t0009fFIM1eYThaPg\t2019-02-20 12:28",
        "user_a\t00CH4HJdxQQQbJfu\t2019-02-20 13:11",
        "user_a\t00CH4HJdxQQQbJfu\t2019-02-20 13:11",
        "user_a\tunknown\t2019-02-20 13:12",
        "user_a\t00CH4HJdxQQQbJfu\tyesterday",
    ),
}


def write_music4all(folder: Path, ending: str = "\n") -> Path:
    folder.mkdir(parents=True)
    for name, lines in TABLES.items():
        (folder / name).write_text(ending.join(lines) + ending, encoding="utf-8", newline="")
    (folder / "lyrics").mkdir()
    (folder / "audios").mkdir()
    (folder / "lyrics/0009fFIM1eYThaPg.txt").write_text("Rain on me\nTonight\n", encoding="utf-8")
    (folder / "audios/0010xmHR6UICBOYT.mp3").touch()
    return folder


def run_import(source: Path, out: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["import", "music4all", str(source), "--out", str(out), *options])
    assert result.exit_code == code, result.output
    return result.output


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / f"{table}.parquet").to_pylist()
    return found


def test_tables_are_joined_by_id(tmp_path: Path) -> None:
    run_import(write_music4all(tmp_path / "source", ending="\r\n"), tmp_path / "out")
    first, second, third = rows(tmp_path / "out", "tracks")
    assert (first["title"], first["artist"], first["album"]) == ('Rain, "On Me"', "Cheryl", "3 Words")
    assert (first["year"], first["popularity"], first["tags"]) == (2009, 21, ["pop", "dance pop", "cheryl cole"])
    assert (first["lyrics"], first["audio_path"]) == ("Rain on me\nTonight\n", None)
    assert (second["year"], second["tags"], second["audio_path"]) == (None, ["hip hop"], "audios/0010xmHR6UICBOYT.mp3")
    assert (third["title"], third["artist"], third["tags"]) == (None, None, None)
    summary = json.loads((tmp_path / "out/import.json").read_text(encoding="utf-8"))
    assert summary["audio_root"] == str(tmp_path / "source")
    assert summary["counts"]["found"]["id_metadata.csv rows of unknown tracks"] == 1


def test_listens_are_cut_into_sessions_and_no_name_is_written(tmp_path: Path) -> None:
    source = write_music4all(tmp_path / "source")
    run_import(source, tmp_path / "out", "--gap", "30")
    playlists = rows(tmp_path / "out", "playlists")
    a, b, c = "0009fFIM1eYThaPg", "0010xmHR6UICBOYT", "00CH4HJdxQQQbJfu"
    assert [row["track_ids"] for row in playlists] == [[a, b], [c], [b]]
    hashes = [row["playlist_id"].split("-") for row in playlists]
    assert [number for _, number in hashes] == ["1", "2", "1"]
    assert hashes[0][0] == hashes[1][0] != hashes[2][0]
    counts = json.loads((tmp_path / "out/import.json").read_text(encoding="utf-8"))["counts"]
    assert (counts["found"]["listens"], counts["found"]["repeated listens"], counts["entries"]) == (7, 1, 4)
    lost = [(row["line"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    assert lost == [(7, "track_unknown"), (8, "malformed")]
    run_import(source, tmp_path / "wide", "--gap", "31")
    assert [row["track_ids"] for row in rows(tmp_path / "wide", "playlists")] == [[a, b, c], [b]]
    for table in ("tracks", "playlists", "rejects"):
        assert "user_a" not in str(rows(tmp_path / "out", table))


def test_an_import_is_the_same_again(tmp_path: Path) -> None:
    source = write_music4all(tmp_path / "source")
    for out in ("one", "two"):
        run_import(source, tmp_path / out)
    for name in ("tracks.parquet", "playlists.parquet", "rejects.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_faulty_rows_are_rejected(tmp_path: Path) -> None:
    source = write_music4all(tmp_path / "source")
    with (source / "id_information.csv").open("ab") as file:
        file.write(b'\tNo id\tSong\tAlbum\n0009fFIM1eYThaPg\tA\tB\tC\n../x\tCaf\xe9\tSong\tAlbum\ncut\t"Art')
    run_import(source, tmp_path / "out")
    tracks = rows(tmp_path / "out", "tracks")
    assert [row["artist"] for row in tracks] == ["Cheryl", "Oddisee", None, "Café"]
    lost = [(row["file"], row["line"], row["reason"]) for row in rows(tmp_path / "out", "rejects")][:3]
    assert lost == [
        ("id_information.csv", 5, "no_id"),
        ("id_information.csv", 6, "same_id"),
        ("id_information.csv", 8, "malformed"),
    ]


def test_a_folder_or_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no id_information.csv" in run_import(tmp_path / "empty", tmp_path / "out", code=2)
    (tmp_path / "empty/id_information.csv").write_text("id,artist,song\n", encoding="utf-8")
    assert "has no column id " in run_import(tmp_path / "empty", tmp_path / "out", code=3)


def test_files_and_columns_that_are_not_read_are_counted_and_unreadable_values_rejected(tmp_path: Path) -> None:
    source = write_music4all(tmp_path / "in")
    (source / "id_lang.csv").touch()
    (source / "id_metadata.csv").write_text("id\tpopularity\trelease\n0009fFIM1eYThaPg\tmany\t\n", encoding="utf-8")
    run_import(source, tmp_path / "out")
    lost = [(row["file"], row["reason"], row["detail"]) for row in rows(tmp_path / "out", "rejects")]
    assert ("id_metadata.csv", "value_unreadable", "'many' is not a number") in lost
    found = json.loads((tmp_path / "out/import.json").read_text(encoding="utf-8"))["counts"]["found"]
    assert (found["files not used"], found.get("columns not used")) == (1, None)


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_lyrics_that_cannot_be_read_are_a_reject(tmp_path: Path, kind: str) -> None:
    source = write_music4all(tmp_path / "in")
    path = source / "lyrics/0010xmHR6UICBOYT.txt"
    {"folder": Path.mkdir, "link": lambda path: path.symlink_to("missing"), "pipe": os.mkfifo}[kind](path)
    run_import(source, tmp_path / "out")
    assert [row["lyrics"] is None for row in rows(tmp_path / "out", "tracks")] == [False, True, True]
    lost = [(row["file"], row["id"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    assert lost[0] == ("lyrics/0010xmHR6UICBOYT.txt", "0010xmHR6UICBOYT", "file_unreadable")


@pytest.mark.parametrize("name", ["id_tags.csv", "listening_history.csv"])
def test_a_table_that_cannot_be_read_is_an_error_and_not_a_missing_one(tmp_path: Path, name: str) -> None:
    source = write_music4all(tmp_path / "in")
    (source / name).unlink()
    (source / name).symlink_to("missing")
    assert f"{name} cannot be read: No such file" in run_import(source, tmp_path / "out", code=2)


def test_lyrics_and_clips_of_unknown_tracks_are_counted(tmp_path: Path) -> None:
    source = write_music4all(tmp_path / "in")
    for name in ("lyrics/unknown.txt", "audios/unknown.mp3", "audios/another.mp3", "audios/.hidden"):
        (source / name).touch()
    run_import(source, tmp_path / "out")
    found = json.loads((tmp_path / "out/import.json").read_text(encoding="utf-8"))["counts"]["found"]
    assert (found["lyrics of unknown tracks"], found["audios of unknown tracks"]) == (1, 2)
