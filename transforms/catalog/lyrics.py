"""Input text of lyrics: the words that are sung, without the marks of lyrics sites, LRC and HTML."""

import html
import re
import unicodedata

import pyarrow as pa

MAX_ROUNDS = 20
"""Largest number of cleaning rounds. Real lyrics need two or three. A bound is needed since a megabyte of ``x2 x2 x2``
or ``&amp;amp;amp;`` would take one round for each mark."""


def lyrics_text(batch: pa.RecordBatch) -> pa.StringArray:
    """Clean each track's lyrics with :func:`clean_lyrics`; null where no line is left.

    Args:
        batch: batch with the column ``lyrics``.
    """
    column = batch.column("lyrics").dictionary_encode()
    distinct = [clean_lyrics(lyrics) for lyrics in column.dictionary.to_pylist()]
    return pa.array(distinct, pa.string()).take(column.indices)


def clean_lyrics(lyrics: str) -> str | None:
    r"""Reduce lyrics to the lines that are sung, joined by line feeds; None if no line has a letter or digit.

    Removed are:

    - LRC: time stamps ``[mm:ss.xx]`` (without a fraction only at the start of a line), word stamps ``<mm:ss.xx>``,
      headers. Stamps may have hours, a comma, a sign, a longer fraction or an end (``[00:01.0 --> 00:02.0]``)
    - karaoke stamps in milliseconds: ``[start,length]`` before a line, ``<start,length,0>`` at a word
    - subtitles (SRT, WebVTT): cue times and numbers, the header, tags
    - HTML: entities are decoded, ``<br>`` and similar tags end a line, ``<b>`` and similar tags are dropped
    - lines in square brackets: ``[Verse 2: Artist]``, ``[Guitar]``, ``【サビ】``. By convention of lyrics sites, these
      are notes to the reader. Brackets beside other words are kept, unless they start the line with a section name
    - lines that are a section name: ``(Chorus)``, ``Refrain:``, ``Couplet 1``, ``サビ``
    - repetition marks at the end of a line: ``x2``, ``(2x)``, ``(bis)``
    - blank lines

    Cleaning the result again changes nothing, except for marks nested more than ``MAX_ROUNDS`` deep.

    >>> clean_lyrics("[Chorus]\n[00:12.50]Na na na x2\n\n&lt;3 you")
    'Na na na\n<3 you'
    >>> clean_lyrics("[Instrumental]") is None
    True
    """
    for _ in range(MAX_ROUNDS):
        previous, lyrics = lyrics, _clean(lyrics)
        if lyrics == previous:
            break
    return lyrics if re.search(r"\w", lyrics) else None


_SECTIONS = (
    r"chorus|pre-?chorus|post-?chorus|verse|refrain|pre-?refrain|intro|outro|interlude|instrumental|"
    r"strophe|kehrvers|zwischenspiel|vorspiel|nachspiel|"
    r"couplet|pré-?refrain|"
    r"estribillo|pre-?estribillo|estrofa|coro|pre-?coro|introducción|"
    r"refrão|pré-?refrão|estrofe|ritornello|strofa|"
    r"припев|куплет|проигрыш|후렴|"
    r"サビ|大サビ|ラスサビ|[A-DＡ-Ｄ]メロ|イントロ|アウトロ|間奏|副歌|主歌|间奏|前奏|尾奏"
)
"""Pattern of section names that are rarely sung alone on a line."""

_AMBIGUOUS_SECTIONS = (
    r"bridge|hook|break|breakdown|drop|solo|coda|skit|spoken|ad-?libs?|brücke|vers|pont|puente|ponte|verso|бридж|桥段"
)
"""Pattern of section names that may be the only sung word of a line: they need brackets, a colon or a number."""

_NUMBER = r"(?:\s*\d{1,2}|\s+[ivx]{1,4}|\s+[a-d])"
_CERTAIN = rf"(?:{_SECTIONS})"
_ANY = rf"(?:(?:guitar\s|final\s|repeat\s|last\s)?(?:{_SECTIONS}|{_AMBIGUOUS_SECTIONS}))"
_TIMES = r"(?:[x×]\s?\d{1,2}|\d{1,2}\s?[x×])"

