"""The vocabulary: every token in its fixed order, and the tokens of each track.

The order depends only on the token format. With one token per modality and the codebook size K, it is: the code tokens
by modality and code, the ``none`` token of each modality, and the tokens that enclose a track. For five modalities
these are 5 K + 7 tokens, 5,127 for K = 1,024. The tokens of residual levels and numbers follow, column by column, each
with its ``none`` token last. So the first tokens have the same ids in every format of the same codebook size.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import MAX_CODES, MAX_COLUMNS, TokenColumn, TokenFormat, as_format

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
    """One token of the vocabulary, in a file.

    Attributes:
        token: the token.
        modality: name of its column, a modality or a residual level or ``n``; None for the track tokens.
        code: its code; None for ``none`` tokens and the track tokens.
    """

    token: str
    modality: str | None
    code: int | None


def token(name: str, code: int | None) -> str:
    """Return the token of a code of a column, or of a modality that a track lacks.

    Example:
        >>> token("audio", 42), token("audio", None), token("metadata2", 7)
        ('<|audio_42|>', '<|audio_none|>', '<|metadata2_7|>')
    """
    return f"<|{name}_{'none' if code is None else code}|>"


def tuple_string(codes: Iterable[int], names: Sequence[str] = MODALITIES) -> str:
    """Write the tokens of a row of a code matrix in order, -1 as ``none``, without a separator.

    ``names`` are those of the columns, the modalities by default.

    Example:
        >>> tuple_string([3, 1, 4, -1, 5])
        '<|playlist_3|><|tags_1|><|metadata_4|><|lyrics_none|><|audio_5|>'
    """
    pairs = zip(names, codes, strict=True)
    return "".join(token(name, None if code == NONE else code) for name, code in pairs)


def vocabulary(token_format: TokenFormat | int) -> list[Entry]:
    """List every token in its fixed order, for a format, or for a number of codes per modality.

    Example:
        >>> [entry.token for entry in vocabulary(1)][:6]
        ['<|playlist_0|>', '<|tags_0|>', '<|metadata_0|>', '<|lyrics_0|>', '<|audio_0|>', '<|playlist_none|>']
        >>> len(vocabulary(1024))
        5127
        >>> [entry.token for entry in vocabulary(TokenFormat.of(1, levels={"tags": [2]}, numbers=1))][12:]
        ['<|tags2_0|>', '<|tags2_1|>', '<|tags2_none|>', '<|n_0|>']

    Raises:
        ValueError: a size is not between 1 and ``MAX_CODES``.
    """
    columns = as_format(token_format).columns
    if wrong := [column.size for column in columns if not 1 <= column.size <= MAX_CODES]:
        raise ValueError(f"a modality has 1 to {MAX_CODES} codes, not {wrong[0]}")
    first, further = columns[: len(MODALITIES)], columns[len(MODALITIES) :]
    return [
        *(entry for column in first for entry in _code_entries(column)),
        *(_none_entry(column) for column in first),
        Entry(TRACK_START, None, None),
        Entry(TRACK_END, None, None),
        *(entry for column in further for entry in _further_entries(column)),
    ]


def _code_entries(column: TokenColumn) -> Iterator[Entry]:
    return (Entry(token(column.name, code), column.name, code) for code in range(column.size))


def _none_entry(column: TokenColumn) -> Entry:
    return Entry(token(column.name, None), column.name, None)


def _further_entries(column: TokenColumn) -> Iterator[Entry]:
    yield from _code_entries(column)
    if column.has_none:
        yield _none_entry(column)


def tokens_json(bundle_id: str, token_format: TokenFormat | int) -> dict[str, object]:
    """Return the contents of ``tokens.json``: every token in order, with its column and code."""
    tokens = [{**vars(entry)} for entry in vocabulary(token_format)]  # asdict takes ten times as long
    return {"format": FORMAT_VERSION, "bundle": bundle_id, "tokens": tokens}


def added_tokens_json(token_format: TokenFormat | int, first_id: int = UNCLAIMED_ID) -> dict[str, int]:
    """Return the contents of ``added_tokens.json`` as Hugging Face tokenizers read it: token to id, ids in order.

    ``tokenizer.add_tokens(list(contents))`` works with every tokenizer and ignores the ids. The file also works in the
    folder of a fast tokenizer, unless its ``tokenizer_config.json`` has an ``added_tokens_decoder``: then transformers
    does not read the file. With ``first_id=len(tokenizer)`` the ids are those that the tokenizer assigns.

    Args:
        token_format: the format, or the codes per modality of one with five tokens.
        first_id: id of the first token.
    """
    return {entry.token: first_id + position for position, entry in enumerate(vocabulary(token_format))}


def token_strings(codes: pa.RecordBatch, token_format: TokenFormat | int) -> pa.StringArray:
    """Write the tokens of each row in order, without a separator.

    Args:
        codes: a batch with the int16 columns of the format, null where a track lacks a modality.
        token_format: the format, or the codes per modality of one with five tokens.

    Raises:
        InvalidDataError: a code is not below the size of its column.
    """
    columns = as_format(token_format).columns
    tokens = [_column_tokens(column.name, codes.column(column.name), column.size) for column in columns]
    return pc.binary_join_element_wise(*tokens, "")


def _column_tokens(name: str, codes: pa.Int16Array, codebook_size: int) -> pa.StringArray:
    bounds = pc.min_max(codes)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low is not None and not 0 <= low <= high < codebook_size:
        raise InvalidDataError(
            f"{name} codes range from {low} to {high}, those of the vocabulary from 0 to {codebook_size - 1}"
        )
    return _tokens_of(name, codebook_size).take(pc.fill_null(codes, codebook_size))


@lru_cache(maxsize=2 * MAX_COLUMNS)
def _tokens_of(name: str, codebook_size: int) -> pa.StringArray:
    """List the tokens of a column by code, and the ``none`` token last, at ``codebook_size``."""
    return pa.array([token(name, code) for code in range(codebook_size)] + [token(name, None)], pa.string())
