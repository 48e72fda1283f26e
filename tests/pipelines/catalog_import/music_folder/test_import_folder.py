"""A folder of music becomes two tables, and nothing of it is lost without a row of rejects."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.support.imports import refuse_listing
from tests.support.music_files import with_id3_frame, write_audio
from tracktokens.pipelines.catalog_import import lyrics_files
from tracktokens.pipelines.cli import main
from tracktokens.schemas.tables.tracks import TRACKS

RECORDING = "8b882575-08a5-4452-a7a7-cbb8a1531f9e"


def run_import(source: Path, out: Path, *options: str, code: int = 0) -> Any:
    result = CliRunner().invoke(main, ["import", "folder", str(source), "--out", str(out), *options])
    assert result.exit_code == code, result.output
    return result


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    return pq.read_table(out / f"{table}.parquet").to_pylist()


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    write_audio(
        folder / "Ann/Blue/01 - One.mp3", title="One", artist="Ann", album="Blue", date="1971", genre="Folk; Pop"
    )
    write_audio(folder / "Ann/Blue/02 - Two.flac", title="Two", artist="Ann", album="Blue", isrc="US-RC1-76-07839")
    write_audio(folder / "Ben - Three.ogg")
    write_audio(folder / "Ünï/Vier.m4a", title="Vier", artist="Cem")
    write_audio(folder / "five.wv", title="Five", artist="Dee")
    with_id3_frame(write_audio(folder / "Six.mp3"), "UFID", b"http://musicbrainz.org\0" + RECORDING.encode())
    with_id3_frame(write_audio(folder / "again/Six.mp3"), "UFID", b"http://musicbrainz.org\0" + RECORDING.encode())
    write_audio(folder / "talk.mp3", title="Talk", genre="Podcast")
    (folder / "Ann/Blue/02 - Two.lrc").write_text("[00:01.00]I came in\n[00:02.00]from the wild\n", encoding="utf-8")
    (folder / "Ben - Three.txt").write_text("License: http://example.org\na\nb\nc\nd\n", encoding="utf-8")
    (folder / "broken.flac").write_bytes(b"<html>not found</html>" * 9)
    (folder / "cover.jpg").write_bytes(b"\xff\xd8")
    (folder / ".hidden").mkdir()
    (folder / ".hidden/x.mp3").write_bytes(b"")
    (folder / "outside.mp3").symlink_to(Path(__file__))
    return folder


def test_playlists_elsewhere_are_read_when_they_are_named(music: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    (lists / "more").mkdir(parents=True)
    (lists / "a.m3u").write_text(
        f"{music}/Ann/Blue/01 - One.mp3\n../music/Ünï/Vier.m4a\nnobody.mp3\n", encoding="utf-8"
    )
    (lists / "more/b.pls").write_text("[playlist]\nFile1=C:\\Music\\Ann\\Blue\\02 - Two.flac\n", encoding="utf-8")
    (tmp_path / "a.m3u").write_text("five.wv\n", encoding="utf-8")
    named = ["--playlists", str(lists), "--playlists", str(tmp_path / "a.m3u"), "--playlists", str(music)]
    run_import(music, tmp_path / "out", "--workers", "1", *named)
    titles = {row["track_id"]: row["title"] for row in rows(tmp_path / "out", "tracks")}
    found = {
        row["playlist_id"]: [titles[name] for name in row["track_ids"]] for row in rows(tmp_path / "out", "playlists")
    }
    assert found == {"a.m3u": ["One", "Vier"], "more/b.pls": ["Two"], "a.m3u (2)": ["Five"]}
    lost = [row for row in rows(tmp_path / "out", "rejects") if row["table"] == "playlists"]
    assert [(row["file"], row["line"], row["reason"]) for row in lost] == [("a.m3u", 3, "track_unknown")]


@pytest.mark.parametrize("name", ["missing.m3u", "list.txt"])
def test_a_named_playlist_that_is_none_is_an_error_before_anything_is_read(
    music: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "list.txt").write_text("One\n")
    result = run_import(music, tmp_path / "out", "--playlists", str(tmp_path / name), code=2)
    assert f"{name} is neither a folder nor a playlist file (.m3u, .m3u8, .pls, .xspf)" in result.stderr
    assert not list((tmp_path / "out").glob("*.parquet"))


@pytest.fixture(scope="module")
def imported(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported")
    run_import(music, out, "--workers", "1")
    return out


def test_tags_become_columns(imported: Path) -> None:
    assert pq.read_schema(imported / "tracks.parquet").equals(TRACKS)
    tracks = {row["title"]: row for row in rows(imported, "tracks")}
    one = tracks["One"]
    assert (one["artist"], one["album"], one["year"], one["tags"]) == ("Ann", "Blue", 1971, ["Folk", "Pop"])
    assert one["audio_path"] == "Ann/Blue/01 - One.mp3"
    assert tracks["Two"]["track_id"] == "isrc:USRC17607839"
    assert tracks["Two"]["lyrics"].startswith("[00:01.00]I came in")
    assert tracks["Five"]["artist"] == "Dee"  # WavPack, which FFmpeg reads
    assert tracks["Vier"]["audio_path"] == "Ünï/Vier.m4a"


def test_a_file_without_tags_is_named_by_its_file(imported: Path) -> None:
    three = next(row for row in rows(imported, "tracks") if row["title"] == "Three")
    assert (three["artist"], three["lyrics"]) == ("Ben", None)  # the text beside it is a licence


def test_files_are_tracks_or_rejects(imported: Path) -> None:
    tracks, rejects = rows(imported, "tracks"), rows(imported, "rejects")
    lost = Counter(row["reason"] for row in rejects)
    assert lost == {"same_id": 1, "podcast": 1, "link_outside": 1, "tags_unreadable": 1}
    assert len(tracks) + lost["same_id"] + lost["podcast"] == 9  # audio files; one of unreadable tags is a track
    same = next(row for row in rejects if row["reason"] == "same_id")
    assert (same["file"], same["id"], same["detail"]) == ("again/Six.mp3", f"mbid:{RECORDING}", "the same as Six.mp3")


def test_ids_survive_a_move_of_the_folder(music: Path, imported: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(music, tmp_path / "elsewhere", symlinks=True)
    run_import(moved, tmp_path / "out", "--workers", "2")
    assert rows(tmp_path / "out", "tracks") == rows(imported, "tracks")


def test_a_second_import_writes_the_same_bytes(music: Path, imported: Path) -> None:
    before = {path.name: path.read_bytes() for path in imported.iterdir()}
    run_import(music, imported, "--workers", "2")
    assert {path.name: path.read_bytes() for path in imported.iterdir()} == before


@pytest.mark.parametrize(("rule", "prefixes"), [("path", {"path"}), ("isrc", {"isrc"}), ("musicbrainz", {"mbid"})])
def test_the_rule_of_ids_can_be_chosen(music: Path, tmp_path: Path, rule: str, prefixes: set[str]) -> None:
    run_import(music, tmp_path, "--id", rule, "--workers", "1")
    tracks = rows(tmp_path, "tracks")
    assert {row["track_id"].partition(":")[0] for row in tracks} == prefixes
    lost = Counter(row["reason"] for row in rows(tmp_path, "rejects"))
    assert len(tracks) + lost["no_id"] + lost["same_id"] + lost["podcast"] == 9


def playlist_of(music: Path, tmp_path: Path, name: str, content: bytes) -> tuple[list[str], list[str], str | None]:
    """Import a playlist beside the music: titles of its tracks, reasons of its rejects, its name."""
    folder = shutil.copytree(music, tmp_path / "music", symlinks=True)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    run_import(folder, tmp_path / "out", "--workers", "1")
    titles = {row["track_id"]: row["title"] for row in rows(tmp_path / "out", "tracks")}
    found = rows(tmp_path / "out", "playlists")
    lost = [row["reason"] for row in rows(tmp_path / "out", "rejects") if row["table"] == "playlists"]
    return [titles[one] for one in (found[0]["track_ids"] if found else [])], lost, found[0]["name"] if found else None


@pytest.mark.parametrize(
    ("name", "content", "titles"),
    [
        ("lists/a.m3u8", "../Ann/Blue/01 - One.mp3\n../five.wv\n".encode("utf-8-sig"), ["One", "Five"]),
        ("a.m3u", "Ünï\\Vier.m4a\nANN\\blue\\01 - one.MP3\n".encode("cp1252"), ["Vier", "One"]),
        ("a.m3u", "D:\\Old\\Music\\Ann\\Blue\\02 - Two.flac\r\n/home/me/five.wv\r\n".encode("utf-16"), ["Two", "Five"]),
        ("a.pls", b"[playlist]\nFile2=five.wv\nFile1=Six.mp3\nTitle1=x\nNumberOfEntries=2\n", ["Six", "Five"]),
        (
            "a.xspf",
            b'<playlist version="1" xmlns="http://xspf.org/ns/0/"><title>Mine</title><trackList>'
            b"<track><location>file:///C:/Music/%C3%9Cn%C3%AF/Vier.m4a</location></track>"
            b"<track><location>Ben%20-%20Three.ogg</location></track></trackList></playlist>",
            ["Vier", "Three"],
        ),
    ],
)
def test_playlists_find_their_tracks(music: Path, tmp_path: Path, name: str, content: bytes, titles: list[str]) -> None:
    found, lost, title = playlist_of(music, tmp_path, name, content)
    assert (found, lost) == (titles, [])
    assert title == ("Mine" if name.endswith("xspf") else "a")


def test_each_entry_of_a_playlist_is_a_track_or_a_reject(music: Path, tmp_path: Path) -> None:
    content = b"#EXTM3U\n#PLAYLIST:Best\nfive.wv\nhttp://radio/stream\nbest.m3u\n../../etc/passwd\nagain/Six.mp3\n"
    titles, lost, name = playlist_of(music, tmp_path, "best.m3u", content)
    assert (titles, name) == (["Five", "Six"], "Best")
    assert lost == ["not_a_file", "nested_playlist", "track_unknown"]


def test_a_name_that_is_not_unicode_is_a_track_without_audio(music: Path, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    shutil.copy(music / "five.wv", os.fsencode(tmp_path / "music") + b"/caf\xe9.wv")
    (tmp_path / "music/a.m3u").write_bytes(b"caf\xe9.wv\n")
    run_import(tmp_path / "music", tmp_path / "out", "--workers", "1")
    [track] = rows(tmp_path / "out", "tracks")
    assert (track["title"], track["audio_path"]) == ("Five", None)


def test_hostile_xml_is_a_reject(music: Path, tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><playlist><title>&c;</title></playlist>'
    assert playlist_of(music, tmp_path, "a.xspf", bomb) == ([], ["malformed"], None)


def test_a_folder_that_cannot_be_listed_is_one_reject(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (music / "list.m3u").write_text("five.wv\n", encoding="utf-8")
    refuse_listing(music / "Ann", monkeypatch)
    run_import(music, tmp_path / "out", "--workers", "1")
    (music / "list.m3u").unlink()
    assert {"Three", "Vier", "Five"} < {row["title"] for row in rows(tmp_path / "out", "tracks")}
    lost = [(row["table"], row["detail"]) for row in rows(tmp_path / "out", "rejects") if row["file"] == "Ann"]
    assert lost == [("tracks", "a folder: Permission denied")]
    refuse_listing(music, monkeypatch)
    assert "cannot be listed" in run_import(music, tmp_path / "again", "--workers", "1", code=2).output


def test_lyrics_beside_a_file_are_read_without_following_links_and_lost_ones_are_rejects(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_audio(tmp_path / f"music/{name}.mp3")
    (tmp_path / "secret.lrc").write_text("[00:01.00]secret\n", encoding="utf-8")
    (tmp_path / "music/a.lrc").symlink_to(tmp_path / "secret.lrc")
    (tmp_path / "music/b.lrc").write_bytes(b"x" * (lyrics_files.MAX_BYTES + 1))
    (tmp_path / "music/c.txt").write_bytes(b"x" * (lyrics_files.MAX_BYTES + 1))
    run_import(tmp_path / "music", tmp_path / "out", "--workers", "1")
    assert [row["lyrics"] for row in rows(tmp_path / "out", "tracks")] == [None] * 3
    lost = [(row["file"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    assert lost == [("a.lrc", "link_outside"), ("b.lrc", "value_unreadable")]


def test_lyrics_that_must_not_be_read_are_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_audio(tmp_path / "music/sub/a.mp3")
    (tmp_path / "music/sub/a.txt").write_text("closed", encoding="utf-8")

    def refuse(path: str) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(lyrics_files, "open_file", refuse)
    run_import(tmp_path / "music", tmp_path / "out", "--workers", "1")
    (lost,) = rows(tmp_path / "out", "rejects")
    assert (lost["file"], lost["reason"], lost["detail"]) == ("sub/a.txt", "file_unreadable", "Permission denied")


def test_a_file_is_not_a_folder(music: Path, tmp_path: Path) -> None:
    assert "is not a folder" in run_import(music / "five.wv", tmp_path / "out", code=2).output


def test_a_folder_without_music_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    assert "no audio file" in run_import(tmp_path / "docs", tmp_path / "out", "--workers", "1", code=3).output


def test_the_output_is_not_in_the_source_and_not_among_other_files(music: Path, tmp_path: Path) -> None:
    assert "is read" in run_import(music, music / "out", code=2).output
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    assert "has other files (letter.txt)" in run_import(music, tmp_path, code=2).output
