"""The folder that importers write: one rule for ids of playlists, and texts that every table can hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.imports import read_counts, read_rows
from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder


def never_read() -> Iterator[str]:
    pytest.fail("the tracks of a rejected playlist were read")
    yield ""


def test_of_two_playlists_of_an_id_the_second_is_rejected_unread(tmp_path: Path) -> None:
    with CatalogFolder(str(tmp_path / "out"), "source") as folder:
        assert folder.add_playlist("p", iter(["t1", "t2"]), file="a.json", line=3) == ["t1", "t2"]
        assert not folder.add_playlist("p", never_read(), file="b.json", line=5)
    assert [row["track_ids"] for row in read_rows(tmp_path / "out", "playlists")] == [["t1", "t2"]]
    (lost,) = read_rows(tmp_path / "out", "rejects")
    assert (lost["file"], lost["line"], lost["id"], lost["reason"]) == ("b.json", 5, "p", "same_id")
    assert lost["detail"] == "the same as in a.json:3"


def test_a_playlist_without_tracks_is_rejected(tmp_path: Path) -> None:
    with CatalogFolder(str(tmp_path / "out"), "source") as folder:
        assert not folder.add_playlist("p", [], file="a.json")
    assert read_counts(tmp_path / "out")["rejected"] == {"playlist_empty": 1}
    assert read_rows(tmp_path / "out", "playlists") == []


def test_a_free_id_has_a_number(tmp_path: Path) -> None:
    with CatalogFolder(str(tmp_path / "out"), "source") as folder:
        for _ in range(3):
            folder.add_playlist(folder.free_playlist_id("p"), ["t"], file="a.xml")
    assert [row["playlist_id"] for row in read_rows(tmp_path / "out", "playlists")] == ["p", "p (2)", "p (3)"]


def test_names_that_are_not_unicode_are_written_with_a_replacement(tmp_path: Path) -> None:
    with CatalogFolder(str(tmp_path / "out"), "source") as folder:
        folder.add_playlist("caf\udce9", ["t"], file="caf\udce9.csv")
        folder.reject("tracks", "malformed", "caf\udce9.csv", detail="\udce9", line=1)
    (lost,) = read_rows(tmp_path / "out", "rejects")
    assert (lost["file"], lost["detail"]) == ("caf\ufffd.csv", "\ufffd")
    assert read_rows(tmp_path / "out", "playlists")[0]["playlist_id"] == "caf\ufffd"
