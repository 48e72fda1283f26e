"""Input texts of metadata and tags, as the encoder reads them.

Each function takes a batch with the columns of ``schemas.tables.tracks.TRACKS``, in which blank strings are null. It
returns one text per row, null where the track lacks the modality. The content key is a hash of the text, so differences
without meaning are removed: text is normalised to NFC and single spaces, and tags are sorted.
"""

import unicodedata
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_SPACE = r"[\p{Z}\p{Cc}]+"
"""White space of every script, and control characters. ``\\s`` of RE2 matches ASCII only."""


def metadata_text(batch: pa.RecordBatch) -> pa.StringArray:
    """Describe each track as ``"title" by artist, from the album album (year)``.

    A missing part is left out with its words. A year of 0 or less counts as missing, since catalogs write it for
    "unknown". The text is null if title, artist and album are all missing: a year alone does not identify a track.

    >>> track = {"title": ["Hey Jude"], "artist": ["The Beatles"], "album": [None], "year": [1968]}
    >>> types = {"title": pa.string(), "artist": pa.string(), "album": pa.string(), "year": pa.int32()}
    >>> metadata_text(pa.record_batch(track, schema=pa.schema(types))).to_pylist()
    ['"Hey Jude" by The Beatles (1968)']
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

    Tags are case-folded, sorted by their UTF-8 bytes, and repeats are dropped, so that equal sets of tags make equal
    texts. A comma inside a tag is kept.

    >>> tags_text(pa.record_batch({"tags": [["Rock", "80s", "rock"], []]})).to_pylist()
    ['80s, rock', None]
    """
    column = batch.column("tags")
    tags = pc.list_flatten(column).dictionary_encode()
    distinct = _tidy(fold_case(tags.dictionary)).dictionary_encode()
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
    """Identify each song by title and artist, ignoring case and spacing; null where either is missing."""
    return pc.binary_join_element_wise(*(fold_case(_tidy(names)) for names in (titles, artists)), "\0")


def fold_case(texts: pa.StringArray) -> pa.StringArray:
    """Fold case by Unicode's canonical caseless matching, to NFC: texts that differ in case alone become equal.

    The Turkish ``İ`` folds to ``i``, not to ``i`` with a second dot.

    >>> fold_case(pa.array(["ROCK", "ΛΑΪΚΟΣ", "λαϊκος", "Straße", "İzmir", None])).to_pylist()
    ['rock', 'λαϊκοσ', 'λαϊκοσ', 'strasse', 'izmir', None]
    """
    return _map_non_ascii(_fold_case, pc.ascii_lower(texts))


def _fold_case(text: str) -> str:
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", folded).replace("i\u0307", "i")


def _tidy(texts: pa.StringArray) -> pa.StringArray:
    """Normalise to NFC and single spaces. Empty texts become null."""
    return _null_if_empty(pc.utf8_trim(pc.replace_substring_regex(_nfc(texts), _SPACE, " "), " "))


def _nfc(texts: pa.StringArray) -> pa.StringArray:
    """Normalise to NFC in Python, since Arrow's ``utf8_normalize`` (25.0) leaves "é" decomposed."""
    return _map_non_ascii(partial(unicodedata.normalize, "NFC"), texts)


def _map_non_ascii(function: Callable[[str], str], texts: pa.StringArray) -> pa.StringArray:
    """Map the texts that are not ASCII in Python; the others stay in Arrow, unchanged."""
    non_ascii = pc.fill_null(pc.invert(pc.string_is_ascii(texts)), False)
    mapped = map(function, texts.filter(non_ascii).to_pylist())
    return pc.replace_with_mask(texts, non_ascii, pa.array(mapped, pa.string()))


def _null_if_empty(texts: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _wrap(prefix: str, texts: pa.StringArray, suffix: str = "") -> pa.StringArray:
    """Add a prefix and a suffix to each text that is not null."""
    return pc.binary_join_element_wise(prefix, texts, suffix, "")


def _join(separator: str, left: pa.StringArray, right: pa.StringArray) -> pa.StringArray:
    """Join two columns where both are valid; elsewhere take the valid one."""
    return pc.coalesce(pc.binary_join_element_wise(left, right, separator), left, right)


def _distinct_pairs(
    rows: npt.NDArray[np.int64], ranks: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sort (row, rank) pairs, drop repeats and negative ranks."""
    width = int(ranks.max(initial=0)) + 1
    pairs = np.unique((rows * width + ranks)[ranks >= 0])
    return pairs // width, pairs % width
