"""The input texts of the text modalities: what an encoder reads about a track.

Each function takes a batch with the columns of ``schemas.tracks.TRACKS`` (a blank string is null there) and returns one
text a row, null where the track lacks the modality. A text is also what the content key is made of, so everything that
does not change the meaning is normalised away: Unicode to NFC, white space to single spaces, tags to one order.
"""

import html
import re
import unicodedata

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MAX_ROUNDS = 20
"""How often lyrics are cleaned until nothing changes; real ones need two or three rounds. A bound, since a megabyte of
``x2 x2 x2`` or ``&amp;amp;amp;`` would take a round for each."""

_SPACE = r"[\p{Z}\p{Cc}]+"
"""White space of every script, and control characters: RE2's own ``\\s`` knows ASCII only."""


def metadata_text(batch: pa.RecordBatch) -> pa.StringArray:
    """Describe each track as ``"title" by artist, from the album album (year)``.

    A part that is missing is left out with its words. A year of 0 or less is missing: catalogs write it for "unknown".
    The text is null where title, artist and album are all missing, since a year alone names no track.
    """
    title, artist, album = (_tidy(batch.column(name)) for name in ("title", "artist", "album"))
    named = _join(" ", _wrap('"', title, '"'), _wrap("by ", artist))
    placed = _join(", ", named, _wrap("from the album ", album))
    year = batch.column("year")
    known_year = pc.if_else(pc.greater(year, 0), year, None)
    dated = _join(" ", placed, _wrap("(", known_year.cast(pa.string()), ")"))
    return pc.if_else(pc.is_valid(placed), dated, None)


def tags_text(batch: pa.RecordBatch) -> pa.StringArray:
    """Join each track's tags as ``tag, tag, tag``; null where it has none.

    Tags are lower-cased, and sorted by their UTF-8 bytes without repeats, so that the same set of tags is the same text
    whatever its order. A comma inside a tag stays.
    """
    column = batch.column("tags")
    tags = pc.list_flatten(column).dictionary_encode()
    distinct = _tidy(pc.utf8_lower(tags.dictionary)).dictionary_encode()
    alphabet = distinct.dictionary
    rank = np.empty(len(alphabet) + 1, np.int64)
    rank[pc.sort_indices(alphabet).to_numpy()] = np.arange(len(alphabet))
    rank[-1] = -1  # a null tag
    code = pc.fill_null(distinct.indices.take(tags.indices), -1).to_numpy(zero_copy_only=False)
    rows, ranks = _distinct_pairs(pc.list_parent_indices(column).to_numpy(), rank[code])
    offsets = np.searchsorted(rows, np.arange(len(column) + 1)).astype(np.int32)
    sorted_tags = alphabet.take(pc.sort_indices(alphabet)).take(pa.array(ranks))
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), sorted_tags), ", ")
    return _null_if_empty(joined)


def song_text(titles: pa.StringArray, artists: pa.StringArray) -> pa.StringArray:
    """Name each song by title and artist, alike however they are capitalised and spaced; null where one is missing."""
    return pc.binary_join_element_wise(*(pc.utf8_lower(_tidy(names)) for names in (titles, artists)), "\0")


def lyrics_text(batch: pa.RecordBatch) -> pa.StringArray:
    """Reduce each track's lyrics to the lines that are sung, as :func:`clean_lyrics` does; null where none is left."""
    column = batch.column("lyrics").dictionary_encode()
    distinct = [clean_lyrics(lyrics) for lyrics in column.dictionary.to_pylist()]
    return pa.array(distinct, pa.string()).take(column.indices)


def clean_lyrics(lyrics: str) -> str | None:
    """Return the lines of lyrics that are sung, with a line feed between them; None where none holds a letter or digit.

    What is removed:

    - LRC: time stamps ``[mm:ss.xx]`` (without a fraction only where a line begins), word stamps ``<mm:ss.xx>``, headers
    - HTML: entities are decoded, ``<br>`` and the like end a line, ``<b>`` and the like are dropped
    - a line that is nothing but square brackets: ``[Verse 2: Artist]``, ``[Guitar]``, ``【サビ】``. By the convention
      of lyrics sites these hold notes to the reader. Brackets beside other words stay, unless they begin the line
      with the name of a section
    - a line that is nothing but the name of a section: ``(Chorus)``, ``Refrain:``, ``Couplet 1``, ``サビ``
    - marks of repetition at the end of a line: ``x2``, ``(2x)``, ``(bis)``
    - blank lines

    The result is a fixed point, cleaning it again changes nothing: but for marks nested more than ``MAX_ROUNDS`` deep.
    """
    for _ in range(MAX_ROUNDS):
        before, lyrics = lyrics, _clean(lyrics)
        if lyrics == before:
            break
    return lyrics if re.search(r"\w", lyrics) else None


