"""Hints for misnamed columns: the column of an input table that a name of an export probably means."""

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache

SYNONYMS = {
    "track_id": ("id", "song_id", "track", "track_key", "uri", "track_uri"),
    "title": ("name", "song", "song_name", "song_title", "track_name", "track_title"),
    "artist": ("artist_name", "performer", "singer", "band"),
    "album": ("album_name", "album_title", "release"),
    "year": ("date", "release_date", "release_year"),
    "tags": ("genre", "genre_names", "keyword", "style"),
    "lyrics": ("lyric_text", "lyrics_text", "song_text", "text"),
    "audio_path": ("path", "file", "filename", "file_path", "audio", "audio_file", "location"),
    "audio_version": ("etag", "version"),
    "popularity": ("plays", "play_count", "listeners", "playcount"),
    "playlist_id": ("id", "pid", "playlist", "list_id"),
    "track_ids": ("tracks", "songs", "song_ids", "items", "track_list", "track_uris"),
    "vector": ("embedding", "embeddings", "values", "features"),
}
"""Column to common names of it in exports, besides other spellings of its own name."""

_LEAST_SIMILARITY = 0.8


def suggest_column(name: str, columns: Iterable[str]) -> str | None:
    """Find the column that a name probably means; None without a good guess.

    Letter case, white space, punctuation and a plural s do not matter. A name may also be a common synonym, end in the
    column's name, as in ``track.title``, or have a small typing error.

    Example:
        >>> suggest_column("Song Name", ["title", "artist"])
        'title'
        >>> suggest_column("mood", ["title", "artist"])
    """
    return _suggest(name, tuple(columns))


@lru_cache(maxsize=1 << 12)
def _suggest(name: str, columns: tuple[str, ...]) -> str | None:
    spellings = {_simplify(column): column for column in columns}
    known = {_simplify(synonym): column for column in columns for synonym in SYNONYMS.get(column, ())} | spellings
    simple, last_word = _simplify(name), _simplify(re.split(r"[\W_]+", name.strip())[-1])
    if not simple:
        return None
    if simple in known or last_word in spellings:
        return known.get(simple) or spellings[last_word]
    similar = difflib.get_close_matches(simple, spellings, n=1, cutoff=_LEAST_SIMILARITY)
    return spellings[similar[0]] if similar else None


def _simplify(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold()).removesuffix("s")
