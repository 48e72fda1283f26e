"""Parse written tokens: ``<|playlist_3|><|audio_7|>`` becomes a query for ``matching.TokenIndex``."""

import re
import reprlib

import numpy as np

from tracktokens.codebooks.codebook import MAX_CODES
from tracktokens.codebooks.numerics.arrays import Query
from tracktokens.codebooks.tokens.code_matrix import NONE, WILDCARD
from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START, token
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES

_TOKEN = re.compile(rf"\s*(?:<\|({'|'.join(MODALITIES)})_(none|0|[1-9][0-9]*)\|>|(\S+?(?=<\||\s|$)))")

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
    query = np.full(len(MODALITIES), WILDCARD, np.int16)
    for modality, code, other in _TOKEN.findall(text.strip().removeprefix(TRACK_START).removesuffix(TRACK_END)):
        if other:
            raise UsageError(f"{_shown.repr(other)} is not a token: write tokens such as {token(MODALITIES[0], 3)}")
        column = MODALITIES.index(modality)
        if query[column] != WILDCARD:
            raise UsageError(f"{_shown.repr(text)} has more than one {modality} token: write each modality once")
        query[column] = NONE if code == "none" else _checked_code(modality, code, codebook_size)
    if (query == WILDCARD).all():
        raise UsageError(f"{_shown.repr(text)} has no tokens: write some, such as {token(MODALITIES[0], 3)}")
    return query


def _checked_code(modality: str, digits: str, codebook_size: int) -> int:
    if len(digits) > _MAX_DIGITS or int(digits) >= codebook_size:
        written = f"<|{modality}_{digits}|>"
        raise UsageError(
            f"{_shown.repr(written)} is not in the vocabulary: {modality} codes range from 0 to {codebook_size - 1}"
        )
    return int(digits)
