"""Tracks of one catalog are found in another by ids, ISRC and names, and different recordings are not."""

import itertools
from typing import Any

import pytest

from tracktokens.pipelines.catalog_import.track_matcher import track_matcher
from tracktokens.pipelines.catalog_import.track_names import artist_keys, title_key


def track(track_id: str, title: str | None = None, artist: str | None = None, **more: Any) -> dict[str, Any]:
    return {"track_id": track_id, "title": title, "artist": artist, **more}


def found(catalog: list[dict[str, Any]], wanted: dict[str, Any], threshold: float = 90) -> tuple[str, str] | None:
    with track_matcher(catalog, threshold) as matcher:
        match = matcher.match(wanted)
    return None if match is None else (match.track_id, match.by)


TITLES = (
    ("Love Me", "Love Me (feat. Ann & Bob)"),
    ("Love Me", "Love Me - Remastered 2011"),
    ("Love Me", "Love Me - 2011 Remaster"),
    ("Love Me", "LOVE ME (2009 Digital Remaster) [feat. Ann]"),
    ("Love Me", "Love Me (with Ann) - Single Version"),
    ("Love Me", "Ｌｏｖｅ　Ｍｅ"),
    ("Don\u2019t", "Don't!"),
    ("Déjà Vu", "Deja vu"),
    ("You & I", "You and I"),
)


@pytest.mark.parametrize(("title", "other"), TITLES)
def test_editions_of_a_title_are_one(title: str, other: str) -> None:
    assert title_key(title) == title_key(other)


DIFFERENT = ("Love Me", "Love Me - Live", "Love Me (Acoustic)", "Love Me - Bob Remix", "Love Me, Pt. 2", "Love Me Demo")


@pytest.mark.parametrize(("title", "other"), itertools.combinations(DIFFERENT, 2))
def test_recordings_of_a_song_are_different(title: str, other: str) -> None:
    assert found([track("t", title, "Ann")], track("x", other, "Ann"), threshold=60) is None


def test_titles_that_are_an_edition_or_signs_alone_keep_a_name() -> None:
    assert title_key("(Original Mix)") == "original mix"
    assert (title_key("1999"), title_key("???"), title_key("+")) == ("1999", "???", "+")
    assert artist_keys("!!!") == ("!!!",)


def test_the_surest_way_wins() -> None:
    by_name = track("t3", "Blue", "Ann")
    catalog = [by_name, track("isrc:USRC17607839", "Red", "Bob"), track("A" * 22, "Green", "Cid")]
    same_isrc = track("spotify:track:" + "B" * 22, "Blue", "Ann", isrc="US-RC1-76-07839")
    assert found(catalog, track("spotify:track:" + "A" * 22, "Blue", "Ann")) == ("A" * 22, "id")
    assert found(catalog, same_isrc) == ("isrc:USRC17607839", "isrc")
    assert found(catalog, track("x", "BLUE", "The Ann")) == ("t3", "name")
    assert found([track("t1", "Red", "Ann", isrc="usrc17607839")], same_isrc) == ("t1", "isrc")
    assert found(catalog, track("x")) is None


@pytest.mark.parametrize(
    ("artist", "other", "same"),
    [
        ("Ann", "Ann, Bob", True),
        ("Ann feat. Bob", "Ann", True),
        ("Bob; Ann", "Ann & Bob", True),
        ("Five, Queen", "Queen", False),
        ("Simon & Garfunkel", "Simon and Garfunkel", True),
        ("Earth, Wind & Fire, The Emotions", "Earth, Wind & Fire", True),
    ],
)
def test_the_first_artist_of_each_is_one_of_the_other(artist: str, other: str, same: bool) -> None:
    assert (found([track("t", "Blue", other)], track("x", "Blue", artist)) is not None) is same
    assert (found([track("t", "Blue", artist)], track("x", "Blue", other)) is not None) is same


def test_similar_names_are_found_down_to_the_threshold() -> None:
    catalog = [track("t", "Guerrilla Radio", "Rage Against The Machine"), track("u", "Live Forever", "Oasis")]
    misspelt = track("x", "Guerilla Radio", "Rage Against The Machine")
    assert found(catalog, misspelt) == ("t", "similar name")
    assert found(catalog, misspelt, threshold=97) is None
    assert found(catalog, track("x", "Live Forever", "Ohasis")) == ("u", "similar name")
    assert found(catalog, track("x", "Guerilla Radio", "Oasis")) is None


def test_of_several_tracks_the_album_decides_then_the_title_as_written_then_the_order() -> None:
    catalog = [
        track("t1", "Blue - Remastered", "Ann", album="Best Of"),
        track("t2", "Blue", "Ann", album="Sky"),
        track("t3", "Blue", "Ann", album="Sky"),
    ]
    assert found(catalog, track("x", "Blue", "Ann", album="best of!")) == ("t1", "name")
    assert found(catalog, track("x", "Blue", "Ann")) == ("t2", "name")
    assert found(catalog, track("x", "Blue - Remastered", "Ann", album="Moon")) == ("t1", "name")
