"""Titles and lyrics, put together from the word banks."""

import numpy as np

from tracktokens.pipelines.demo.chance import draw, pick
from tracktokens.pipelines.demo.words import GENRE_NOUNS, LANGUAGES, MOOD_ADJECTIVES, VERSIONS, Artist

_VERSE_LINES = 4
_CHORUS_LINES = 3
_LINE_SECONDS = 4.2
_ENGLISH = "en"


def write_title(artist: Artist, mood: str, chance: np.random.Generator) -> str:
    """Invent a title in the artist's language. One title in six names a version, such as a live recording."""
    thing = pick(subjects_of(artist, mood), chance)
    title = pick(LANGUAGES[artist.language].titles, chance).format(thing=thing)
    if artist.language == _ENGLISH:
        title = title.removeprefix("the ").title()
    version = pick(VERSIONS, chance) if chance.random() < 1 / 6 else ""
    return title[0].upper() + title[1:] + version


def write_lyrics(artist: Artist, mood: str, chance: np.random.Generator) -> str:
    """Write two verses, each followed by the same chorus, with section marks."""
    subjects = draw(subjects_of(artist, mood), 4, chance)
    language = LANGUAGES[artist.language]
    chorus = ["[Chorus]", *_lines(language.chorus, _CHORUS_LINES, subjects[:2], chance)]
    verses = [[f"[Verse {n}]", *_lines(language.verse, _VERSE_LINES, subjects, chance)] for n in (1, 2)]
    return "\n\n".join("\n".join(section) for section in (verses[0], chorus, verses[1], chorus))


def with_time_stamps(lyrics: str, title: str, artist: Artist) -> str:
    """Convert lyrics to LRC: a header, and every line with its start time, without section marks."""
    lines = [line for line in lyrics.splitlines() if line and not line.startswith("[")]
    stamped = [f"[{_stamp(8.5 + number * _LINE_SECONDS)}]{line}" for number, line in enumerate(lines)]
    return "\n".join([f"[ti:{title}]", f"[ar:{artist.name}]", *stamped])


def subjects_of(artist: Artist, mood: str) -> tuple[str, ...]:
    """List subjects of an artist's lyrics in a mood: in English by genre and mood, in other languages by mood."""
    if artist.language != _ENGLISH:
        return LANGUAGES[artist.language].subjects[mood]
    return tuple(f"the {adjective} {noun}" for noun in GENRE_NOUNS[artist.genre] for adjective in MOOD_ADJECTIVES[mood])


def _lines(patterns: tuple[str, ...], count: int, subjects: list[str], chance: np.random.Generator) -> list[str]:
    lines = [pattern.format(thing=pick(subjects, chance)) for pattern in draw(patterns, count, chance)]
    return [line[0].upper() + line[1:] for line in lines]


def _stamp(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{seconds % 60:05.2f}"
