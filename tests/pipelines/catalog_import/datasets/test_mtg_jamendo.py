"""Tables of MTG-Jamendo become a table of tracks."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import CliRunner

from tests.support.imports import read_counts
from tracktokens.pipelines.cli import main

HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
META_HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tTRACK_NAME\tARTIST_NAME\tALBUM_NAME\tRELEASEDATE\tURL"


def row(number: int, *tags: str) -> str:
    return "\t".join(
        (f"track_{number:07d}", "artist_000014", "album_000031", f"{number % 100:02d}/{number}.mp3", "124.6", *tags)
    )


def write_jamendo(folder: Path, *lines: str, meta: tuple[str, ...] = ()) -> Path:
    folder.mkdir(parents=True)
    (folder / "autotagging.tsv").write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    if meta:
        (folder / "raw.meta.tsv").write_text("\n".join((META_HEADER, *meta)) + "\n", encoding="utf-8")
    return folder


def run_import(source: Path, out: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["import", "jamendo", str(source), "--out", str(out), *options])
    assert result.exit_code == code, result.output
    return result.output


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / f"{table}.parquet").to_pylist()
    return found


def test_tags_spill_over_fields_and_names_are_joined(tmp_path: Path) -> None:
    source = write_jamendo(
        tmp_path / "repository/data",
        row(214, "genre---punkrock", "mood/theme---calm", "genre---punkrock"),
        row(215, "instrument---piano"),
        row(216, ""),
        meta=(
            'track_0000214\tartist_000014\talbum_000031\t"Gonna" Rise\tPunk "X\tLive\t2004-12-28\thttp://a',
            "track_0000215\tartist_000014\talbum_000031\tBlue\t\tArtist\tAlbum\t0000-00-00\thttp://b",
        ),
    )
    run_import(tmp_path / "repository", tmp_path / "out")
    first, second, third = rows(tmp_path / "out", "tracks")
    assert first["tags"] == ["punkrock", "calm"]
    assert (first["title"], first["artist"], first["album"], first["year"]) == ('"Gonna" Rise', 'Punk "X', "Live", 2004)
    assert (second["title"], second["artist"], second["year"]) == ("Blue", "Artist", None)
    assert (third["title"], third["tags"]) == (None, None)
    run_import(source / "autotagging.tsv", tmp_path / "again")
    assert (tmp_path / "again/tracks.parquet").read_bytes() == (tmp_path / "out/tracks.parquet").read_bytes()


def test_audio_may_be_of_low_quality_and_stays_below_its_folder(tmp_path: Path) -> None:
    outside = row(3, "genre---rock").replace("03/3.mp3", "../secret.mp3")
    source = write_jamendo(tmp_path / "data", row(1, "genre---rock"), row(2, "genre---rock"), outside)
    for path in ("audio/01/1.mp3", "audio/02/2.low.mp3", "secret.mp3"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    run_import(source, tmp_path / "out", "--audio-root", str(tmp_path / "audio"))
    assert [row["audio_path"] for row in rows(tmp_path / "out", "tracks")] == ["01/1.mp3", "02/2.low.mp3", None]


def test_each_row_is_written_or_rejected(tmp_path: Path) -> None:
    source = write_jamendo(
        tmp_path / "data", row(1, "genre---rock"), row(1, "genre---pop"), "\ta\tb\tc\td\te", "track_2"
    )
    run_import(source, tmp_path / "out")
    assert [row["track_id"] for row in rows(tmp_path / "out", "tracks")] == ["track_0000001"]
    lost = [(row["line"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    assert lost == [(3, "same_id"), (4, "no_id"), (5, "malformed")]


def test_a_table_of_another_kind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no autotagging.tsv" in run_import(tmp_path / "empty", tmp_path / "out", code=2)
    (tmp_path / "a.tsv").write_text("id\ttitle\n1\tBlue\n", encoding="utf-8")
    assert "does not begin with TRACK_ID" in run_import(tmp_path / "a.tsv", tmp_path / "out", code=3)
    write_jamendo(tmp_path / "none")
    missing = str(tmp_path / "missing")
    assert "is not a folder" in run_import(tmp_path / "none", tmp_path / "out", "--audio-root", missing, code=2)
    assert "no track that can be read" in run_import(tmp_path / "none", tmp_path / "out", code=3)


def test_years_that_are_none_are_rejects_and_other_tables_and_rows_are_counted(tmp_path: Path) -> None:
    names = "track_{}\tartist_000014\talbum_000031\tBlue\tAnn\tSky\t{}\thttp://a"
    meta = (names.format("0000001", "soon"), names.format("0000009", "2001-01-01"), names.format("0000001", "1971"))
    source = write_jamendo(tmp_path / "data", row(1, "genre---rock"), meta=meta)
    (source / "autotagging_top50tags.tsv").touch()
    run_import(source, tmp_path / "out")
    lost = [(row["file"], row["line"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    assert lost == [("raw.meta.tsv", 4, "same_id"), ("raw.meta.tsv", 2, "value_unreadable")]
    found = read_counts(tmp_path / "out")["found"]
    assert (found["files not used"], found["raw.meta.tsv rows of unknown tracks"]) == (1, 1)
    run_import(source / "autotagging.tsv", tmp_path / "again")
    assert "files not used" not in read_counts(tmp_path / "again")["found"]
