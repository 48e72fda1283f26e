import random

import pyarrow as pa
import pytest

from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.texts import clean_lyrics, lyrics_text, metadata_text, tags_text


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


def test_tags_of_a_slice_and_of_no_rows() -> None:
    batch = tracks({"tags": ["a"]}, {"tags": ["c", "b"]}, {"tags": None})
    assert tags_text(batch.slice(1)).to_pylist() == ["b, c", None]
    for text in (tags_text, metadata_text, lyrics_text):
        assert text(batch.slice(0, 0)).equals(pa.array([], pa.string()))
        assert text(batch.slice(2)).equals(pa.array([None], pa.string()))


def test_tags_agree_with_a_plain_python_reading_of_random_lists() -> None:
    draw = random.Random(7)
    words = ["Jazz", "jazz", "Blues ", "  r&b", "Hip  Hop", "hip hop", "", None, "Ö", "o\u0308", "日本"]
    lists = [draw.choice([None, draw.choices(words, k=draw.randrange(6))]) for _ in range(300)]
    plain = [
        sorted({" ".join(tag.lower().replace("o\u0308", "ö").split()) for tag in tags or [] if tag}, key=str.encode)
        for tags in lists
    ]
    assert tags_text(tracks(*({"tags": tags} for tags in lists))).to_pylist() == [", ".join(t) or None for t in plain]


LRC = """\ufeff[ar:Someone]
[ti: A Song [Live]]
[offset:+500]
[by:]

[00:12.00]First line
[00:17.20][01:17.20] Second line
[00:21.10]<00:21.10> Third <00:21.50>li<00:21.90>ne
[00:30]Fourth line
[00:45.00]
[01:00:50]Fifth line
"""


def test_lrc_loses_stamps_and_headers_and_keeps_words() -> None:
    assert clean_lyrics(LRC) == "First line\nSecond line\nThird line\nFourth line\nFifth line"


@pytest.mark.parametrize(
    "mark",
    [
        "[Chorus]", "[Verse 2: Artist]", "[Guitar Solo]", "[Chorus x2]", "[Both] [Loud]",
        "[No lyrics on part 1]",
        "(Chorus)", "( Chorus 2 )", "(Pre-Chorus: All)", "(repeat chorus x2)", "(Bridge)", "Chorus:", "CHORUS",
        "Verse 3",
        "Verse II:", "Bridge 1", "Outro", "Refrain:", "Refrain", "Strophe 2", "Brücke:", "Kehrvers", "Couplet 1 :",
        "(Pont)", "Pré-refrain", "Estribillo:", "(Estrofa 2)", "Refrão", "Ritornello", "Припев:", "[Куплет 1]",
        "サビ", "【サビ】", "［大サビ］", "Aメロ", "（間奏）", "副歌：", "(x2)", "x3", "2x", "(bis)",
        "[X 4]", "(3 times)", "&#91;Chorus]",
    ],
)  # fmt: skip
def test_a_line_that_is_only_a_mark_is_dropped(mark: str) -> None:
    assert clean_lyrics(f"Sing\n{mark}\nalong") == "Sing\nalong"
    assert clean_lyrics(mark) is None


@pytest.mark.parametrize(
    "line",
    [
        "I went [somewhere] with you",
        "(Ooh, ooh)",
        "All night (all night)",
        "He said [chorus] of angels",
        "John [3:16] is on the wall",
        "Bridge",
        "Hook, line and sinker",
        "(Bridge over troubled water)",
        "Versailles",
        "Chorus of angels sing",
        "I <3 you, 5 < 6",
        "Rock & roll &c; R&B",
        "Riding in my X5",
        "A 4 x 4",
        "Ratio 16:9",
        "他们说（真的）我不知道",
        "「好き」と言って",
        "أنا بحبك (يا حبيبي)",
        "می‌خواهم",
        "ฉันรักเธอ",
        "사랑해 [너를] 사랑해",
    ],
)
def test_words_that_look_like_marks_stay(line: str) -> None:
    assert clean_lyrics(line) == line


@pytest.mark.parametrize(
    ("lyrics", "sung"),
    [
        ("[Chorus] La la la\n[Verse 1: X] Oh no", "La la la\nOh no"),
        ("La la la x2\nOh (x3)\nNa na [2x] x2\nEncore (bis)", "La la la\nOh\nNa na\nEncore"),
        ("One<br>two<br/>three<BR />four<p>five</p>", "One\ntwo\nthree\nfour\nfive"),
        ("<b>Don&#39;t</b> <i>stop</i> &amp; <span class='x'>go</span>", "Don't stop & go"),
        ("Twice &amp;amp; &amp;lt;br&amp;gt;encoded", "Twice &\nencoded"),
        ("A\r\n\r\n\r\nB\u2028C\tD\u00a0E\u200b", "A\nB\nC D E"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u266a \u266a\n...", None),
        ("", None),
    ],
)
def test_marks_beside_words_are_removed(lyrics: str, sung: str | None) -> None:
    assert clean_lyrics(lyrics) == sung


def test_cleaning_clean_lyrics_changes_nothing() -> None:
    parts = [
        "[", "]", "(", ")", "<", ">", "&", "amp;", "lt;", "#91;", "br", "x2", " ", "\n", "Chorus", ":", "1", "00:12.00",
        "Refrain", "サビ", "la", "e\u0301", "\u0301", "ar", "b", "【", "】", "2x", "bis", "\t", "\u00a0",
    ]  # fmt: skip
    draw = random.Random(3)
    for _ in range(3000):
        once = clean_lyrics("".join(draw.choices(parts, k=draw.randrange(1, 25))))
        if once is not None:
            assert clean_lyrics(once) == once


def test_lyrics_are_cleaned_row_by_row() -> None:
    batch = tracks(
        {"lyrics": "[Chorus]\nHey"}, {"lyrics": None}, {"lyrics": "[Instrumental]"}, {"lyrics": "[Chorus]\nHey"}
    )
    assert lyrics_text(batch).equals(pa.array(["Hey", None, None, "Hey"], pa.string()))
    assert lyrics_text(batch.slice(2)).to_pylist() == [None, "Hey"]


def test_lyrics_made_to_stall_the_cleaning_are_cleaned_in_bounded_rounds() -> None:
    assert clean_lyrics("[a] " * 5000 + "end") == "[a] " * 5000 + "end"
    assert clean_lyrics("go " + "x2 " * 2000) is not None
    assert clean_lyrics("&" + "amp;" * 2000 + " go") is not None
