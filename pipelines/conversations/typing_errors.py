"""Typing errors of listeners: swapped, missing and doubled letters, and missing apostrophes and capitals."""

import re

import numpy as np

ERROR_SHARE = {"formal": 0.002, "casual": 0.015, "terse": 0.025, "chatty": 0.025}
"""Share of a listener's words with an error, by register."""

_WORD = re.compile(r"[^\W\d_]{4,}(?:['’][^\W\d_]+)?")


def mistype(text: str, register: str, chance: np.random.Generator) -> str:
    """Put errors into some words of four letters and more."""
    share = ERROR_SHARE[register]
    return _WORD.sub(lambda word: _mistype_word(word[0], chance) if chance.random() < share else word[0], text)


def _mistype_word(word: str, chance: np.random.Generator) -> str:
    """Make one error; the first letter stays, as people seldom miss it."""
    if "'" in word and chance.random() < 0.7:
        return word.replace("'", "")
    at = int(chance.integers(1, len(word) - 1))
    kind = int(chance.integers(3))
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :] if kind == 1 else word[:at] + word[at] + word[at:]
