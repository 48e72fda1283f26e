"""Themes of lyrics: love, the sea, rain and others, by the words that a text repeats."""

import re
from functools import cache

from tracktokens.pipelines.conversations.track_card import THEME, read_lexicon

LEAST_WORDS = 4
"""Words of a theme that a text must have, repeats included: a single ``love`` does not make a love song."""

_WORD = re.compile(r"[^\W\d_]+")


def themes_of(lyrics: str | None) -> tuple[str, ...]:
    """Return the themes of lyrics, sorted.

    >>> themes_of("rain, rain, the rain falls on the road and it is rainy")
    ('rain',)
    """
    counts: dict[str, int] = {}
    words = _themes_by_word()
    for word in _WORD.findall((lyrics or "").lower()):
        for theme in words.get(word, ()):
            counts[theme] = counts.get(theme, 0) + 1
    return tuple(sorted(theme for theme, count in counts.items() if count >= LEAST_WORDS))


@cache
def _themes_by_word() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for theme, entry in read_lexicon()[THEME].items():
        for word in dict.fromkeys(entry["words"]):
            words.setdefault(word, []).append(theme)
    return words
