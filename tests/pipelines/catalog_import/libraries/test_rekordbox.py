"""A collection of rekordbox becomes tables."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.imports import read_counts, read_rows, run_import

COLLECTION = """<?xml version="1.0" encoding="UTF-8"?>

<DJ_PLAYLISTS Version="1.0.0">
  <PRODUCT Name="rekordbox" Version="6.8.5" Company="AlphaTheta"/>
  <COLLECTION Entries="6">
    <TRACK TrackID="253529738" Name="Tom &amp; Ann" Artist="Loop" Composer="" Album="First" Genre="House, Deep"
           Kind="MP3 File" Size="1382226" TotalTime="172" DiscNumber="0" TrackNumber="0" Year="2014"
           AverageBpm="128.00" DateAdded="2018-08-25" BitRate="320" SampleRate="44100"
           Comments="Free! /* Peak / Vocal */" PlayCount="7" Rating="153"
           Location="file://localhost/D:/Music/House%20Sets/tom%20%23%201.mp3"
           Remixer="" Tonality="Fm" Label="" Mix="">
      <TEMPO Inizio="0.025" Bpm="128.00" Metro="4/4" Battito="1"/>
      <POSITION_MARK Name="" Type="0" Start="0.025" Num="0" Red="40" Green="226" Blue="20"/>
    </TRACK>
    <TRACK TrackID="2" Name="Café" Artist="" Year="0" PlayCount="0" Rating="0"
           Location="file://localhost/Users/me/Music/Cafe%CC%81.wav"/>
    <TRACK TrackID="3" Name="Rated" PlayCount="x" Rating="255" Location="file://localhosttidal:tracks:77"/>
    <TRACK TrackID="2" Name="Same id" Location="file://localhost/Users/me/Music/b.wav"/>
    <TRACK TrackID="" Name="No id"/>
    <TRACK TrackID="4" Name=""/>
  </COLLECTION>
  <PLAYLISTS>
    <NODE Type="0" Name="ROOT" Count="4">
      <NODE Type="0" Name="Sets" Count="3">
        <NODE Name="Warm" Type="1" KeyType="0" Entries="3">
          <TRACK Key="2"/>
          <TRACK Key="253529738"/>
          <TRACK Key="99"/>
        </NODE>
        <NODE Name="Warm" Type="1" KeyType="0" Entries="1"><TRACK Key="3"/></NODE>
        <NODE Type="0" Name="Nothing" Count="0"/>
      </NODE>
      <NODE Name="By place" Type="1" KeyType="1" Entries="4">
        <TRACK Key="file://localhost/D:/Music/House Sets/tom # 1.mp3"/>
        <TRACK Key="file://localhost/Users/me/Music/Caf%C3%A9.wav"/>
        <TRACK Key="file://localhost/Users/me/Music/b.wav"/>
        <TRACK/>
      </NODE>
      <NODE Name="Hollow" Type="1" KeyType="0" Entries="0"/>
    </NODE>
  </PLAYLISTS>
</DJ_PLAYLISTS>
"""


def import_text(folder: Path, text: str, *options: str, code: int = 0) -> str:
    path = folder / "collection.xml"
    path.write_text(text, encoding="utf-8")
    return run_import("rekordbox", path, folder / "out", *options, code=code)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rekordbox")
    (folder / "music/House Sets").mkdir(parents=True)
    (folder / "music/House Sets/tom # 1.mp3").write_bytes(b"")
    import_text(folder, COLLECTION, "--audio-root", str(folder / "music"))
    return folder / "out"


def test_tracks_have_their_columns(imported: Path) -> None:
    tom, cafe, rated, nameless = read_rows(imported, "tracks")
    assert (tom["track_id"], tom["title"], tom["artist"], tom["album"]) == ("253529738", "Tom & Ann", "Loop", "First")
    assert (tom["year"], tom["tags"]) == (2014, ["House", "Deep", "Peak", "Vocal"])
    assert tom["popularity"] == pytest.approx(7 + 0.9 * 153 / 255)
    assert tom["audio_path"] == "House Sets/tom # 1.mp3"
    assert (cafe["artist"], cafe["year"], cafe["tags"], cafe["popularity"]) == (None, None, None, None)
    assert rated["popularity"] == pytest.approx(0.9)
    assert nameless["title"] is None


def test_playlists_name_tracks_by_id_or_location(imported: Path) -> None:
    playlists = [(row["playlist_id"], row["name"], row["track_ids"]) for row in read_rows(imported, "playlists")]
    assert playlists == [
        ("Sets/Warm", "Warm", ["2", "253529738"]),
        ("Sets/Warm (2)", "Warm", ["3"]),
        ("By place", "By place", ["253529738", "2", "2"]),
    ]


def test_each_record_is_a_row_a_reject_or_counted(imported: Path) -> None:
    counts = read_counts(imported)
    assert counts["found"] == {
        "tracks": 6,
        "tracks without a location": 1,
        "playlists": 4,
        "playlist entries": 8,
        "folders of playlists": 2,
    }
    lost = Counter(row["reason"] for row in read_rows(imported, "rejects"))
    assert lost == {"same_id": 1, "no_id": 1, "audio_unknown": 2, "track_unknown": 2, "playlist_empty": 1}
    assert counts["written"]["tracks"] + lost["same_id"] + lost["no_id"] == counts["found"]["tracks"]
    assert counts["written"]["playlists"] + lost["playlist_empty"] == counts["found"]["playlists"]
    assert counts["entries"] + lost["track_unknown"] == counts["found"]["playlist entries"]


def test_a_second_import_writes_the_same_bytes(imported: Path) -> None:
    before = {path.name: path.read_bytes() for path in imported.iterdir()}
    import_text(imported.parent, COLLECTION, "--audio-root", str(imported.parent / "music"))
    assert {path.name: path.read_bytes() for path in imported.iterdir()} == before


def test_a_file_that_is_cut_keeps_what_is_complete(tmp_path: Path) -> None:
    import_text(tmp_path, COLLECTION[: COLLECTION.index('<TRACK Key="99"/>')])
    counts = read_counts(tmp_path / "out")
    assert counts["written"] == {"tracks": 4}  # the playlist is not complete
    assert counts["rejected"]["malformed"] == 1


def test_a_file_of_a_different_kind_is_an_error(tmp_path: Path) -> None:
    assert "has no track that can be read" in import_text(tmp_path, "<plist><dict/></plist>", code=3)
    assert "has no track that can be read" in import_text(tmp_path, "", code=3)
