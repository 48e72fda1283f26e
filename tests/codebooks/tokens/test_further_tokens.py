"""Tokens of residual levels and numbers: vocabulary, texts and constraint."""

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint
from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.tokens.parsing import parse_tokens
from tracktokens.codebooks.tokens.rendering import escape_tokens
from tracktokens.codebooks.tokens.vocabulary import added_tokens_json, token_strings, tuple_string, vocabulary
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.token_format import TokenFormat

FORMAT = TokenFormat.of(2, levels={"metadata": [3]}, numbers=2)
TUPLE = "<|playlist_1|><|tags_0|><|metadata_1|><|lyrics_0|><|audio_none|><|metadata2_2|><|n_0|>"
CODES = [1, 0, 1, 0, -1, 2, 0]


def test_first_tokens_keep_their_ids_and_further_ones_follow() -> None:
    first, tokens = [entry.token for entry in vocabulary(2)], [entry.token for entry in vocabulary(FORMAT)]
    assert tokens[: len(first)] == first
    assert tokens[len(first) :] == [
        *("<|metadata2_0|>", "<|metadata2_1|>", "<|metadata2_2|>", "<|metadata2_none|>", "<|n_0|>", "<|n_1|>")
    ]


def test_a_tuple_is_written_and_parsed() -> None:
    assert tuple_string(CODES, FORMAT.names) == TUPLE
    assert parse_tokens(TUPLE, FORMAT).tolist() == CODES
    columns = [pa.array([None if code < 0 else code], pa.int16()) for code in CODES]
    assert token_strings(pa.record_batch(columns, names=list(FORMAT.names)), FORMAT).to_pylist() == [TUPLE]


@pytest.mark.parametrize("text", ["<|n_none|>", "<|n_2|>", "<|metadata2_3|>", "<|tags2_0|>", "<|n_0|><|n_1|>"])
def test_tokens_outside_of_the_vocabulary_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tokens(text, FORMAT)


def test_further_tokens_in_texts_are_escaped() -> None:
    assert escape_tokens("<|metadata2_5|> <|n_7|> <|n_none|>") == "< |metadata2_5|> < |n_7|> <|n_none|>"


def test_the_constraint_admits_each_column_and_then_the_end() -> None:
    codes = np.array([CODES, [1, 0, 1, 0, -1, 2, 1], [0, 0, 0, 0, 0, 0, 0]], np.int16)
    ids = added_tokens_json(FORMAT, first_id=0)
    names = {number: name for name, number in ids.items()}
    constraint = CatalogConstraint(TupleTrie(codes), ids, FORMAT, repeats=False)
    written, admitted = [ids["<|track|>"]], []
    for code_token in TUPLE.replace("|><|", "|> <|").split():
        admitted.append({names[number] for number in constraint.admitted(np.array(written)).tolist()})
        written.append(ids[code_token])
    assert admitted[0] == {"<|playlist_0|>", "<|playlist_1|>"}
    assert admitted[5:] == [{"<|metadata2_2|>"}, {"<|n_0|>", "<|n_1|>"}]
    end = ids["<|/track|>"]
    assert constraint.admitted(np.array(written)).tolist() == [end]
    again = [*written, end, *written[:-1]]
    assert {names[number] for number in constraint.admitted(np.array(again)).tolist()} == {"<|n_1|>"}
