"""Cleaning of lyrics."""

import random

import pyarrow as pa
import pytest

from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.lyrics import clean_lyrics, lyrics_text


def tracks(*rows: dict[str, object]) -> pa.RecordBatch:
    """A batch of tracks with the given values, and ids by row."""
    return pa.RecordBatch.from_pylist([{"track_id": str(row), **values} for row, values in enumerate(rows)], TRACKS)


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


def test_stamps_and_headers_of_lrc_are_removed() -> None:
    assert clean_lyrics(LRC) == "First line\nSecond line\nThird line\nFourth line\nFifth line"


@pytest.mark.parametrize(
    "stamp",
    [
        "[01:40:03.22]", "[1:00:03]", "[00:12,50]", "[00:12.123456]", "[125:07.1]", "[-00:01.2]", "[ 00:12.00 ]",
        "[00:12.00] [01:12.00] ", "[00:00:03,220]", "[01:40:03:12]", "［00:12.00］", "[00:01.000 --> 00:05.000] ",
        "[offset:-250]\n[00:12.00]", "[00:12.00]<01:40:03.22>", "<00:12,50>", "[+0:12.5]",
    ],
)  # fmt: skip
def test_a_stamp_of_any_form_is_removed(stamp: str) -> None:
    assert clean_lyrics(f"{stamp}the night is long\n{stamp}home is far") == "the night is long\nhome is far"


@pytest.mark.parametrize("line", ["[01:40:03.22]<01:40:03.22>la <01:40:04,5>na", "[12000,3500]la(0,300) na(300,900)",
    "[12000,3500]<0,100,0>la <100,20,0>na", "la [01:40:03.22]na", "la [00:12,50]na"])  # fmt: skip
def test_stamps_at_words_are_removed(line: str) -> None:
    assert clean_lyrics(line) == "la na"


SRT = "1\r\n00:00:01,000 --> 00:00:02,000\r\n{\\an8}<i>First</i> line\r\n\r\n2\n00:00:03,000 --> 00:00:04,5\n99\n"
VTT = "WEBVTT - la\nKind: captions\n\nintro\n00:01.000 --> 00:02.000 align:start\n<v Ann>First <c.b>line</c>\n\n" \
    "2\n01:00:01.000 --> 01:00:02.000\n99\n"  # fmt: skip


@pytest.mark.parametrize("subtitles", [SRT, VTT])
def test_cues_of_subtitles_are_removed_and_a_sung_number_stays(subtitles: str) -> None:
    assert clean_lyrics(subtitles) == "First line\n99"


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
        "Psalm [3:16,17] and (1,000)",
        "10:15 Saturday night",
        "WEBVTT --> a song\n7\nseas of {rye}",
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
def test_words_that_look_like_marks_are_kept(line: str) -> None:
    assert clean_lyrics(line) == line


@pytest.mark.parametrize(
    ("lyrics", "cleaned"),
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
def test_marks_beside_words_are_removed(lyrics: str, cleaned: str | None) -> None:
    assert clean_lyrics(lyrics) == cleaned


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
