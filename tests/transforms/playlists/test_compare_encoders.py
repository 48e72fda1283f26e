"""Continuation of held-out playlists, by which one kind of encoder is chosen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.schemas.tables.records import KEY
from tracktokens.transforms.playlists import compare_encoders
from tracktokens.transforms.playlists.compare_encoders import (
    ContinuationFigures,
    best,
    by_cosine,
    compare,
    reciprocal_ranks,
    split_playlists,
)
from tracktokens.transforms.playlists.word2vec import Word2VecConfig

TRACKS = 12


def key(track: int) -> bytes:
    return track.to_bytes(16, "big")


KEYS = pa.array([key(track) for track in range(TRACKS)], KEY.type)


def corpus(*playlists: list[int]) -> pa.Table:
    rows = [{"position": place, "track_keys": [*map(key, tracks)]} for place, tracks in enumerate(playlists)]
    return pa.Table.from_pylist(rows, CORPUS)


@dataclass(frozen=True)
class Given(Word2VecConfig):
    """An encoder with fixed vectors, and a name of its own."""

    label: str = "given"
    near: bool = True

    @property
    def name(self) -> str:
        return self.label

    def train(self, corpus: pa.Table, start: object = None) -> tuple[pa.FixedSizeBinaryArray, npt.NDArray[np.float32]]:
        vectors = np.eye(TRACKS, dtype=np.float32)
        if self.near:  # even tracks are near each other, and odd ones
            vectors += 3 * np.equal.outer(np.arange(TRACKS) % 2, np.arange(TRACKS) % 2)
        return KEYS, vectors


def falling(seeds: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Scores that rank track 0 first, then 1, and so on, whatever the seeds."""
    return -np.arange(TRACKS, dtype=np.float32)


@pytest.mark.parametrize(
    ("playlist", "expected"),
    [
        ([0, 1, 2, 3, 4, 5], 1.0),
        ([0, 1, 2, 3, 4, 8, 7], 1 / 3),
        ([5, 2], 1 / 3),
        ([0, 1, 2, 3, 4, 0, 6], 1 / 2),
        ([0, 1, 2, 3, 4, 4, 2], 0.0),
        ([30, 31, 32, 33, 34, 0], 0.0),
        ([0, 30], 0.0),
    ],
    ids=[
        "the next track is first",
        "the best of two targets",
        "all but one are seeds",
        "a seed is not a target",
        "only seeds again",
        "unknown seeds",
        "an unknown target",
    ],
)
def test_the_best_target_is_ranked_among_all_tracks_but_the_seeds(playlist: list[int], expected: float) -> None:
    assert reciprocal_ranks(falling, KEYS, corpus(playlist)).tolist() == pytest.approx([expected])


def test_other_tracks_with_the_score_of_the_best_target_come_first() -> None:
    same = np.zeros(TRACKS, np.float32)

    assert reciprocal_ranks(lambda seeds: same, KEYS, corpus([0, 1])).tolist() == [1 / 11]


def test_cosine_does_not_depend_on_the_length_of_a_vector() -> None:
    vectors = np.array([[1, 0], [1, 0.1], [0, 9]], np.float32)

    assert np.argsort(-by_cosine(vectors)(np.array([0]))).tolist() == [0, 1, 2]


def test_figures_are_means_with_standard_errors() -> None:
    figures = ContinuationFigures.of(np.array([1.0, 0.5, 0.05, 0.0]))

    assert figures.mrr == 0.3875
    assert figures.hit_at_10 == 0.5
    assert figures.mrr_error == pytest.approx(np.std([1, 0.5, 0.05, 0], ddof=1) / 2, abs=1e-4)
    assert figures.hit_at_10_error == pytest.approx(np.std([1, 1, 0, 0], ddof=1) / 2, abs=1e-4)


def test_a_tenth_is_held_out_and_the_order_of_the_playlists_does_not_matter() -> None:
    lists = [[n % TRACKS, (n // TRACKS + n + 1) % TRACKS] for n in range(40)]

    train, held_out = split_playlists(corpus(*lists))
    other = split_playlists(corpus(*lists[::-1]))[1]

    assert (train.num_rows, held_out.num_rows) == (36, 4)
    assert held_out["track_keys"].to_pylist() == other["track_keys"].to_pylist()
    assert sorted(map(str, [*train["track_keys"].to_pylist(), *held_out["track_keys"].to_pylist()])) == sorted(
        map(str, corpus(*lists)["track_keys"].to_pylist())
    )


def test_a_large_tenth_is_measured_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = [[n % TRACKS, (n + 2) % TRACKS] for n in range(60)]
    measured: list[int] = []
    monkeypatch.setattr(compare_encoders, "MOST_MEASURED", 4)
    monkeypatch.setattr(
        compare_encoders,
        "reciprocal_ranks",
        lambda scorer, keys, playlists: measured.append(playlists.num_rows) or np.zeros(playlists.num_rows),
    )

    compare(corpus(*lists), (Given(label="one"),))

    assert measured == [4]


def test_the_encoder_with_the_higher_mrr_is_chosen() -> None:
    lists = [[(n % 2) + 2 * ((n + step) % 6) for step in (0, 1, 3)] for n in range(40)]
    far, near = Given(label="far", near=False), Given(label="near")

    figures = compare(corpus(*lists), (far, near))

    assert figures["near"].mrr > figures["far"].mrr
    assert best((far, near), figures) is near


def test_without_a_difference_or_without_figures_the_first_is_chosen() -> None:
    one, other = Given(label="one"), Given(label="other")

    assert (
        best((one, other), compare(corpus(*[[n % TRACKS, (n + 2) % TRACKS] for n in range(20)]), (one, other))) is one
    )
    assert compare(corpus([0, 1], [2, 3]), (one, other)) == {}
    assert best((one, other), {}) is one
