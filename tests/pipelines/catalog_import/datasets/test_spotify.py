"""Exports of a Spotify account become playlists, sessions and tracks."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import CliRunner

from tracktokens.pipelines.catalog_import.datasets.spotify import name_id
from tracktokens.pipelines.cli import main

PRIVATE = "private-value"


def uri(number: int) -> str:
    return f"spotify:track:{number:022d}"


def track(number: int) -> dict[str, Any]:
    names = {"trackName": f"Song {number}", "artistName": "Burial", "albumName": "Untrue", "trackUri": uri(number)}
    return {"track": names, "episode": None, "audiobook": None, "localTrack": None, "addedDate": "2023-01-05"}


def entry(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"track": None, "episode": None, "audiobook": None, "localTrack": None, "addedBy": PRIVATE} | {kind: value}


def playlist(name: str, *items: Any) -> dict[str, Any]:
    followers = {"description": PRIVATE, "numberOfFollowers": 0, "collaborators": [PRIVATE]}
    return {"name": name, "lastModifiedDate": "2023-02-01", "items": list(items)} | followers


def play(end: str, number: int, seconds: float = 200, **more: Any) -> dict[str, Any]:
    """Make a play of the extended history."""
    private = dict.fromkeys(
        ("username", "platform", "conn_country", "ip_addr_decrypted", "user_agent_decrypted"), PRIVATE
    )
    names = {
        "master_metadata_track_name": f"Song {number}",
        "master_metadata_album_artist_name": "Burial",
        "master_metadata_album_album_name": "Untrue",
        "spotify_track_uri": uri(number),
        "episode_name": None,
        "episode_show_name": None,
        "spotify_episode_uri": None,
    }
    return {"ts": f"2023-07-01T{end}Z", "ms_played": int(seconds * 1000), "ip_addr": PRIVATE} | private | names | more


def nameless(**more: Any) -> dict[str, Any]:
    names = ("master_metadata_track_name", "master_metadata_album_artist_name", "spotify_track_uri")
    return dict.fromkeys(names) | more


def recent(end: str, artist: str, title: str, seconds: int = 200) -> dict[str, Any]:
    return {"endTime": end, "artistName": artist, "trackName": title, "msPlayed": seconds * 1000}


def export() -> dict[str, Any]:
    local = {"uri": "spotify:local:Ann+B.:Demos:Caf%C3%A9:215"}
    return {
        "Spotify Account Data/Playlist1.json": {
            "playlists": [
                playlist("Calm", track(1), entry("localTrack", local), entry("episode", {"episodeUri": "x"}), track(2)),
                playlist("Empty"),
                playlist("Talk", entry("audiobook", {"audiobookUri": "x"}), entry("track", {})),
                {"name": "no items"},
            ]
        },
        "Spotify Account Data/YourLibrary.json": {
            "tracks": [{"artist": "Burial", "album": "Untrue", "track": "Song 3", "uri": uri(3)}],
            "albums": [{"artist": PRIVATE}],
            "bannedTracks": [{"artist": "A", "album": "B", "track": "C", "uri": uri(99)}],
        },
        "Spotify Account Data/Userdata.json": {"email": PRIVATE},
        "Spotify Account Data/StreamingHistory_music_0.json": [
            recent("2022-05-01 10:00", "BURIAL", "song 3"),
            recent("2022-05-01 10:04", "Cid", "Other"),
            recent("2022-05-01 10:05", "Cid", "Short", 29),
            recent("2022-05-01 10:06", "Unknown Artist", "Unknown Track"),
            recent("2023-07-01 10:00", "Burial", "Song 1"),
        ],
        "Spotify Account Data/StreamingHistory_podcast_0.json": [{"podcastName": PRIVATE}],
        "Spotify Extended Streaming History/Streaming_History_Audio_2023_0.json": [
            play("11:50:00", 4, seconds=4800),  # begins 30 minutes after the play before it
            play("10:00:00", 1),
            play("10:00:20", 2, seconds=20),
            play("10:00:00", 1),  # the same again
            play("12:30:00", 1, seconds=100),
            play("10:30:00", 0, **nameless(spotify_episode_uri="spotify:episode:1", episode_name=PRIVATE)),
            play("10:31:00", 0, **nameless(audiobook_title=PRIVATE, audiobook_uri="spotify:show:1")),
            play("10:32:00", 0, **nameless()),
            {"ms_played": 40000},
            play("soon", 5),
        ],
    }


def write_folder(folder: Path, files: dict[str, Any]) -> Path:
    for name, value in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\xef\xbb\xbf" + json.dumps(value, indent=2).encode())
    return folder


def run_import(source: Path, out: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["import", "spotify", str(source), "--out", str(out), *options])
    assert result.exit_code == code, result.output
    return result.output


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / f"{table}.parquet").to_pylist()
    return found


def counts(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "import.json").read_text(encoding="utf-8"))["counts"]
    return found


def test_playlists_stay_and_plays_become_sessions(tmp_path: Path) -> None:
    run_import(write_folder(tmp_path / "export", export()), tmp_path / "out")
    local, other = name_id("Ann B.", "Café"), name_id("Cid", "Other")
    found = [(row["name"], row["track_ids"]) for row in rows(tmp_path / "out", "playlists")]
    assert found == [
        ("Calm", [uri(1), local, uri(2)]),
        ("Liked Songs", [uri(3)]),
        (None, [uri(3), other]),
        (None, [uri(1), uri(4)]),
        (None, [uri(1)]),
    ]
    assert rows(tmp_path / "out", "playlists")[0]["playlist_id"] == "Spotify Account Data/Playlist1.json:1"
    tracks = {row["track_id"]: row for row in rows(tmp_path / "out", "tracks")}
    assert set(tracks) == {uri(1), uri(2), uri(3), uri(4), local, other}
    assert (tracks[uri(4)]["title"], tracks[uri(4)]["artist"], tracks[uri(4)]["album"]) == (
        "Song 4",
        "Burial",
        "Untrue",
    )
    assert (tracks[local]["title"], tracks[local]["artist"], tracks[local]["album"]) == ("Café", "Ann B.", "Demos")
    plays = {uri(1): 2, uri(2): None, uri(3): 1, uri(4): 1, local: None, other: 1}
    assert {track_id: row["popularity"] for track_id, row in tracks.items()} == plays


def test_each_entry_and_play_is_written_rejected_or_counted(tmp_path: Path) -> None:
    run_import(write_folder(tmp_path / "export", export()), tmp_path / "out")
    lost = [(row["file"].rpartition("/")[2], row["line"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    audio = "Streaming_History_Audio_2023_0.json"
    assert lost == [
        ("Playlist1.json", 1, "podcast"),
        ("Playlist1.json", 2, "playlist_empty"),
        ("Playlist1.json", 3, "not_music"),
        ("Playlist1.json", 3, "no_id"),
        ("Playlist1.json", 3, "playlist_empty"),
        ("Playlist1.json", 4, "malformed"),
        (audio, 6, "podcast"),
        (audio, 7, "not_music"),
        (audio, 8, "no_id"),
        (audio, 9, "malformed"),
        (audio, 10, "malformed"),
        ("StreamingHistory_music_0.json", 4, "no_id"),
    ]
    found = counts(tmp_path / "out")["found"]
    skipped = {
        "plays under 30 seconds": 2,
        "plays in the period of the extended history": 1,
        "repeated listens": 1,
    }
    assert {name: found[name] for name in skipped} == skipped
    assert (found["files"], found["files not used"]) == (4, 2)
    lost_entries = 3 + 6  # of playlists, and plays; three more rejects are playlists
    assert found["plays"] + found["playlist entries"] == 15 + 7
    assert counts(tmp_path / "out")["entries"] == 22 - lost_entries - sum(skipped.values())


def test_nothing_private_is_written_and_a_zip_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "export", export())
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in reversed(export()):
            archive.write(folder / name, name)
    run_import(folder, tmp_path / "one")
    run_import(tmp_path / "export.zip", tmp_path / "two")
    written = (tmp_path / "one/import.json").read_text(encoding="utf-8")
    for table in ("tracks", "playlists", "rejects"):
        written += str(rows(tmp_path / "one", table))
        name = f"{table}.parquet"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert PRIVATE not in written


def test_the_gap_ends_a_session(tmp_path: Path) -> None:
    path = tmp_path / "endsong_0.json"
    path.write_text(json.dumps([play("10:00:00", 1), play("10:10:00", 2, seconds=60)]), encoding="utf-8")
    run_import(path, tmp_path / "joined", "--gap", "9")
    run_import(path, tmp_path / "cut", "--gap", "8.9")
    assert [len(row["track_ids"]) for row in rows(tmp_path / "joined", "playlists")] == [2]
    assert [len(row["track_ids"]) for row in rows(tmp_path / "cut", "playlists")] == [1, 1]


def test_a_file_that_is_cut_keeps_what_is_before_the_cut(tmp_path: Path) -> None:
    content = json.dumps([play("10:00:00", 1), play("10:10:00", 2)])
    path = tmp_path / "endsong_0.json"
    path.write_text(content[: content.index("Song 2")], encoding="utf-8")
    run_import(path, tmp_path / "out")
    assert [row["title"] for row in rows(tmp_path / "out", "tracks")] == ["Song 1"]
    [lost] = rows(tmp_path / "out", "rejects")
    assert lost["reason"] == "malformed" and lost["detail"].startswith("the rest of the file is lost")


def test_a_source_without_tracks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("[]", encoding="utf-8")
    assert "no track that can be read" in run_import(tmp_path / "mine.json", tmp_path / "out", code=3)
    assert "does not exist" in run_import(tmp_path / "missing", tmp_path / "out", code=2)
