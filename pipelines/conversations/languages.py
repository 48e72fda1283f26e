"""The language of a playlist, by the function words of its titles."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from tracktokens.pipelines.conversations.grammar import read_data
from tracktokens.pipelines.conversations.track_card import LANGUAGES

LEAST_SHARE = 0.5
"""Share of the recognized words that another language than English needs."""

LEAST_WORDS = 3

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


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
    return language if count >= LEAST_WORDS and count > LEAST_SHARE * counts.total() else fallback


@cache
def _languages_by_word() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for language in LANGUAGES:
        for word in read_data(language)["function_words"]:
            words.setdefault(word, []).append(language)
    return words
