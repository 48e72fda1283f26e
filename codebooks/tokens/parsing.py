"""Parse written tokens: ``<|playlist_3|><|audio_7|>`` becomes a query for ``matching.TokenIndex``."""

import re
import reprlib
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from tracktokens.codebooks.codebook import MAX_CODES
from tracktokens.codebooks.numerics.arrays import Query
from tracktokens.codebooks.tokens.code_matrix import NONE, WILDCARD
from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START, token
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES

_MAX_DIGITS = len(str(MAX_CODES))
"""Digits of the largest code. A model may write thousands, which ``int`` refuses to convert."""

_shown = reprlib.Repr()
_shown.maxstring = 80
"""Longest text in a message."""


def parse_tokens(text: str, codebook_size: int) -> Query:
    """Parse tokens in any order, each modality at most once, with or without white space between them.

    ``<|track|>`` before them and ``<|/track|>`` after them are optional.

    Example:
        >>> parse_tokens("<|audio_7|> <|playlist_3|><|lyrics_none|>", 1024).tolist()
        [3, -2, -2, -1, 7]

    Args:
        text: written tokens.
        codebook_size: codes per modality in the vocabulary.

    Returns:
        int16 (M,): codes in token order, -1 for ``none``, -2 for modalities that were not written.

    Raises:
        UsageError: the text has no tokens or something else than tokens, a modality occurs twice, or a code is out of
            range.
    """
    return parse_columns(text, dict.fromkeys(MODALITIES, codebook_size))


def parse_columns(text: str, sizes: Mapping[str, int]) -> Query:
    """Parse tokens of the given columns; see :func:`parse_tokens`.

    Example:
        >>> parse_columns("<|b_7|>", {"a": 4, "b": 8}).tolist()
        [-2, 7]

    Args:
        text: written tokens.
        sizes: column to its number of codes, in token order.
    """
    names = list(sizes)
    query = np.full(len(names), WILDCARD, np.int16)
    for name, code, other in _pattern(*names).findall(text.strip().removeprefix(TRACK_START).removesuffix(TRACK_END)):
        if other:
            raise UsageError(f"{_shown.repr(other)} is not a token: write tokens such as {token(names[0], 3)}")
        column = names.index(name)
        if query[column] != WILDCARD:
            raise UsageError(f"{_shown.repr(text)} has more than one {name} token: write each modality once")
        query[column] = NONE if code == "none" else _checked_code(name, code, sizes[name])
    if (query == WILDCARD).all():
        raise UsageError(f"{_shown.repr(text)} has no tokens: write some, such as {token(names[0], 3)}")
    return query


@lru_cache
def _pattern(*names: str) -> re.Pattern[str]:
    """Compile the tokens of these columns, and anything else up to the next token."""
    return re.compile(rf"\s*(?:<\|({'|'.join(map(re.escape, names))})_(none|0|[1-9][0-9]*)\|>|(\S+?(?=<\||\s|$)))")


def _checked_code(modality: str, digits: str, codebook_size: int) -> int:
    if len(digits) > _MAX_DIGITS or int(digits) >= codebook_size:
        written = f"<|{modality}_{digits}|>"
        raise UsageError(
            f"{_shown.repr(written)} is not in the vocabulary: {modality} codes range from 0 to {codebook_size - 1}"
        )
    return int(digits)
