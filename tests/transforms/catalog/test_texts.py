"""Input texts of metadata and tags."""

import random

import pyarrow as pa
import pytest

from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.lyrics import lyrics_text
from tracktokens.transforms.catalog.texts import fold_case, metadata_text, song_text, tags_text


def tracks(*rows: dict[str, object]) -> pa.RecordBatch:
    """A batch of tracks with the given values, and ids by row."""
    return pa.RecordBatch.from_pylist([{"track_id": str(row), **values} for row, values in enumerate(rows)], TRACKS)


@pytest.mark.parametrize(
    ("track", "text"),
    [
        ({"title": "T", "artist": "A", "album": "B", "year": 1999}, '"T" by A, from the album B (1999)'),
        ({"title": "T", "artist": "A", "album": "B"}, '"T" by A, from the album B'),
        ({"title": "T", "artist": "A", "year": 1999}, '"T" by A (1999)'),
        ({"title": "T", "album": "B"}, '"T", from the album B'),
        ({"title": "T"}, '"T"'),
        ({"artist": "A", "album": "B"}, "by A, from the album B"),
        ({"album": "B", "year": 1999}, "from the album B (1999)"),
        ({"title": "T", "year": 0}, '"T"'),
        ({"year": 1999}, None),
        ({}, None),
    ],
)
def test_metadata_leaves_out_what_is_missing(track: dict[str, object], text: str | None) -> None:
    # A second row, to see that gaps of one row do not leak into the text of another.
    assert metadata_text(tracks(track, {"title": "Other", "year": 2000})).to_pylist() == [text, '"Other" (2000)']


def test_metadata_is_composed_unicode_with_single_spaces() -> None:
    decomposed = {"title": " De\u0301ja\u0300\u3000 vu\t", "artist": "\u00a0\u2003", "album": "봄\n날"}
    assert metadata_text(tracks(decomposed)).to_pylist() == ['"D\u00e9j\u00e0 vu", from the album 봄 날']


def test_tags_are_lower_case_trimmed_sorted_and_distinct() -> None:
    batch = tracks(
        {"tags": ["Rock", " pop ", "rock", None, "", "Hip  Hop"]},
        {"tags": ["hip hop", "POP", "ROCK"]},
        {"tags": []},
        {"tags": None},
        {"tags": [None, " "]},
        {"tags": ["É", "e\u0301", "Zouk", "歌"]},
    )
    expected = ["hip hop, pop, rock", "hip hop, pop, rock", None, None, None, "zouk, é, 歌"]
    assert tags_text(batch).to_pylist() == expected


SAME_BUT_FOR_CASE = [
    ("ΛΑΪΚΟΣ", "λαϊκος", "Λαϊκοσ"),
    ("STRASSE", "straße", "STRAẞE"),
    ("İSTANBUL", "istanbul", "i\u0307stanbul"),
    ("\ufb01le", "FILE"),
    ("ＲＯＣＫ", "ｒｏｃｋ"),
    ("ᾳ", "ΑΙ", "α\u0345"),
    ("É", "e\u0301"),
    ("РУССКИЙ РОК", "русский рок"),
    ("ꭰ", "Ꭰ"),
]


@pytest.mark.parametrize("forms", SAME_BUT_FOR_CASE)
def test_texts_that_differ_in_case_alone_are_equal(forms: tuple[str, ...]) -> None:
    assert len(set(tags_text(tracks(*({"tags": [form]} for form in forms))).to_pylist())) == 1
    assert tags_text(tracks({"tags": list(forms)})).to_pylist() == fold_case(pa.array(forms[:1])).to_pylist()
    names = pa.array(forms)
    assert len(set(song_text(names, names).to_pylist())) == 1


@pytest.mark.parametrize("tag", ["rock'n'roll", "žižkov", "歌", "चल", "ı", "한국"])
def test_lower_case_texts_are_left_as_they_are(tag: str) -> None:
    assert tags_text(tracks({"tags": [tag]})).to_pylist() == [tag]


def test_tags_of_a_slice_and_of_no_rows() -> None:
    batch = tracks({"tags": ["a"]}, {"tags": ["c", "b"]}, {"tags": None})
    assert tags_text(batch.slice(1)).to_pylist() == ["b, c", None]
    for text in (tags_text, metadata_text, lyrics_text):
        assert text(batch.slice(0, 0)).equals(pa.array([], pa.string()))
        assert text(batch.slice(2)).equals(pa.array([None], pa.string()))


def test_tags_agree_with_a_plain_python_implementation_on_random_lists() -> None:
    draw = random.Random(7)
    words = ["Jazz", "jazz", "Blues ", "  r&b", "Hip  Hop", "hip hop", "", None, "Ö", "o\u0308", "日本"]
    lists = [draw.choice([None, draw.choices(words, k=draw.randrange(6))]) for _ in range(300)]
    plain = [
        sorted({" ".join(tag.lower().replace("o\u0308", "ö").split()) for tag in tags or [] if tag}, key=str.encode)
        for tags in lists
    ]
    assert tags_text(tracks(*({"tags": tags} for tags in lists))).to_pylist() == [", ".join(t) or None for t in plain]
