"""Corpora with numbers in place of keys, and the tracks that are isolated in them."""

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.transforms.playlists.numbered_corpus import NumberedCorpus

SMALLEST = 10


def key(track: int) -> bytes:
    return track.to_bytes(16, "big")


def numbered(*playlists: list[int]) -> NumberedCorpus:
    rows = [{"position": place, "track_keys": [*map(key, tracks)]} for place, tracks in enumerate(playlists)]
    return NumberedCorpus.of(pa.Table.from_pylist(rows, CORPUS))


def isolated(*playlists: list[int]) -> set[int]:
    corpus = numbered(*playlists)
    keys = corpus.keys.filter(pa.array(corpus.isolated(SMALLEST))).to_pylist()
    return {int.from_bytes(found, "big") for found in keys}


def test_tracks_are_numbered_in_order_of_their_keys() -> None:
    corpus = numbered([7, 5], [9, 7, 5])

    assert corpus.keys.to_pylist() == [key(5), key(7), key(9)]
    assert corpus.counts().tolist() == [2, 2, 1]
    lists = np.split(corpus.tracks, corpus.offsets[1:-1])
    assert sorted(part.tolist() for part in lists) == [[1, 0], [2, 1, 0]]


LARGE = list(range(100, 100 + SMALLEST))


@pytest.mark.parametrize(
    ("playlists", "expected"),
    [
        ([LARGE, [1, 2]], {1, 2}),
        ([LARGE, [1, 2], [2, 3]], {1, 2, 3}),
        ([LARGE, [1, 2], [2, 100]], set()),
        ([LARGE, [*range(SMALLEST)]], set()),
        ([LARGE, [*range(SMALLEST - 1)]], set(range(SMALLEST - 1))),
        ([[1, 2], [3, 4]], set()),
        ([[1, 2, 3], [4, 5]], {4, 5}),
    ],
    ids=["a pair", "a chain", "connected by one list", "at the floor", "below", "only pairs", "the largest is small"],
)
def test_small_components_are_isolated_unless_all_are_small(playlists: list[list[int]], expected: set[int]) -> None:
    assert isolated(*playlists) == expected
