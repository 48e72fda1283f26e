"""The words of the language: every token in its fixed order, and the five tokens of each track.

The order depends on nothing but the number of codes a modality, K: modality by modality, code by code, then the five
``none`` tokens, then the two that stand around a track. These are 5 K + 7 tokens, 5,127 for K = 1,024.
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

TRACK_START = "<|track|>"
TRACK_END = "<|/track|>"

UNCLAIMED_ID = 1_000_000
"""First id in ``added_tokens.json`` when the tokenizer is not known: above the ids of every tokenizer. A fast tokenizer
appends the tokens in the order of these ids and numbers them itself, but it loses a token whose id one of its special
tokens has."""


@dataclass(frozen=True)
class Entry:
    """One token of the vocabulary. ``code`` is None for "none" tokens, ``modality`` too for the track tokens."""

    token: str
    modality: str | None
    code: int | None


def token(modality: str, code: int | None) -> str:
    """Return the token of a code, ``<|audio_42|>``, or of a missing modality, ``<|audio_none|>``."""
    return f"<|{modality}_{'none' if code is None else code}|>"


def tuple_string(codes: Iterable[int]) -> str:
    """Write the five tokens of a row of a code matrix in order, -1 as ``none``, with nothing between them."""
    pairs = zip(MODALITIES, codes, strict=True)
    return "".join(token(modality, None if code == NONE else code) for modality, code in pairs)


def vocabulary(size: int) -> list[Entry]:
    """List every token in its fixed order, for ``size`` codes a modality.

    Raises:
        ValueError: ``size`` is not between 1 and ``MAX_CODES``.
    """
    if not 1 <= size <= MAX_CODES:
        raise ValueError(f"a modality has 1 to {MAX_CODES} codes, not {size}")
    codes = [Entry(token(modality, code), modality, code) for modality in MODALITIES for code in range(size)]
    missing = [Entry(token(modality, None), modality, None) for modality in MODALITIES]
    return [*codes, *missing, Entry(TRACK_START, None, None), Entry(TRACK_END, None, None)]


def tokens_json(bundle_id: str, size: int) -> dict[str, object]:
    """Return the contents of ``tokens.json``: every token in order, with what it stands for."""
    tokens = [asdict(entry) for entry in vocabulary(size)]
    return {"format": FORMAT_VERSION, "bundle": bundle_id, "tokens": tokens}


def added_tokens_json(size: int, first_id: int = UNCLAIMED_ID) -> dict[str, int]:
    """Return the contents of ``added_tokens.json`` as Hugging Face tokenizers read it: token to id, ids in order.

    ``tokenizer.add_tokens(list(contents))`` works with every tokenizer, whatever the ids. The file in the folder of a
    fast tokenizer works as well, as long as its ``tokenizer_config.json`` has no ``added_tokens_decoder``, for which
    transformers leaves the file unread. With ``first_id=len(tokenizer)`` the ids are those that the tokens get.

    Args:
        size: codes a modality.
        first_id: id of the first token.
    """
    return {entry.token: first_id + position for position, entry in enumerate(vocabulary(size))}


def token_strings(codes: pa.RecordBatch, size: int) -> pa.StringArray:
    """Write each row's five tokens in order, with nothing between them.

    Args:
        codes: a batch with an int16 column a modality, null where a track lacks it.
        size: codes a modality.

    Raises:
        InvalidDataError: a code is not between 0 and ``size`` - 1.
    """
    columns = [_column_tokens(modality, codes.column(modality), size) for modality in MODALITIES]
    return pc.binary_join_element_wise(*columns, "")


def _column_tokens(modality: str, codes: pa.Int16Array, size: int) -> pa.StringArray:
    bounds = pc.min_max(codes)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low is not None and not 0 <= low <= high < size:
        raise InvalidDataError(f"{modality} codes run from {low} to {high}, the vocabulary from 0 to {size - 1}")
    return _modality_tokens(modality, size).take(pc.fill_null(codes, size))


@lru_cache(maxsize=2 * len(MODALITIES))
def _modality_tokens(modality: str, size: int) -> pa.StringArray:
    """Tokens of a modality by code; the one for a missing modality comes last, at ``size``."""
    return pa.array([token(modality, code) for code in range(size)] + [token(modality, None)], pa.string())
