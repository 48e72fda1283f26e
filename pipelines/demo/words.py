"""Words of the demo, read from ``data/``: artists, word banks by genre, mood and language, tags, playlist titles."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


def read_data(name: str) -> dict[str, Any]:
    """Read ``data/<name>.json``; arrays become tuples."""
    text = files(__package__).joinpath("data", f"{name}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = _freeze(json.loads(text))
    return data


def _freeze(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _freeze(member) for key, member in value.items()}
    return tuple(_freeze(member) for member in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Artist:
    """An invented artist: the genre they play and the language they sing in."""

    name: str
    genre: str
    language: str = "en"


@dataclass(frozen=True)
class Language:
    """Parts of a song's text in one language.

    Attributes:
        verse: lines with a slot ``{thing}``.
        chorus: lines with a slot ``{thing}``, repeated after each verse.
        subjects: what fills the slots, by mood; in English an adjective and a noun fill them.
        titles: title patterns.
    """

    verse: tuple[str, ...]
    chorus: tuple[str, ...]
    subjects: dict[str, tuple[str, ...]]
    titles: tuple[str, ...] = ("{thing}",)


_WORDS = read_data("words")

ARTISTS: tuple[Artist, ...] = tuple(Artist(**artist) for artist in _WORDS["artists"])

LANGUAGES: dict[str, Language] = {code: Language(**parts) for code, parts in read_data("languages").items()}

GENRE_NOUNS: dict[str, tuple[str, ...]] = _WORDS["genre_nouns"]

MOOD_ADJECTIVES: dict[str, tuple[str, ...]] = _WORDS["mood_adjectives"]

MOOD_TAGS: dict[str, tuple[str, ...]] = _WORDS["mood_tags"]

GENRE_TAGS: dict[str, tuple[str, ...]] = _WORDS["genre_tags"]

INSTRUMENT_TAGS: dict[str, tuple[str, ...]] = _WORDS["instrument_tags"]

NOISE_TAGS: tuple[str, ...] = _WORDS["noise_tags"]

YEARS: dict[str, tuple[int, int]] = _WORDS["years"]
"""First and last year of a genre's albums."""

VERSIONS: tuple[str, ...] = _WORDS["versions"]
"""Suffixes of some titles."""

CLUSTERS: dict[tuple[str, str], str] = {
    (genre, mood): crowd for genre, moods in _WORDS["clusters"].items() for mood, crowd in moods.items()
}
"""Genre and mood to the crowd that listens to it. Some crowds keep to a genre, some follow a mood."""

CLUSTER_TITLES: dict[str, tuple[str, ...]] = _WORDS["cluster_titles"]
"""Crowd to the titles of its playlists."""