_MARK_LINES = re.compile(
    rf"""
    \[(?:ar|ti|al|au|by|re|ve|la|id|offset|length|tool|\#)\s?:.*\]      # an LRC header, brackets in it allowed
    | (?:[\[［【][^\[\]［］【】]*[\]］】][:：]?\s?)+
    | [(（]\s?{_ANY}{_NUMBER}?(?:\s?[:：\-–—][^()（）]*|\s?{_TIMES})?\s?[)）]\s?[:：]?
    | {_ANY}{_NUMBER}?\s?[:：]
    | {_ANY}\s?\d{{1,2}}
    | {_CERTAIN}{_NUMBER}?
    | {_TIMES}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MARK_BEFORE_WORDS = re.compile(
    rf"^[\[［【]\s?{_ANY}{_NUMBER}?(?:\s?[:：][^\[\]［］【】]*)?[\]］】]\s?[:：]?", re.IGNORECASE
)
_REPEAT = re.compile(
    r"(?:^|\s)(?:[x×]\d{1,2}|\d{1,2}[x×])$"  # lower case only: an X5 is a car
    rf"|(?i:[(（\[［]\s?(?:{_TIMES}|bis|repeat(?:\s{_TIMES})?|\d{{1,2}}\s?(?:times|fois|mal|veces|vezes|volte|回))\s?[)）\]］]$)"
)

_FRACTION = r"[.,:]\s?\d{1,9}"
_CLOCK = r"[+\-]?\s?(?:\d{1,3}:\s?){1,3}[+\-]?\d{1,2}"
_TIME = rf"{_CLOCK}(?:{_FRACTION})?"
_RANGE = rf"{_TIME}(?:\s?(?:-->|[\-–—])\s?{_TIME})?"
_STAMPS_BEFORE_WORDS = re.compile(rf"^(?:[\[［【]\s?{_RANGE}\s?[\]］】]\s?)+")
_STAMP = re.compile(
    rf"[\[［【]\s?{_CLOCK}[.:]\s?\d{{1,9}}\s?[\]］】]"
    r"|\[\s?(?:\d{1,3}:)?\d{2,3}:\d{2},\d{2,9}\s?\]"  # [3:16,17] beside words is a verse of a book
    rf"|<\s?{_TIME}\s?>"
)
_KARAOKE_LINE = re.compile(r"^\[\d{1,9},\s?\d{1,9}\]")
_KARAOKE_WORD = re.compile(r"<\d{1,9},\d{1,9}(?:,\d{1,9})?>|\(\d{1,9},\d{1,9}(?:,\d{1,9})?\)")
"""Stamps in milliseconds of karaoke formats: ``[start,length]`` before a line, ``<...>`` or ``(...)`` at each word."""

_CUE = re.compile(rf"\s*{_TIME}\s?-->\s?{_TIME}(?:\s.*)?")
_CUE_NUMBER = re.compile(r"\s*\d{1,6}\s*")
_SUBTITLE_HEADER = re.compile(r"\ufeff?WEBVTT\b.*")
_SUBTITLE_TAG = re.compile(r"</?c(?:\.[\w.]+)?>|<v(?:\.[\w.]+)?\s[^<>]*>|</v>|\{\\an?\d{1,2}\}")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LINE_TAG = re.compile(r"<\s?/?\s?(?:br|p|div|li)\b[^<>]*>", re.IGNORECASE)
_WORD_TAG = re.compile(r"</?(?:b|i|u|em|strong|span|a|font)\s?/?>|<(?:span|a|font)\s+[\w-]+\s?=[^<>]*>", re.IGNORECASE)
_INVISIBLE = re.compile(r"[\u200b\ufeff\x00-\x08\x0e-\x1b\x7f]")
"""Zero-width spaces, byte order marks and control characters. Zero-width joiners are kept: they shape
Persian and emoji."""


def _clean(lyrics: str) -> str:
    """Clean once. Marks that this uncovers, such as an entity encoded twice, are left to the next round."""
    text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), lyrics)
    text = _WORD_TAG.sub("", _LINE_TAG.sub("\n", text))
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    lines = (_clean_line(" ".join(line.split())) for line in _without_cues(text.splitlines()))
    return "\n".join(line for line in lines if line)


def _without_cues(lines: list[str]) -> list[str]:
    """Remove the header, numbers, times and tags of subtitles (SRT and WebVTT); other lyrics are returned unchanged."""
    cues = {row for row, line in enumerate(lines) if "-->" in line and _CUE.fullmatch(line)}
    if not cues:
        return lines
    numbers = {row - 1 for row in cues if row and _CUE_NUMBER.fullmatch(lines[row - 1])}
    header = range(min(cues)) if any(_SUBTITLE_HEADER.fullmatch(line) for line in lines[: min(cues)]) else ()
    dropped = {*cues, *numbers, *header}
    return [_SUBTITLE_TAG.sub("", line) for row, line in enumerate(lines) if row not in dropped]


def _clean_line(line: str) -> str:
    """Remove marks from a line with single spaces. A line of marks becomes empty."""
    if _KARAOKE_LINE.match(line):
        line = _KARAOKE_WORD.sub("", _KARAOKE_LINE.sub("", line))
    line = _STAMP.sub("", _STAMPS_BEFORE_WORDS.sub("", line))
    line = _REPEAT.sub("", line).strip()
    if _MARK_LINES.fullmatch(line):
        return ""
    return _MARK_BEFORE_WORDS.sub("", line).strip()
