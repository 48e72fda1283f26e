"""Words that texts are recognized by: the themes of lyrics, and the language of titles."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from tracktokens.pipelines.conversations.grammar import read_data
from tracktokens.pipelines.conversations.track_card import LANGUAGES, THEME, read_lexicon

_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")

LEAST_THEME_WORDS = 4
"""Words of a theme that a text must have, repeats included: a single ``love`` does not make a love song."""


def themes_of(lyrics: str | None) -> tuple[str, ...]:
    """Return the themes of lyrics, sorted.

    >>> themes_of("rain, rain, the rain falls on the road and it is rainy")
    ('rain',)
    """
    counts: dict[str, int] = {}
    words = _themes_by_word()
    for word in _LETTERS.findall((lyrics or "").lower()):
        for theme in words.get(word, ()):
            counts[theme] = counts.get(theme, 0) + 1
    return tuple(sorted(theme for theme, count in counts.items() if count >= LEAST_THEME_WORDS))


@cache
def _themes_by_word() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for theme, entry in read_lexicon()[THEME].items():
        for word in dict.fromkeys(entry["words"]):
            words.setdefault(word, []).append(theme)
    return words


LEAST_SHARE = 0.5
"""Share of the recognized words that another language than English needs."""

LEAST_FUNCTION_WORDS = 3


def language_of(texts: Iterable[str | None], languages: Sequence[str] = LANGUAGES) -> str:
    """Return the language of most texts, of some languages; English, or the first, where it is not clear.

    >>> language_of(["Ich und du", "Der Lindenbaum", "Auf dem Wasser zu singen"])
    'de'
    """
    counts: Counter[str] = Counter()
    for text in texts:
        for word in _WORD.findall((text or "").lower().replace("’", "'")):
            counts.update(language for language in _languages_by_word().get(word, ()) if language in languages)
    fallback = LANGUAGES[0] if LANGUAGES[0] in languages else languages[0]
    if not counts:
        return fallback
    language, count = max(sorted(counts.items()), key=lambda item: item[1])
    return language if count >= LEAST_FUNCTION_WORDS and count > LEAST_SHARE * counts.total() else fallback


@cache
def _languages_by_word() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for language in LANGUAGES:
        for word in read_data(language)["function_words"]:
            words.setdefault(word, []).append(language)
    return words
