"""Variety of texts: distinct n-grams."""

import re
from collections.abc import Iterable

_MENTION = re.compile(r"\[track:[^\[\]]*\]")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def distinct_n(texts: Iterable[str], n: int = 2) -> float:
    """Share of the n-grams of words that are different (Li et al., NAACL 2016); 0 without any.

    Mentions of tracks are left out. It falls as texts are added: compare it for the same number of texts only.

    >>> distinct_n(["more jazz please", "more jazz now"])
    0.75
    """
    seen: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        words = _WORD.findall(_MENTION.sub(" ", text).lower())
        grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
        seen.update(grams)
        total += len(grams)
    return len(seen) / total if total else 0.0
