"""A library of iTunes becomes tables: tracks by persistent id, and the playlists that people made."""

import json
import plistlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.imports import read_counts, read_rows, run_import

LIBRARY = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Major Version</key><integer>1</integer>
	<key>Application Version</key><string>12.6.1.25</string>
	<key>Music Folder</key><string>file:///Users/ann/Music/iTunes/iTunes%20Media/</string>
	<key>Library Persistent ID</key><string>6B6A2D4B9C042AA1</string>
	<key>Tracks</key>
	<dict>
		<key>1001</key>
		<dict>
			<key>Track ID</key><integer>1001</integer>
			<key>Size</key><integer>7866542</integer>
			<key>Year</key><integer>1971</integer>
			<key>Date Added</key><date>2016-01-10T11:45:41Z</date>
			<key>Play Count</key><integer>12</integer>
			<key>Rating</key><integer>80</integer>
			<key>Persistent ID</key><string>7019FB9D6F49DCC8</string>
			<key>Track Type</key><string>File</string>
			<key>Name</key><string>Carey &#38; Co</string>
			<key>Artist</key><string>Joni Mitchell</string>
			<key>Album</key><string>Blue</string>
			<key>Genre</key><string>Folk/Rock; Pop</string>
			<key>Location</key><string>file:///Users/ann/Music/iTunes/iTunes%20Media/Joni/Blue/Cafe%CC%81.mp3</string>
		</dict>
		<key>1002</key>
		<dict>
			<key>Track ID</key><integer>1002</integer>
			<key>Rating</key><integer>100</integer>
			<key>Rating Computed</key><true/>
			<key>Persistent ID</key><string>7019FB9D6F49DCC9</string>
			<key>Name</key><string>Cloud</string>
			<key>Album Artist</key><string>Ben</string>
			<key>Track Type</key><string>Remote</string>
		</dict>
		<key>1003</key>
		<dict>
			<key>Track ID</key><integer>1003</integer>
			<key>Persistent ID</key><string>A1</string>
			<key>Name</key><string>Talk</string>
			<key>Podcast</key><true/>
		</dict>
		<key>1004</key>
		<dict>
			<key>Track ID</key><integer>1004</integer>
			<key>Persistent ID</key><string>A2</string>
			<key>Name</key><string>Film</string>
			<key>Has Video</key><true/>
			<key>Movie</key><true/>
		</dict>
		<key>1005</key>
		<dict>
			<key>Track ID</key><integer>1005</integer>
			<key>Persistent ID</key><string>7019FB9D6F49DCC8</string>
			<key>Name</key><string>Carey again</string>
		</dict>
		<key>1006</key>
		<dict>
			<key>Track ID</key><integer>1006</integer>
			<key>Persistent ID</key><string></string>
			<key>Name</key><string>No id</string>
		</dict>
		<key>1007</key>
		<dict>
			<key>Track ID</key><integer>1007</integer>
			<key>Name</key><string>Without persistent id</string>
			<key>Location</key><string>file://localhost/C:/Users/ann/Music/other.mp3</string>
		</dict>
		<key>1008</key>
		<dict>
			<key>Track ID</key><integer>1008</integer>
			<key>Persistent ID</key><string>A3</string>
			<key>Track Type</key><string>URL</string>
			<key>Location</key><string>http://radio.example/stream</string>
		</dict>
		<key>1009</key>
		<string>not a track</string>
	</dict>
	<key>Playlists</key>
	<array>
		<dict>
			<key>Name</key><string>Library</string>
			<key>Master</key><true/>
			<key>Playlist Persistent ID</key><string>2F41</string>
			<key>Playlist Items</key>
			<array>
				<dict><key>Track ID</key><integer>1001</integer></dict>
				<dict><key>Track ID</key><integer>1002</integer></dict>
			</array>
		</dict>
		<dict>
			<key>Name</key><string>Downloaded</string>
			<key>Distinguished Kind</key><integer>65</integer>
			<key>Playlist Persistent ID</key><string>2F42</string>
		</dict>
		<dict>
			<key>Name</key><string>Top 25</string>
			<key>Playlist Persistent ID</key><string>2F43</string>
			<key>Smart Info</key><data>AQEAAwAAAAIAAAAZ</data>
			<key>Playlist Items</key><array><dict><key>Track ID</key><integer>1001</integer></dict></array>
		</dict>
		<dict>
			<key>Name</key><string>Parties</string>
			<key>Playlist Persistent ID</key><string>2F44</string>
			<key>Folder</key><true/>
			<key>Playlist Items</key><array><dict><key>Track ID</key><integer>1001</integer></dict></array>
		</dict>
		<dict>
			<key>Name</key><string>Dinner</string>
			<key>Playlist Persistent ID</key><string>2F45</string>
			<key>Parent Persistent ID</key><string>2F44</string>
			<key>Playlist Items</key>
			<array>
				<dict><key>Track ID</key><integer>1002</integer></dict>
				<dict><key>Track ID</key><integer>1003</integer></dict>
				<dict><key>Track ID</key><integer>1005</integer></dict>
				<dict><key>Track ID</key><integer>4711</integer></dict>
				<dict></dict>
			</array>
		</dict>
		<dict>
			<key>Name</key><string>Empty</string>
			<key>Playlist Persistent ID</key><string>2F46</string>
		</dict>
	</array>
