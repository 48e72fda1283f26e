"""Everything that lists modalities is derived from one tuple of records."""

import subprocess
import sys

import pyarrow as pa

from tracktokens.schemas.modalities import (
    CONTENT_MODALITIES,
    MATCHING_WEIGHTS,
    MODALITIES,
    MODALITY_OF_COLUMN,
    TEXT_MODALITIES,
)
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.schemas.tables.tracks import TRACKS

SIXTH = """
import inspect

import numpy as np

from tracktokens.schemas import modalities

entry = "Modality(name='mood', kind='text', columns=(Column('mood_words', 'string'),), matching_weight=2.0)"
marker = ')\\n\"\"\"Every modality, in the order'
source = inspect.getsource(modalities)
assert source.count(marker) == 1
exec(source.replace(marker, f'    {entry},\\n{marker}'), modalities.__dict__)

from tracktokens.codebooks.matching.token_index import Matching, TokenIndex
from tracktokens.codebooks.tokens.code_matrix import pack_tuples, tuple_buckets
from tracktokens.codebooks.tokens.parsing import parse_tokens
from tracktokens.codebooks.tokens.vocabulary import vocabulary
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.tables.tokens import TOKENS
from tracktokens.schemas.tables.tracks import TRACKS

assert TRACKS.names[-2:] == ["mood_words", "popularity"]
assert CATALOG_TRACKS.names[-1] == TOKENS.names[-2] == "mood"
assert len(vocabulary(2)) == 6 * 2 + 6 + 2
assert Matching().weights == (25, 5, 5, 1, 1, 2)
codes = np.array([[0, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]], np.int16)
twos = 0x0002000200020002
assert pack_tuples(codes).tolist() == [[1, twos, 2], [1, twos, 1], [2, twos, 2]]
assert len(set(tuple_buckets(codes, 1 << 30).tolist())) == 3
assert TokenIndex(codes).match(parse_tokens("<|playlist_0|><|mood_0|>", 2)).rows.tolist() == [1, 0]
"""


def test_the_lists_are_in_token_order() -> None:
    assert MODALITIES == ("playlist", "tags", "metadata", "lyrics", "audio")
    assert TEXT_MODALITIES == ("tags", "metadata", "lyrics")
    assert CONTENT_MODALITIES == ("tags", "metadata", "lyrics", "audio")
    assert MATCHING_WEIGHTS == (25, 5, 5, 1, 1)


def test_the_input_tables_have_the_columns_of_the_modalities() -> None:
    strings = pa.list_(pa.string())
    assert [(field.name, field.type) for field in TRACKS] == [
        ("track_id", pa.string()),
        ("title", pa.string()),
        ("artist", pa.string()),
        ("album", pa.string()),
        ("year", pa.int32()),
        ("tags", strings),
        ("lyrics", pa.string()),
        ("audio_path", pa.string()),
        ("audio_version", pa.string()),
        ("popularity", pa.float64()),
    ]
    assert [(field.name, field.type) for field in PLAYLISTS] == [("playlist_id", pa.string()), ("track_ids", strings)]


def test_a_column_belongs_to_one_modality_or_to_none() -> None:
    assert MODALITY_OF_COLUMN["year"] == "metadata"
    assert MODALITY_OF_COLUMN["audio_version"] == "audio"
    assert MODALITY_OF_COLUMN["track_ids"] == "playlist"
    assert set(TRACKS.names) - set(MODALITY_OF_COLUMN) == {"track_id", "popularity"}


def test_a_sixth_modality_is_one_entry() -> None:
    subprocess.run([sys.executable, "-c", SIXTH], check=True)
