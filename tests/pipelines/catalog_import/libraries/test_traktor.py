"""A collection of Traktor becomes tables."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.imports import read_counts, read_rows, run_import

COLLECTION = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<NML VERSION="19"><HEAD COMPANY="www.native-instruments.com" PROGRAM="Traktor"></HEAD>
<MUSICFOLDERS></MUSICFOLDERS>
<COLLECTION ENTRIES="5">
<ENTRY MODIFIED_DATE="2024/1/14" TITLE="Change" ARTIST="Ann &amp; Ben">
<LOCATION DIR="/:Users/:me/:Music/:House/:" FILE="09 Change (100% Mix).mp3" VOLUME="Macintosh HD" VOLUMEID="x">
</LOCATION>
<ALBUM OF_TRACKS="12" TRACK="9" TITLE="Days"></ALBUM>
<MODIFICATION_INFO AUTHOR_TYPE="user"></MODIFICATION_INFO>
<INFO BITRATE="320000" GENRE="House / Deep" COMMENT="x" PLAYCOUNT="3" RANKING="102" RELEASE_DATE="2010/1/1">
</INFO>
<TEMPO BPM="120.0" BPM_QUALITY="100.0"></TEMPO>
<CUE_V2 NAME="AutoGrid" DISPL_ORDER="0" TYPE="4" START="52.3" LEN="0.0" REPEATS="-1" HOTCUE="0"></CUE_V2>
</ENTRY>
<ENTRY TITLE="" ARTIST=""><LOCATION DIR="/:Music/:" FILE="01 Ann - Win.wav" VOLUME="C:"></LOCATION></ENTRY>
<ENTRY TITLE="" ARTIST=""><LOCATION DIR="/:Music/:" FILE="01 Ann - Win.wav" VOLUME="C:"></LOCATION></ENTRY>
<ENTRY TITLE="No place"></ENTRY>
<ENTRY TITLE="Drive"><LOCATION DIR="/:Sets/:" FILE="d.flac" VOLUME="USB"></LOCATION><INFO></INFO></ENTRY>
</COLLECTION>
<SETS ENTRIES="1"><SET TITLE="Remix"><SLOT></SLOT></SET></SETS>
<PLAYLISTS><NODE TYPE="FOLDER" NAME="$ROOT"><SUBNODES COUNT="5">
<NODE TYPE="PLAYLIST" NAME="_RECORDINGS"><PLAYLIST ENTRIES="0" TYPE="LIST" UUID="r1"></PLAYLIST></NODE>
<NODE TYPE="FOLDER" NAME="Sets"><SUBNODES COUNT="2">
<NODE TYPE="PLAYLIST" NAME="Warm"><PLAYLIST ENTRIES="3" TYPE="LIST" UUID="a31c">
<ENTRY><PRIMARYKEY TYPE="TRACK" KEY="USB/:Sets/:d.flac"></PRIMARYKEY></ENTRY>
<ENTRY><PRIMARYKEY TYPE="TRACK" KEY="Macintosh HD/:Users/:me/:Music/:House/:09 Change (100% Mix).mp3"/></ENTRY>
<ENTRY><PRIMARYKEY TYPE="TRACK" KEY="USB/:Sets/:gone.flac"></PRIMARYKEY></ENTRY>
</PLAYLIST></NODE>
<NODE TYPE="PLAYLIST" NAME="Old"><PLAYLIST ENTRIES="2" TYPE="LIST">
<ENTRY><PRIMARYKEY TYPE="TRACK" KEY="C:/Music/01 Ann - Win.wav"></PRIMARYKEY></ENTRY>
<ENTRY></ENTRY>
</PLAYLIST></NODE></SUBNODES></NODE>
<NODE TYPE="SMARTLIST" NAME="Recent"><SMARTLIST UUID="s1"><SEARCH_EXPRESSION VERSION="1" QUERY="$X"/></SMARTLIST></NODE>
<NODE TYPE="PLAYLIST" NAME="None"><PLAYLIST ENTRIES="0" TYPE="LIST" UUID="b2"></PLAYLIST></NODE>
</SUBNODES></NODE></PLAYLISTS>
</NML>
"""


def import_text(folder: Path, text: str, *options: str, code: int = 0) -> str:
    path = folder / "collection.nml"
    path.write_text(text, encoding="utf-8")
    return run_import("traktor", path, folder / "out", *options, code=code)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traktor")
    for name in ("House/09 Change (100% Mix).mp3", "USB/Sets/d.flac"):
        (folder / "music" / name).parent.mkdir(parents=True)
        (folder / "music" / name).write_bytes(b"")
    import_text(folder, COLLECTION, "--audio-root", str(folder / "music"))
    return folder / "out"


def test_tracks_have_their_columns(imported: Path) -> None:
    change, win, drive = read_rows(imported, "tracks")
    assert (change["title"], change["artist"], change["album"]) == ("Change", "Ann & Ben", "Days")
    assert (change["year"], change["tags"]) == (2010, ["House", "Deep"])
    assert change["popularity"] == pytest.approx(3.36)  # 3 plays, and 0.9 of two stars of five
    assert change["audio_path"] == "House/09 Change (100% Mix).mp3"
    assert (win["title"], win["artist"]) == ("Win", "Ann")  # by its file
    assert (win["popularity"], win["audio_path"]) == (None, None)
    assert drive["audio_path"] == "USB/Sets/d.flac"
    assert all(row["track_id"].startswith("path:") for row in (change, win, drive))


def test_playlists_find_their_tracks(imported: Path) -> None:
    titles = {row["track_id"]: row["title"] for row in read_rows(imported, "tracks")}
    playlists = [
        (row["playlist_id"], row["name"], [titles[one] for one in row["track_ids"]])
        for row in read_rows(imported, "playlists")
    ]
    assert playlists == [("a31c", "Warm", ["Drive", "Change"]), ("Sets/Old", "Old", ["Win"])]


def test_each_record_is_a_row_a_reject_or_counted(imported: Path) -> None:
    counts = read_counts(imported)
    assert counts["found"] == {
        "tracks": 5,
        "playlists": 3,
        "playlist entries": 5,
        "folders of playlists": 1,
        "smart playlists": 1,
        "built-in playlists": 1,
        "remix sets": 1,
    }
    lost = Counter(row["reason"] for row in read_rows(imported, "rejects"))
    assert lost == {"same_id": 1, "no_id": 1, "audio_unknown": 1, "track_unknown": 2, "playlist_empty": 1}
    assert counts["written"]["tracks"] + lost["same_id"] + lost["no_id"] == counts["found"]["tracks"]
    assert counts["written"]["playlists"] + lost["playlist_empty"] == counts["found"]["playlists"]
    assert counts["entries"] + lost["track_unknown"] == counts["found"]["playlist entries"]


def test_a_second_import_writes_the_same_bytes(imported: Path) -> None:
    before = {path.name: path.read_bytes() for path in imported.iterdir()}
    import_text(imported.parent, COLLECTION, "--audio-root", str(imported.parent / "music"))
    assert {path.name: path.read_bytes() for path in imported.iterdir()} == before


def test_a_file_that_is_cut_keeps_what_is_complete(tmp_path: Path) -> None:
    import_text(tmp_path, COLLECTION[: COLLECTION.index("<SETS")])
    assert read_counts(tmp_path / "out")["written"] == {"tracks": 3}
    assert read_counts(tmp_path / "out")["rejected"]["malformed"] == 1
