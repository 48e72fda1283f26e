"""Parse written tokens: ``<|playlist_3|><|audio_7|>`` becomes a query for ``matching.TokenIndex``."""

import re
import reprlib

import numpy as np

from tracktokens.codebooks.numerics.arrays import Query
from tracktokens.codebooks.tokens.code_matrix import NONE, WILDCARD
from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START, token
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import MAX_CODES, TokenColumn, TokenFormat, as_format

_TOKEN = re.compile(r"\s*(?:<\|([a-z]+[0-9]*)_(none|0|[1-9][0-9]*)\|>|(\S+?(?=<\||\s|$)))")

_MAX_DIGITS = len(str(MAX_CODES))
"""Digits of the largest code. A model may write thousands, which ``int`` refuses to convert."""

_shown = reprlib.Repr()
_shown.maxstring = 80
"""Longest text in a message."""


def parse_tokens(text: str, token_format: TokenFormat | int) -> Query:
    """Parse tokens in any order, each column at most once, with or without white space between them.

    ``<|track|>`` before them and ``<|/track|>`` after them are optional.

    Example:
        >>> parse_tokens("<|audio_7|> <|playlist_3|><|lyrics_none|>", 1024).tolist()
        [3, -2, -2, -1, 7]

    Args:
        text: written tokens.
        token_format: format of the vocabulary, or the codes per modality of one with five tokens.

    Returns:
        int16 (M,): codes in token order, -1 for ``none``, -2 for columns that were not written.

    Raises:
        UsageError: the text has no tokens or something else than tokens, a column occurs twice, or a code is out of
            range.
    """
    token_format = as_format(token_format)
    query = np.full(len(token_format), WILDCARD, np.int16)
    for name, code, other in _TOKEN.findall(text.strip().removeprefix(TRACK_START).removesuffix(TRACK_END)):
        if other or name not in token_format.names:
            shown = _shown.repr(other or f"<|{name}_{code}|>")
            raise UsageError(f"{shown} is not a token: write tokens such as {token(MODALITIES[0], 3)}")
        number = token_format.names.index(name)
        if query[number] != WILDCARD:
            raise UsageError(f"{_shown.repr(text)} has more than one {name} token: write each modality once")
        query[number] = _checked_code(token_format.columns[number], code)
    if (query == WILDCARD).all():
        raise UsageError(f"{_shown.repr(text)} has no tokens: write some, such as {token(MODALITIES[0], 3)}")
    return query


def _checked_code(column: TokenColumn, code: str) -> int:
    """Return a code as it is in a query; -1 for ``none``, which only modalities have."""
    if code == "none" and column.has_none:
        return NONE
    if code == "none" or len(code) > _MAX_DIGITS or int(code) >= column.size:
        written = f"<|{column.name}_{code}|>"
        raise UsageError(
            f"{_shown.repr(written)} is not in the vocabulary: {column.name} codes range from 0 to {column.size - 1}"
        )
    return int(code)