def _tidy(texts: pa.StringArray) -> pa.StringArray:
    """Normalise to NFC and single spaces; null where nothing is left."""
    return _null_if_empty(pc.utf8_trim(pc.replace_substring_regex(_nfc(texts), _SPACE, " "), " "))


def _nfc(texts: pa.StringArray) -> pa.StringArray:
    """Normalise to NFC, with Python's tables: Arrow's own ``utf8_normalize`` (25.0) leaves "é" decomposed."""
    wide = pc.fill_null(pc.invert(pc.string_is_ascii(texts)), False)
    normal = (unicodedata.normalize("NFC", text) for text in texts.filter(wide).to_pylist())
    return pc.replace_with_mask(texts, wide, pa.array(normal, pa.string()))


def _null_if_empty(texts: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _wrap(before: str, texts: pa.StringArray, after: str = "") -> pa.StringArray:
    """Put words around each text that is there."""
    return pc.binary_join_element_wise(before, texts, after, "")


def _join(separator: str, left: pa.StringArray, right: pa.StringArray) -> pa.StringArray:
    """Join two columns where both are there, and take the one that is there elsewhere."""
    return pc.coalesce(pc.binary_join_element_wise(left, right, separator), left, right)


def _distinct_pairs(
    rows: npt.NDArray[np.int64], ranks: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sort (row, rank) pairs, drop repeats and negative ranks."""
    width = int(ranks.max(initial=0)) + 1
    pairs = np.unique((rows * width + ranks)[ranks >= 0])
    return pairs // width, pairs % width


_SECTIONS = (
    r"chorus|pre-?chorus|post-?chorus|verse|refrain|pre-?refrain|intro|outro|interlude|instrumental|"
    r"strophe|kehrvers|zwischenspiel|vorspiel|nachspiel|"
    r"couplet|pré-?refrain|"
    r"estribillo|pre-?estribillo|estrofa|coro|pre-?coro|introducción|"
    r"refrão|pré-?refrão|estrofe|ritornello|strofa|"
    r"припев|куплет|проигрыш|후렴|"
    r"サビ|大サビ|ラスサビ|[A-DＡ-Ｄ]メロ|イントロ|アウトロ|間奏|副歌|主歌|间奏|前奏|尾奏"
)
"""Names of sections that are hardly ever sung alone on a line, as a pattern."""

_AMBIGUOUS_SECTIONS = (
    r"bridge|hook|break|breakdown|drop|solo|coda|skit|spoken|ad-?libs?|brücke|vers|pont|puente|ponte|verso|бридж|桥段"
)
"""Names of sections that could also be a line's only word: they need brackets, a colon or a number."""

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

_STAMPS_BEFORE_WORDS = re.compile(r"^(?:\[\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?\]\s?)+")
_STAMP = re.compile(r"\[\d{1,3}:\d{2}[.:]\d{1,3}\]|<\d{1,3}:\d{2}(?:[.:]\d{1,3})?>")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LINE_TAG = re.compile(r"<\s?/?\s?(?:br|p|div|li)\b[^<>]*>", re.IGNORECASE)
_WORD_TAG = re.compile(r"</?(?:b|i|u|em|strong|span|a|font)\s?/?>|<(?:span|a|font)\s+[\w-]+\s?=[^<>]*>", re.IGNORECASE)
_INVISIBLE = re.compile(r"[\u200b\ufeff\x00-\x08\x0e-\x1b\x7f]")
"""Zero-width spaces, byte order marks and control characters. Zero-width joiners stay: they shape Persian and emoji."""


def _clean(lyrics: str) -> str:
    """Clean once. What this uncovers (an entity that was encoded twice, say) is left to the next round."""
    text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), lyrics)
    text = _WORD_TAG.sub("", _LINE_TAG.sub("\n", text))
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    lines = (_clean_line(" ".join(line.split())) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _clean_line(line: str) -> str:
    """Drop what is not sung from a line with single spaces; an empty line if that is all."""
    line = _STAMP.sub("", _STAMPS_BEFORE_WORDS.sub("", line))
    line = _REPEAT.sub("", line).strip()
    if _MARK_LINES.fullmatch(line):
        return ""
    return _MARK_BEFORE_WORDS.sub("", line).strip()
