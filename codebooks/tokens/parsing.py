"""Read written tokens: ``<|playlist_3|><|audio_7|>`` becomes a query for ``matching.TokenIndex``."""

import re

import numpy as np

from tracktokens.codebooks.numerics.arrays import Query
from tracktokens.codebooks.tokens.code_matrix import NONE, WILDCARD
from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START, token
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES

_PIECE = re.compile(rf"\s*(?:<\|({'|'.join(MODALITIES)})_(none|0|[1-9][0-9]*)\|>|(\S+?(?=<\||\s|$)))")


def parse_tokens(text: str, size: int) -> Query:
    """Read tokens in any order, each modality at most once, white space between them or not.

    ``<|track|>`` before them and ``<|/track|>`` after them may be there or not.

    Args:
        text: what was written.
        size: codes of the vocabulary a modality.

    Returns:
        int16 (5,): codes in token order, -1 for ``none``, -2 for modalities that were not written.

    Raises:
        UsageError: something is no token, a modality comes twice, a code is out of range, or there are no tokens.
    """
    query = np.full(len(MODALITIES), WILDCARD, np.int16)
    for modality, code, other in _PIECE.findall(text.strip().removeprefix(TRACK_START).removesuffix(TRACK_END)):
        if other:
            raise UsageError(f"{other!r} is no token: give tokens such as {token(MODALITIES[0], 3)}")
        place = MODALITIES.index(modality)
        if query[place] != WILDCARD:
            raise UsageError(f"{text!r} has more than one {modality} token: give each modality once")
        query[place] = NONE if code == "none" else _checked_code(modality, int(code), size)
    if (query == WILDCARD).all():
        raise UsageError(f"{text!r} has no tokens: give some, such as {token(MODALITIES[0], 3)}")
    return query


def _checked_code(modality: str, code: int, size: int) -> int:
    if code >= size:
        raise UsageError(f"{token(modality, code)} is not in the vocabulary: {modality} codes go from 0 to {size - 1}")
    return code
