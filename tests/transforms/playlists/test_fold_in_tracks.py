"""Folding of new tracks into the spaces of both kinds of encoders."""

import numpy as np
import pyarrow as pa

from tracktokens.schemas.tables.records import KEY
from tracktokens.transforms.playlists.als import AlsConfig
from tracktokens.transforms.playlists.fold_in_tracks import fold_by_factors, fold_by_neighbours

LISTS = [[0, 1, 2], [2, 3, 0, 8], [8, 1], [9, 3], [3, 0], [10, 11]]
KNOWN, MISSING = [3, 0, 1], [9, 8, 10]  # track 2 has a vector, but no token; 11 is neither
CONFIG = AlsConfig(dim=2, regularization=0.5, confidence=4)


def key(track: int) -> bytes:
    return track.to_bytes(16, "big")


def keys(tracks: list[int]) -> pa.FixedSizeBinaryArray:
    return pa.array(map(key, tracks), KEY.type)


def lists_of(playlists: list[list[int]]) -> pa.ListArray:
    return pa.array([[*map(key, tracks)] for tracks in playlists], pa.list_(KEY.type))


VECTORS = np.array([[1, 0.5], [0.25, -1], [0.5, 0.75]], np.float16)


def test_als_solves_the_playlists_for_known_tracks_and_new_tracks_for_the_playlists() -> None:
    folded = fold_by_factors([lists_of(LISTS)], keys(MISSING), keys(KNOWN), VECTORS, CONFIG)

    tracks = [*KNOWN, *MISSING]
    member = np.array([[track in playlist for track in tracks] for playlist in LISTS], float)
    shares = member / member.sum(axis=0)
    entries = shares * CONFIG.confidence * member.sum() / shares.sum()

    def solve(others: np.ndarray, weights: np.ndarray) -> np.ndarray:
        confidence = np.where(weights > 0, weights, 1)
        normal = (others * confidence[:, None]).T @ others + CONFIG.regularization * np.eye(2)
        return np.linalg.solve(normal, others.T @ weights)

    playlists = np.array([solve(VECTORS.astype(float), row) for row in entries[:, :3]])
    expected = np.array([solve(playlists, column) for column in entries[:, 3:].T])
    np.testing.assert_allclose(folded, expected, rtol=1e-3, atol=1e-4)
    assert not folded[2].any()


def test_als_folds_alike_in_any_chunks() -> None:
    whole = fold_by_factors([lists_of(LISTS)], keys(MISSING), keys(KNOWN), VECTORS, CONFIG)
    chunks = [lists_of(LISTS[4:]), lists_of(LISTS[:4])]

    np.testing.assert_array_equal(fold_by_factors(chunks, keys(MISSING), keys(KNOWN), VECTORS, CONFIG), whole)


def test_word2vec_takes_the_mean_of_the_neighbours_in_the_window() -> None:
    folded = fold_by_neighbours([lists_of(LISTS)], keys(MISSING), keys(KNOWN), VECTORS, window=1)

    units = VECTORS.astype(float) / np.linalg.norm(VECTORS.astype(float), axis=1, keepdims=True)
    expected = [units[0], (units[1] + units[2]) / 2, [0, 0]]
    np.testing.assert_allclose(folded, expected, atol=1e-5)
