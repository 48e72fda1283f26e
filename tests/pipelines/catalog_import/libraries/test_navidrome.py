"""The database of Navidrome becomes tables, and nothing of its users does."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.imports import read_counts, read_rows, run_import

SHARED = """
CREATE TABLE user (id varchar(255) PRIMARY KEY, user_name varchar(255), email varchar(255), password varchar(255));
INSERT INTO user VALUES ('u1', 'secretname', 'secret@example.org', 'secretword');
CREATE TABLE annotation (user_id varchar(255), item_id varchar(255), item_type varchar(255), play_count integer,
    play_date datetime, rating integer, starred bool, starred_at datetime, UNIQUE (user_id, item_id, item_type));
INSERT INTO annotation VALUES ('u1', 'f1', 'media_file', 3, '2024-01-01', 5, 1, NULL);
INSERT INTO annotation VALUES ('u2', 'f1', 'media_file', 4, '2024-01-01', 3, 0, NULL);
INSERT INTO annotation VALUES ('u3', 'f1', 'media_file', 0, NULL, 0, 1, NULL);
INSERT INTO annotation VALUES ('u1', 'f1', 'album', 99, NULL, 0, 1, NULL);
INSERT INTO annotation VALUES ('u1', 'f2', 'media_file', NULL, NULL, NULL, 1, NULL);
CREATE TABLE playlist (id varchar(255) PRIMARY KEY, name varchar(255), comment varchar(255), owner_id varchar(255),
    public bool, rules varchar);
CREATE TABLE playlist_tracks (id integer, playlist_id varchar(255), media_file_id varchar(255));
INSERT INTO playlist VALUES ('p2', 'Calm', 'secret comment', 'u1', 0, NULL), ('p1', 'Gone', '', 'u1', 0, ''),
    ('p3', 'Fresh', '', 'u1', 0, '{"all":[{"gt":{"rating":3}}]}'), ('p4', 'Nothing', '', 'u1', 1, 'null');
INSERT INTO playlist_tracks VALUES (2, 'p2', 'f1'), (1, 'p2', 'f2'), (3, 'p2', 'f1'), (4, 'p2', 'f9'),
    (1, 'p1', 'f3'), (1, 'p3', 'f1');
"""

NEW = """
CREATE TABLE library (id integer PRIMARY KEY, name varchar, path varchar);
INSERT INTO library VALUES (1, 'Music Library', '/srv/music');
CREATE TABLE media_file (id varchar(255) PRIMARY KEY, pid varchar, library_id integer, path varchar(255),
    title varchar(255), album varchar(255), artist varchar(255), album_artist varchar(255), year integer,
    release_year integer, original_year integer, genre varchar(255), tags jsonb, participants jsonb, lyrics jsonb,
    missing boolean);
"""

OLD = """
CREATE TABLE media_file (id varchar(255) PRIMARY KEY, path varchar(255), title varchar(255), album varchar(255),
    artist varchar(255), album_artist varchar(255), year integer, genre varchar(255), lyrics varchar);
