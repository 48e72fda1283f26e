"""Weights fitted to playlists."""

import numpy as np
import pytest

from tracktokens.codebooks.metrics.playlist_continuation import Continuation, measure
from tracktokens.codebooks.metrics.token_features import EqualCodes, WeightedScorer
from tracktokens.codebooks.metrics.weight_fitting import fit_weights


@pytest.fixture(scope="module")
def telling() -> tuple[np.ndarray, list[Continuation]]:
    """Playlists with one tags code each, and uninformative playlist codes."""
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 10, (500, 5)).astype(np.int16)
    playlists = []
    for number in range(400):
        tracks = np.flatnonzero(codes[:, 1] == number % 10)
        chosen = draw.permutation(tracks)[:10]
        playlists.append(Continuation(chosen[:5], chosen[5:]))
    return codes, playlists


def test_weights_go_to_the_informative_modality(telling: tuple[np.ndarray, list[Continuation]]) -> None:
    codes, playlists = telling
    weights = fit_weights(EqualCodes(codes), playlists[:300], [25, 5, 5, 1, 1])
    assert max(weights) == 1
    assert weights[1] > 0.5
    fitted, usual = (WeightedScorer(EqualCodes(codes), tried) for tried in (weights, [25, 5, 5, 1, 1]))
    assert measure(fitted, playlists[300:]).mrr > measure(usual, playlists[300:]).mrr


def test_the_same_playlists_give_the_same_weights(telling: tuple[np.ndarray, list[Continuation]]) -> None:
    codes, playlists = telling
    assert fit_weights(EqualCodes(codes), playlists[:10], [1] * 5) == fit_weights(
        EqualCodes(codes), playlists[:10], [1] * 5
    )