</dict>
</plist>
"""


def import_text(folder: Path, text: str | bytes, *options: str, code: int = 0) -> str:
    path = folder / "Library.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return run_import("itunes", path, folder / "out", *options, code=code)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("itunes")
    (folder / "music/Joni/Blue").mkdir(parents=True)
    (folder / "music/Joni/Blue/Café.mp3").write_bytes(b"")  # written with one letter, in the library with two
    import_text(folder, LIBRARY, "--audio-root", str(folder / "music"))
    return folder / "out"


def test_tracks_have_their_columns(imported: Path) -> None:
    carey, cloud, third = read_rows(imported, "tracks")
    assert carey == {
        "track_id": "7019FB9D6F49DCC8",
        "title": "Carey & Co",
        "artist": "Joni Mitchell",
        "album": "Blue",
        "year": 1971,
        "tags": ["Folk/Rock", "Pop"],
        "lyrics": None,
        "audio_path": "Joni/Blue/Café.mp3",
        "audio_version": None,
        "popularity": pytest.approx(12.72),  # 12 plays, and 0.9 of 80 %
    }
    assert (cloud["artist"], cloud["popularity"], cloud["audio_path"]) == ("Ben", None, None)
    assert third["track_id"].startswith("path:")


def test_only_playlists_that_people_made_are_imported(imported: Path) -> None:
    [dinner] = read_rows(imported, "playlists")
    # The entry of the track that has an id twice leads to the first.
    assert dinner == {
        "playlist_id": "2F45",
        "track_ids": ["7019FB9D6F49DCC9", "7019FB9D6F49DCC8"],
        "name": "Dinner",
    }


def test_each_record_is_a_row_a_reject_or_counted(imported: Path) -> None:
    counts = read_counts(imported)
    assert counts["found"] == {
        "tracks": 9,
        "playlists": 2,
        "playlist entries": 5,
        "built-in playlists": 2,
        "smart playlists": 1,
        "folders of playlists": 1,
        "tracks without a location": 1,
    }
    lost = Counter((row["table"], row["reason"]) for row in read_rows(imported, "rejects"))
    assert lost == {
        ("tracks", "podcast"): 1,
        ("tracks", "not_music"): 1,
        ("tracks", "same_id"): 1,
        ("tracks", "no_id"): 1,
        ("tracks", "not_a_file"): 1,
        ("tracks", "malformed"): 1,
        ("tracks", "audio_unknown"): 1,  # a value, whose track is written
        ("playlists", "track_unknown"): 3,
        ("playlists", "playlist_empty"): 1,
    }
    assert (counts["written"], counts["entries"]) == ({"tracks": 3, "playlists": 1}, 2)
    same = next(row for row in read_rows(imported, "rejects") if row["reason"] == "same_id")
    assert (same["file"], same["line"], same["detail"]) == ("Library.xml", 5, "the same as row 1")


def test_a_second_import_writes_the_same_bytes(imported: Path) -> None:
    before = {path.name: path.read_bytes() for path in imported.iterdir()}
    import_text(imported.parent, LIBRARY, "--audio-root", str(imported.parent / "music"))
    assert {path.name: path.read_bytes() for path in imported.iterdir()} == before


def test_run_gets_the_audio_root(imported: Path) -> None:
    summary = json.loads((imported / "import.json").read_text(encoding="utf-8"))
    assert (summary["kind"], summary["audio_root"]) == ("itunes", str(imported.parent / "music"))


def test_a_library_that_plistlib_wrote_has_its_playlists_first(tmp_path: Path) -> None:
    content: dict[str, Any] = plistlib.loads(LIBRARY.encode())
    written = plistlib.dumps(content)
    assert written.index(b"<key>Playlists") < written.index(b"<key>Tracks")
    import_text(tmp_path, written)
    assert read_rows(tmp_path / "out", "playlists")[0]["track_ids"] == ["7019FB9D6F49DCC9", "7019FB9D6F49DCC8"]
    assert read_counts(tmp_path / "out")["found"]["playlists"] == 2


def test_a_file_that_is_cut_keeps_the_tracks_before_the_cut(tmp_path: Path) -> None:
    import_text(tmp_path, LIBRARY[: LIBRARY.index("<key>1003")])
    assert [row["title"] for row in read_rows(tmp_path / "out", "tracks")] == ["Carey & Co", "Cloud"]
    [lost] = read_rows(tmp_path / "out", "rejects")
    assert (lost["reason"], lost["file"]) == ("malformed", "Library.xml")
    assert lost["detail"].startswith("the rest of the file is lost")


def test_control_characters_that_xml_forbids_do_not_matter(tmp_path: Path) -> None:
    import_text(tmp_path, LIBRARY.replace("Joni Mitchell", "Joni\b Mitchell\0"))
    assert read_rows(tmp_path / "out", "tracks")[0]["artist"] == "Joni Mitchell"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_encodings_with_a_mark_are_read(tmp_path: Path, encoding: str) -> None:
    text = LIBRARY.replace('encoding="UTF-8"', f'encoding="{encoding.removesuffix("-sig").upper()}"')
    import_text(tmp_path, text.replace("Blue", "Bläu").replace("\n", "\r\n").encode(encoding))
    assert read_rows(tmp_path / "out", "tracks")[0]["album"] == "Bläu"


def test_hostile_xml_is_refused(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><plist><dict>&b;</dict></plist>'
    assert "EntitiesForbidden" in import_text(tmp_path, bomb, code=3)
    outside = '<!DOCTYPE plist [<!ENTITY a SYSTEM "file:///etc/passwd">]><plist><dict><key>&a;</key></dict></plist>'
    assert "has no track that can be read" in import_text(tmp_path, outside, code=3)


def test_a_missing_file_and_a_missing_folder_are_one_line(tmp_path: Path) -> None:
    assert "No such file" in run_import("itunes", tmp_path / "none.xml", tmp_path / "out", code=2)
    assert "is not a folder" in import_text(tmp_path, LIBRARY, "--audio-root", str(tmp_path / "none"), code=2)
