"""The vocabulary: every token in its fixed order, and the tokens of each track.

The order depends only on the codebook size K: the code tokens by modality and code, the ``none`` token of each
modality, and the tokens that enclose a track. For five modalities these are 5 K + 7 tokens, 5,127 for K = 1,024.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.codebook import MAX_CODES
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES

FORMAT_VERSION = 1
"""Version of the layout of ``tokens.json``."""

TRACK_START = "<|track|>"
"""Token before the tokens of a track."""

TRACK_END = "<|/track|>"
"""Token after the tokens of a track."""

UNCLAIMED_ID = 1_000_000
"""First id in ``added_tokens.json`` for an unknown tokenizer: above the ids of every tokenizer. A fast tokenizer
appends the tokens in the order of these ids and numbers them itself, but drops a token whose id one of its special
tokens has."""


@dataclass(frozen=True)
class Entry:
    """One token of the vocabulary. ``code`` is None for ``none`` tokens; both are None for the track tokens."""

    token: str
    modality: str | None
    code: int | None


def token(modality: str, code: int | None) -> str:
    """Return the token of a code, or of a modality that a track lacks.

    Example:
        >>> token("audio", 42), token("audio", None)
        ('<|audio_42|>', '<|audio_none|>')
    """
    return f"<|{modality}_{'none' if code is None else code}|>"


def tuple_string(codes: Iterable[int]) -> str:
    """Write the tokens of a row of a code matrix in order, -1 as ``none``, without a separator.

    Example:
        >>> tuple_string([3, 1, 4, -1, 5])
        '<|playlist_3|><|tags_1|><|metadata_4|><|lyrics_none|><|audio_5|>'
    """
    pairs = zip(MODALITIES, codes, strict=True)
    return "".join(token(modality, None if code == NONE else code) for modality, code in pairs)


def vocabulary(codebook_size: int) -> list[Entry]:
    """List every token in its fixed order, for ``codebook_size`` codes per modality.

    Example:
        >>> [entry.token for entry in vocabulary(1)][:6]
        ['<|playlist_0|>', '<|tags_0|>', '<|metadata_0|>', '<|lyrics_0|>', '<|audio_0|>', '<|playlist_none|>']
        >>> len(vocabulary(1024))
        5127

    Raises:
        ValueError: ``codebook_size`` is not between 1 and ``MAX_CODES``.
    """
    if not 1 <= codebook_size <= MAX_CODES:
        raise ValueError(f"a modality has 1 to {MAX_CODES} codes, not {codebook_size}")
    codes = [Entry(token(modality, code), modality, code) for modality in MODALITIES for code in range(codebook_size)]
    missing = [Entry(token(modality, None), modality, None) for modality in MODALITIES]
    return [*codes, *missing, Entry(TRACK_START, None, None), Entry(TRACK_END, None, None)]


def tokens_json(bundle_id: str, codebook_size: int) -> dict[str, object]:
    """Return the contents of ``tokens.json``: every token in order, with its modality and code."""
    tokens = [asdict(entry) for entry in vocabulary(codebook_size)]
    return {"format": FORMAT_VERSION, "bundle": bundle_id, "tokens": tokens}


def added_tokens_json(codebook_size: int, first_id: int = UNCLAIMED_ID) -> dict[str, int]:
    """Return the contents of ``added_tokens.json`` as Hugging Face tokenizers read it: token to id, ids in order.

    ``tokenizer.add_tokens(list(contents))`` works with every tokenizer and ignores the ids. The file also works in the
    folder of a fast tokenizer, unless its ``tokenizer_config.json`` has an ``added_tokens_decoder``: then transformers
    does not read the file. With ``first_id=len(tokenizer)`` the ids are those that the tokenizer assigns.

    Args:
        codebook_size: codes per modality.
        first_id: id of the first token.
    """
    return {entry.token: first_id + position for position, entry in enumerate(vocabulary(codebook_size))}


def token_strings(codes: pa.RecordBatch, codebook_size: int) -> pa.StringArray:
    """Write the tokens of each row in order, without a separator.

    Args:
        codes: a batch with one int16 column per modality, null where a track lacks it.
        codebook_size: codes per modality.

    Raises:
        InvalidDataError: a code is not between 0 and ``codebook_size`` - 1.
    """
    columns = [_column_tokens(modality, codes.column(modality), codebook_size) for modality in MODALITIES]
    return pc.binary_join_element_wise(*columns, "")


def _column_tokens(modality: str, codes: pa.Int16Array, codebook_size: int) -> pa.StringArray:
    bounds = pc.min_max(codes)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low is not None and not 0 <= low <= high < codebook_size:
        raise InvalidDataError(
            f"{modality} codes range from {low} to {high}, those of the vocabulary from 0 to {codebook_size - 1}"
        )
    return _modality_tokens(modality, codebook_size).take(pc.fill_null(codes, codebook_size))


@lru_cache(maxsize=2 * len(MODALITIES))
def _modality_tokens(modality: str, codebook_size: int) -> pa.StringArray:
    """List the tokens of a modality by code, and the ``none`` token last, at ``codebook_size``."""
    return pa.array([token(modality, code) for code in range(codebook_size)] + [token(modality, None)], pa.string())
