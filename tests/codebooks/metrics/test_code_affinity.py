"""Affinity of codes that playlists hold together."""

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tracktokens.codebooks.metrics.code_affinity import PRIOR, SAME, CodeAffinity

COLUMN = np.array([0, 0, 1, 2, -1, 3], np.int16)
PLAYLISTS = [[0, 1, 2], [2, 3], [0, 3, 4, 5]]


def learned(column: np.ndarray = COLUMN, playlists: list[list[int]] = PLAYLISTS) -> CodeAffinity:
    held = np.zeros((len(playlists), len(column)))
    for number, playlist in enumerate(playlists):
        held[number, playlist] = 1
    return CodeAffinity.learn(column, csr_matrix(held), held.sum(axis=0))


def chance(seed: int, code: int) -> tuple[float, float]:
    """The probability of a code beside another, and that of any track's, one pair of tracks at a time."""
    tracks = [track for track in range(len(COLUMN)) if COLUMN[track] >= 0]
    holds = {track: 1 + sum(track in playlist for playlist in PLAYLISTS) for track in tracks}
    share = sum(holds[track] for track in tracks if COLUMN[track] == code) / sum(holds.values())
    pairs = dict.fromkeys(range(4), 0.0)
    for playlist in PLAYLISTS:
        for one, other in itertools.permutations(playlist, 2):
            if COLUMN[one] == seed and COLUMN[other] >= 0:
                pairs[int(COLUMN[other])] += 1 / (len(playlist) - 1)
    prior = (1 - SAME) * share + SAME * (seed == code)
    return (pairs[code] + PRIOR * prior) / (sum(pairs.values()) + PRIOR), share


@pytest.mark.parametrize("seed", range(4))
def test_lifts_are_those_of_counting_pair_by_pair(seed: int) -> None:
    expected = [np.log(beside / alone) for beside, alone in (chance(seed, code) for code in range(4))]
    np.testing.assert_allclose(learned().log_lifts(np.array([seed], np.int16)), expected)


def test_chances_sum_to_1() -> None:
    found = learned()
    assert np.exp(found.log_lifts(np.array([2], np.int16))) @ found.shares == pytest.approx(1)


def test_several_seeds_are_averaged() -> None:
    found = learned()
    alone = [found.log_lifts(np.array([code], np.int16)) for code in (0, 0, 3)]
    np.testing.assert_allclose(found.log_lifts(np.array([0, 0, 3], np.int16)), np.mean(alone, axis=0))


def test_without_playlists_only_the_same_code_has_affinity_and_more_if_it_is_rare() -> None:
    found = learned(np.array([0, 0, 0, 1, 2], np.int16), [])
    common, rare = (found.log_lifts(np.array([code], np.int16)) for code in (0, 1))
    assert common[0] > 0 > common[1] == common[2]
    assert rare[1] > common[0]


def test_a_code_that_no_track_has_is_neutral() -> None:
    assert learned(np.array([0, 2], np.int16), [[0, 1]]).log_lifts(np.array([0], np.int16))[1] == 0


def test_a_long_playlist_does_not_outweigh_the_others() -> None:
    column = np.concatenate([[0, 1, 2], np.arange(3, 103)]).astype(np.int16)
    long = [0, 2, *range(3, 103)]
    found = learned(column, [long, [0, 1]]).log_lifts(np.array([0], np.int16))
    assert found[1] > found[2]