INSERT INTO media_file VALUES ('f1', '/srv/music/Ann/One.mp3', 'One', 'Blue', 'Ann', 'Ann', 1971, 'Folk', 'la la');
INSERT INTO media_file VALUES ('f2', '/srv/music/Two.mp3', 'Two', '', '', 'Ben', 0, 'Pop', '');
CREATE TABLE genre (id varchar PRIMARY KEY, name varchar);
CREATE TABLE media_file_genres (media_file_id varchar, genre_id varchar, UNIQUE (media_file_id, genre_id));
INSERT INTO genre VALUES ('g1', 'Folk'), ('g2', 'Blues');
INSERT INTO media_file_genres VALUES ('f1', 'g1'), ('f1', 'g2');
"""

LYRICS = [
    {"lang": "eng", "line": [], "synced": False},
    {"lang": "eng", "line": [{"start": 1000, "value": "la"}, {"start": 61230, "value": "lo"}], "synced": True},
]
TAGS = {"genre": [{"id": "a", "value": "Folk"}, {"id": "b", "value": "Blues"}], "mood": [{"id": "c", "value": "calm"}]}


def write_database(path: Path, *, new: bool) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(SHARED + (NEW if new else OLD))
        if new:
            one = ("f1", "One", "Blue", "Ann", "Ann", 1971, 0, 0, "Folk", json.dumps(TAGS), "{}", json.dumps(LYRICS), 0)
            two = ("f2", "Two", "", "", "Ben", 0, 2001, 0, "Pop", "{}", "{}", "[]", 0)
            gone = ("f3", "Gone", "", "", "", 0, 0, 0, "", "{}", "{}", "[]", 1)
            for name, row in (("Ann/One.mp3", one), ("Two.mp3", two), ("Gone.mp3", gone)):
                values = (row[0], row[0], 1, name, *row[1:])
                database.execute(f"INSERT INTO media_file VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
        database.commit()


@pytest.fixture(scope="module", params=[True, False], ids=["new", "old"])
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("navidrome")
    (folder / "music/Ann").mkdir(parents=True)
    (folder / "music/Ann/One.mp3").write_bytes(b"")
    write_database(folder / "navidrome.db", new=request.param)
    run_import("navidrome", folder / "navidrome.db", folder / "out", "--audio-root", str(folder / "music"))
    return folder / "out"


def test_tracks_have_their_columns(imported: Path) -> None:
    one, two = read_rows(imported, "tracks")
    assert (one["track_id"], one["title"], one["artist"], one["album"], one["year"]) == (
        "f1",
        "One",
        "Ann",
        "Blue",
        1971,
    )
    assert one["audio_path"] == "Ann/One.mp3"
    assert one["popularity"] == pytest.approx(7 + 0.9 * 0.8)  # 7 plays, ratings of 5 and 3
    assert (two["artist"], two["album"], two["tags"], two["popularity"]) == ("Ben", None, ["Pop"], None)


def test_versions_differ_in_genres_lyrics_and_years(imported: Path, request: pytest.FixtureRequest) -> None:
    one, two = read_rows(imported, "tracks")
    if "new" in request.node.name:
        assert (one["tags"], two["year"]) == (["Folk", "Blues", "calm"], 2001)
        assert one["lyrics"] == "[00:01.00]la\n[01:01.23]lo"
    else:
        assert (one["tags"], one["lyrics"], two["year"]) == (["Blues", "Folk"], "la la", None)


def test_playlists_are_in_order_of_their_positions(imported: Path) -> None:
    [calm] = read_rows(imported, "playlists")
    assert calm == {"playlist_id": "p2", "track_ids": ["f2", "f1", "f1"], "name": "Calm"}


def test_each_record_is_a_row_a_reject_or_counted(imported: Path) -> None:
    counts = read_counts(imported)
    lost = Counter((row["table"], row["reason"]) for row in read_rows(imported, "rejects"))
    missing = lost["tracks", "file_missing"]
    assert lost - Counter({("tracks", "file_missing"): missing}) == {
        ("tracks", "audio_unknown"): 1,
        ("playlists", "track_unknown"): 2,
        ("playlists", "playlist_empty"): 2,
    }
    found = counts["found"]
    assert found["tracks"] == counts["written"]["tracks"] + missing == 2 + missing
    assert (found["playlists"], found["smart playlists"]) == (3, 1)
    assert found["playlist entries"] == counts["entries"] + 2 == 5


def test_nothing_of_users_is_written(imported: Path) -> None:
    assert not any(b"secret" in path.read_bytes() for path in imported.iterdir())
    texts = str([read_rows(imported, table) for table in ("tracks", "playlists", "rejects")])
    assert "secret" not in texts
    assert "u1" not in texts


def test_a_database_without_playlists_and_plays_is_a_library(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "navidrome.db")) as database:
        database.execute("CREATE TABLE media_file (id, path, title)")
        database.execute("INSERT INTO media_file VALUES ('f1', 'a.mp3', ?)", (sqlite3.Binary(b"bytes"),))
    with closing(sqlite3.connect(tmp_path / "navidrome.db")) as database:
        database.execute("INSERT INTO media_file VALUES ('f2', 'b.mp3', CAST(? AS TEXT))", (b"caf\xe9",))
        database.commit()
    run_import("navidrome", tmp_path / "navidrome.db", tmp_path / "out")
    assert [row["title"] for row in read_rows(tmp_path / "out", "tracks")] == ["caf\ufffd"]


def test_a_second_import_writes_the_same_bytes(imported: Path) -> None:
    before = {path.name: path.read_bytes() for path in imported.iterdir()}
    source = imported.parent / "navidrome.db"
    run_import("navidrome", source, imported, "--audio-root", str(imported.parent / "music"))
    assert {path.name: path.read_bytes() for path in imported.iterdir()} == before
