"""The database of beets becomes tables."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.imports import read_counts, read_rows, run_import
from tracktokens.pipelines.catalog_import.libraries import sqlite_library

ATTRIBUTES = """CREATE TABLE {kind}_attributes (id INTEGER PRIMARY KEY, entity_id INTEGER, key TEXT, value TEXT,
    UNIQUE(entity_id, key) ON CONFLICT REPLACE)"""
MUSIC = b"/home/ann/Music"


def write_library(path: Path, *, genres: str = "genre", folder: bytes = MUSIC + b"/") -> sqlite3.Connection:
    """Write a library as beets does, and return its open connection."""
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, path BLOB, album_id INTEGER, title TEXT, artist TEXT, "
        f"albumartist TEXT, album TEXT, {genres} TEXT, style TEXT, year INTEGER, original_year INTEGER, "
        "lyrics TEXT, mb_trackid TEXT, isrc TEXT, added REAL)"
    )
    for kind in ("item", "album"):
        database.execute(ATTRIBUTES.format(kind=kind))
    several = "Folk\\␀Pop Rock" if genres == "genres" else "Folk, Pop Rock"
    rows: list[tuple[Any, ...]] = [
        (
            1,
            folder + b"Ann/One.mp3",
            7,
            "One",
            "Ann",
            "Ann",
            "Blue",
            several,
            "Singer",
            1971,
            0,
            "la\nla",
            "m",
            "i",
            1.0,
        ),
        (2, folder + "Bén/Zwei.flac".encode(), None, "Zwei", "", "Ben", "", "", None, 0, 1999, "", "", "", 2.0),
        (4, folder + b"odd\xff.mp3", None, None, None, None, None, None, None, None, None, None, None, None, None),
        (5, None, None, "No path", "Cem", "", "", "", "", 0, 0, "", "", "", 2.0),
    ]
    database.executemany(f"INSERT INTO items VALUES ({', '.join('?' * 15)})", rows)  # noqa: S608
    attributes = [(1, "play_count", "4"), (1, "rating", "0.5"), (1, "last_played", "1700000000"), (2, "rating", "7")]
    database.executemany("INSERT INTO item_attributes (entity_id, key, value) VALUES (?, ?, ?)", attributes)
    database.execute("INSERT INTO album_attributes (entity_id, key, value) VALUES (7, 'mood', 'calm; blue')")
    database.commit()
    return database


def write_music(folder: Path) -> Path:
    for name in ("Ann/One.mp3", "Bén/Zwei.flac"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beets")
    write_music(folder / "music")
    write_library(folder / "library.db").close()
    run_import("beets", folder / "library.db", folder / "out", "--audio-root", str(folder / "music"))
    return folder / "out"


def test_tracks_have_their_columns(imported: Path) -> None:
    one, two, odd, last = read_rows(imported, "tracks")
    assert (one["track_id"], one["title"], one["artist"], one["album"], one["year"]) == (
        "1",
        "One",
        "Ann",
        "Blue",
        1971,
    )
    assert one["tags"] == ["Folk", "Pop Rock", "Singer", "calm", "blue"]
    assert (one["lyrics"], one["audio_path"], one["popularity"]) == ("la\nla", "Ann/One.mp3", pytest.approx(4.45))
    assert (two["artist"], two["year"], two["audio_path"]) == ("Ben", 1999, "Bén/Zwei.flac")
    assert (two["popularity"], two["lyrics"], two["tags"]) == (None, None, None)  # a rating of 7 is of another scale
    assert (odd["title"], odd["audio_path"]) == ("odd\ufffd", None)
    assert last["artist"] == "Cem"


def test_each_record_is_a_row_a_reject_or_counted(imported: Path) -> None:
    counts = read_counts(imported)
    assert counts["found"] == {"tracks": 4, "tracks without a location": 1, "attributes without a column": 1}
    assert counts["written"] == {"tracks": 4}
    lost = [(row["reason"], row["id"], row["detail"]) for row in read_rows(imported, "rejects")]
    assert lost == [("audio_unknown", "4", "/home/ann/Music/odd\ufffd.mp3")]


def test_nothing_is_written_beside_the_database(imported: Path) -> None:
    assert {path.name for path in imported.parent.iterdir()} == {"library.db", "music", "out"}


def test_newer_versions_have_several_genres_and_relative_paths(tmp_path: Path) -> None:
    write_music(tmp_path / "music")
    write_library(tmp_path / "library.db", genres="genres", folder=b"").close()
    run_import("beets", tmp_path / "library.db", tmp_path / "out", "--audio-root", str(tmp_path / "music"))
    one = read_rows(tmp_path / "out", "tracks")[0]
    assert (one["tags"][:2], one["audio_path"]) == (["Folk", "Pop Rock"], "Ann/One.mp3")


@pytest.mark.parametrize("folder", [MUSIC + b"/", b""])
def test_playlist_files_name_files_of_the_library(tmp_path: Path, folder: bytes) -> None:
    write_library(tmp_path / "library.db", folder=folder).close()
    lists = tmp_path / "lists"
    lists.mkdir()
    content = "#EXTM3U\n/home/ann/Music/ann/one.mp3\n/home/ann/Music/Bén/Zwei.flac\nhttp://radio\nx.mp3\nbest.m3u\n"
    (lists / "best.m3u").write_text(content, encoding="utf-8")
    (lists / "none.m3u").write_text("y.mp3\n", encoding="utf-8")
    run_import("beets", tmp_path / "library.db", tmp_path / "out", "--playlists", str(lists))
    [best] = read_rows(tmp_path / "out", "playlists")
    assert best == {"playlist_id": "best.m3u", "track_ids": ["1", "2"], "name": "best"}
    lost = Counter(row["reason"] for row in read_rows(tmp_path / "out", "rejects"))
    assert lost == {"not_a_file": 1, "track_unknown": 2, "nested_playlist": 1, "playlist_empty": 1}
    counts = read_counts(tmp_path / "out")
    assert counts["found"]["playlist entries"] == counts["entries"] + 4
    assert counts["found"]["playlists"] == counts["written"]["playlists"] + 1


def test_a_relative_entry_is_relative_to_its_playlist(tmp_path: Path) -> None:
    music = write_music(tmp_path / "music")
    write_library(tmp_path / "library.db", folder=f"{music}/".encode()).close()
    (music / "Ann/all.m3u8").write_text("One.mp3\n../Bén/Zwei.flac\n", encoding="utf-8")
    run_import("beets", tmp_path / "library.db", tmp_path / "out", "--playlists", str(music))
    assert read_rows(tmp_path / "out", "playlists")[0]["track_ids"] == ["1", "2"]


def test_a_library_is_read_while_a_program_has_it_open_with_a_log(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    with closing(write_library(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("UPDATE items SET title = 'In the log' WHERE id = 1")
        database.commit()
        database.execute("UPDATE items SET title = 'Not committed' WHERE id = 1")
        assert Path(f"{path}-wal").stat().st_size > 0
        run_import("beets", path, tmp_path / "out")
    assert read_rows(tmp_path / "out", "tracks")[0]["title"] == "In the log"


def test_a_library_with_a_log_that_is_closed_is_read_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with closing(write_library(tmp_path / "db/library.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    run_import("beets", tmp_path / "db/library.db", tmp_path / "out")
    assert [path.name for path in (tmp_path / "db").iterdir()] == ["library.db"]


def test_a_locked_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_library, "LOCK_SECONDS", 0.05)
    with closing(write_library(tmp_path / "library.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        message = run_import("beets", tmp_path / "library.db", tmp_path / "out", code=2)
    assert "database is locked): close beets" in message
    assert not (tmp_path / "out/tracks.parquet").exists()


def test_a_damaged_library_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    with closing(write_library(path)) as database:
        database.executemany("INSERT INTO items (title) VALUES (?)", [(f"song {n}" * 50,) for n in range(2000)])
        database.commit()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "library.db is damaged" in run_import("beets", path, tmp_path / "out", code=3)
    path.write_bytes(content[:4096] + b"\xaa" * (len(content) - 4096))
    assert "library.db is damaged" in run_import("beets", path, tmp_path / "out", code=3)
    path.write_bytes(content.replace(b"PRIMARY KEY", b"PRIMARY K\xcaY"))
    assert "library.db is damaged (its schema)" in run_import("beets", path, tmp_path / "out", code=3)
    path.write_text("not a database, but long enough to be one " * 99, encoding="utf-8")
    assert "file is not a database" in run_import("beets", path, tmp_path / "out", code=3)


def test_a_different_database_and_missing_paths_are_one_line(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE songs (id)")
    assert "has no table items" in run_import("beets", tmp_path / "other.db", tmp_path / "out", code=3)
    assert "No such file" in run_import("beets", tmp_path / "none.db", tmp_path / "out", code=2)
    options = ("--playlists", str(tmp_path / "none"))
    assert "is not a folder" in run_import("beets", tmp_path / "other.db", tmp_path / "out", *options, code=2)


def test_a_name_with_signs_of_addresses_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "my 100%?mode=rwc#library.db"
    write_library(path).close()
    run_import("beets", path, tmp_path / "out")
    assert len(read_rows(tmp_path / "out", "tracks")) == 4
