"""The metadata of FMA become a table of tracks."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import CliRunner

from tracktokens.pipelines.cli import main

COLUMNS = (
    ("album", "date_released"),
    ("album", "title"),
    ("artist", "name"),
    ("set", "split"),
    ("set", "subset"),
    ("track", "date_recorded"),
    ("track", "genres_all"),
    ("track", "information"),
    ("track", "listens"),
    ("track", "tags"),
    ("track", "title"),
)


def csv_text(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def write_fma(folder: Path, *rows: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    header = [["", *(group for group, _ in COLUMNS)], ["", *(name for _, name in COLUMNS)], ["track_id"] + [""] * 11]
    defaults = {"album/title": "Album", "artist/name": "Artist", "set/subset": "small", "track/genres_all": "[]"}
    lines = [[row["id"], *((defaults | row).get(f"{group}/{name}", "") for group, name in COLUMNS)] for row in rows]
    (folder / "tracks.csv").write_text(csv_text(header + lines), encoding="utf-8", newline="")
    genres = "genre_id,#tracks,parent,title,top_level\n2,5271,0,International,2\n21,12730,0,Hip-Hop,21\n"
    (folder / "genres.csv").write_text(genres, encoding="utf-8")
    return folder


def run_import(source: Path, out: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["import", "fma", str(source), "--out", str(out), *options])
    assert result.exit_code == code, result.output
    return result.output


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / f"{table}.parquet").to_pylist()
    return found


def test_a_row_below_the_three_header_lines_is_a_track(tmp_path: Path) -> None:
    row = {
        "id": "2",
        "track/title": "Food, Öl",
        "track/information": "<p>two\nlines</p>",
        "track/genres_all": "[21, 2]",
        "track/tags": "['lo-fi', \"it's\"]",
        "track/listens": "1293",
        "album/date_released": "2009-01-05 00:00:00",
    }
    source = write_fma(tmp_path / "fma/fma_metadata", row, {"id": "10", "track/date_recorded": "2008-11-26 00:00:00"})
    run_import(tmp_path / "fma", tmp_path / "out", "--subset", "small")
    first, second = rows(tmp_path / "out", "tracks")
    assert (first["track_id"], first["title"], first["artist"], first["album"]) == ("2", "Food, Öl", "Artist", "Album")
    assert first["tags"] == ["Hip-Hop", "International", "lo-fi", "it's"]
    assert (first["year"], first["popularity"], first["audio_path"]) == (2009, 1293, None)
    assert (second["title"], second["tags"], second["year"]) == (None, None, 2008)
    run_import(source, tmp_path / "again", "--subset", "small")
    assert (tmp_path / "again/tracks.parquet").read_bytes() == (tmp_path / "out/tracks.parquet").read_bytes()


def test_a_subset_has_the_tracks_of_the_smaller_ones(tmp_path: Path) -> None:
    subsets = ("small", "medium", "large", "")
    source = write_fma(
        tmp_path / "fma", *({"id": str(number), "set/subset": name} for number, name in enumerate(subsets, 1))
    )
    for subset, count in (("small", 1), ("medium", 2), ("large", 3), ("full", 4)):
        run_import(source, tmp_path / subset, "--subset", subset)
        assert len(rows(tmp_path / subset, "tracks")) == count


def test_audio_files_are_found_beside_the_metadata(tmp_path: Path) -> None:
    source = write_fma(tmp_path / "fma_metadata", {"id": "2"}, {"id": "123456"}, {"id": "5"})
    for path in ("000/000002.mp3", "123/123456.mp3"):
        audio = tmp_path / "fma_small" / path
        audio.parent.mkdir(parents=True)
        audio.touch()
    run_import(source, tmp_path / "out")
    paths = [row["audio_path"] for row in rows(tmp_path / "out", "tracks")]
    assert paths == ["000/000002.mp3", "123/123456.mp3", None]
    assert str(tmp_path / "fma_small") in (tmp_path / "out/import.json").read_text(encoding="utf-8")


def test_each_row_is_written_or_rejected(tmp_path: Path) -> None:
    source = write_fma(
        tmp_path / "fma",
        {"id": "1", "track/genres_all": "[2, 999]"},
        {"id": "1"},
        {"id": "x"},
        {"id": "3", "track/tags": "['a' + __import__('os').getcwd()]"},
    )
    with (source / "tracks.csv").open("a", encoding="utf-8") as file:
        file.write("4,2009")  # the file is cut here
    run_import(source, tmp_path / "out")
    assert [row["track_id"] for row in rows(tmp_path / "out", "tracks")] == ["1", "3"]
    lost = [(row["line"], row["reason"], row["id"]) for row in rows(tmp_path / "out", "rejects")]
    assert lost == [
        (4, "value_unreadable", "1"),
        (5, "same_id", "1"),
        (6, "no_id", None),
        (7, "value_unreadable", "3"),
        (8, "malformed", None),
    ]
    assert rows(tmp_path / "out", "tracks")[0]["tags"] == ["International"]


def test_files_and_columns_that_are_not_read_are_counted_and_unreadable_values_rejected(tmp_path: Path) -> None:
    source = write_fma(tmp_path / "fma", {"id": "1", "track/listens": "many", "album/date_released": "soon"})
    (source / "raw_tracks.csv").touch()
    run_import(source, tmp_path / "out")
    details = [row["detail"] for row in rows(tmp_path / "out", "rejects")]
    assert sorted(details) == ["'many' is not a number", "'soon' is not a year"]
    counts = json.loads((tmp_path / "out/import.json").read_text(encoding="utf-8"))["counts"]
    assert counts["found"]["files not used"] == 1
    assert counts["found"]["columns not used"] == 2 + 3  # split and information; #tracks, parent and top_level


def test_a_folder_or_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no tracks.csv" in run_import(tmp_path / "empty", tmp_path / "out", code=2)
    source = write_fma(tmp_path / "fma")
    (source / "tracks.csv").write_text("id,title\n1,Blue\n", encoding="utf-8")
    assert "has no column set/subset" in run_import(source, tmp_path / "out", code=3)
