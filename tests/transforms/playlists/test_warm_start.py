"""Playlist vectors that start from older ones."""

import hashlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.schemas.tables.records import KEY
from tracktokens.transforms.playlists.warm_start import (
    PreviousVectors,
    fold_in_new_tracks,
    parent_encoder,
    warm_start_epochs,
)
from tracktokens.transforms.playlists.word2vec import Word2VecConfig, train

CONFIG = Word2VecConfig(dim=16, window=5)
GROUP = 30


def key(track: str) -> bytes:
    return hashlib.blake2b(track.encode("utf-8"), digest_size=16).digest()


def corpus(playlists: list[list[str]]) -> pa.Table:
    rows = [{"position": place, "track_keys": [key(name) for name in names]} for place, names in enumerate(playlists)]
    return pa.Table.from_pylist(rows, CORPUS)


def groups(playlists: int, seed: int = 5) -> list[list[str]]:
    """Playlists of ten tracks, each from one of two groups of tracks."""
    rng = np.random.default_rng(seed)
    return [[f"g{n % 2}-{track}" for track in rng.permutation(GROUP)[:10]] for n in range(playlists)]


def old_vectors(playlists: list[list[str]], encoder_id: str = "old") -> PreviousVectors:
    keys, vectors = train(corpus(playlists), CONFIG)
    return PreviousVectors(encoder_id, keys, vectors.astype(np.float16))


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths: npt.NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def test_known_tracks_stay_where_they_were_though_playlists_change() -> None:
    old = old_vectors(groups(60))
    changed = corpus([*groups(60)[:-6], *groups(6, seed=8)])

    keys, vectors = train(changed, CONFIG, old)
    _, anew = train(changed, replace(CONFIG, seed=1))

    before = unit(old.vectors.astype(np.float32))
    assert keys.equals(old.keys)
    assert (unit(vectors) * before).sum(axis=1).min() > 0.95
    assert (unit(anew) * before).sum(axis=1).mean() < 0.5


def test_known_tracks_are_trained_on_and_do_not_only_stay() -> None:
    old = old_vectors(groups(60))
    moved = [["g0-0", *names[1:]] if names[0].startswith("g1") else names[1:] for names in groups(60)]

    keys, vectors = train(corpus(moved), CONFIG, old)

    def nearness(to: npt.NDArray[np.float32]) -> float:
        """Cosine of a track that changed groups with the mean of its new group."""
        other = [row for row, found in enumerate(keys.to_pylist()) if found in {key(f"g1-{n}") for n in range(GROUP)}]
        return float(unit(to)[keys.to_pylist().index(key("g0-0"))] @ unit(to)[other].mean(axis=0))

    assert nearness(vectors) > nearness(old.vectors.astype(np.float32)) + 0.1


def test_a_new_track_has_the_direction_of_its_neighbours_and_the_median_length() -> None:
    old = old_vectors(groups(60))
    playlists = groups(60)
    playlists[0] = [*playlists[0][:5], "new", *playlists[0][5:]]

    keys, vectors = train(corpus(playlists), CONFIG, old)

    at = {found: row for row, found in enumerate(keys.to_pylist())}
    neighbours = unit(vectors)[[at[key(name)] for name in playlists[0] if name != "new"]].mean(axis=0, keepdims=True)
    np.testing.assert_allclose(unit(vectors)[at[key("new")]], unit(neighbours)[0], atol=1e-4)
    lengths = np.linalg.norm(vectors, axis=1)
    known = [row for found, row in at.items() if found != key("new")]
    assert lengths[at[key("new")]] == pytest.approx(np.median(lengths[known]), rel=1e-5)


def test_a_new_track_that_is_near_no_old_one_has_the_vector_that_training_gave_it() -> None:
    old = old_vectors(groups(60))

    names = [f"x{n}" for n in range(CONFIG.smallest_component)]

    keys, vectors = train(corpus([*groups(60), names]), CONFIG, old)

    rows = [keys.to_pylist().index(key(name)) for name in names]
    assert np.isfinite(vectors[rows]).all()
    assert vectors[rows].any(axis=1).all()


def test_isolated_tracks_get_a_vector_only_if_they_had_one() -> None:
    old = old_vectors(groups(60))
    pair = PreviousVectors(
        "old",
        pa.array(sorted([*old.keys.to_pylist(), key("x"), key("y")]), KEY.type),
        np.ones((2 * GROUP + 2, 16), np.float16),
    )

    new, _ = train(corpus([*groups(60), ["x", "y"]]), CONFIG, old)
    kept, _ = train(corpus([*groups(60), ["x", "y"]]), CONFIG, pair)

    assert new.equals(old.keys)
    assert {key("x"), key("y")} < set(kept.to_pylist())


def test_the_same_start_gives_the_same_bytes_in_whatever_order_playlists_are_cut() -> None:
    old = old_vectors(groups(60))
    table = corpus([*groups(60), ["new", "g0-1"]])
    cut = pa.concat_tables([table.slice(40), table.slice(0, 40)])

    assert np.array_equal(train(table, CONFIG, old)[1], train(cut, CONFIG, old)[1])


def test_playlists_without_a_known_track_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="No track in the playlists has a vector of encoder old"):
        train(corpus([["x", "y"]]), CONFIG, old_vectors(groups(60)))


def test_a_track_below_min_count_is_neither_folded_nor_a_neighbour() -> None:
    old = old_vectors([*groups(60), ["known but rare", "g0-1"]])
    playlists = [*groups(60), ["new", "known but rare"], ["new", "g0-1"], ["rare", "g0-1"]]

    keys, vectors = train(corpus(playlists), replace(CONFIG, min_count=2), old)

    assert not {key("rare"), key("known but rare")} & set(keys.to_pylist())
    at = {found: row for row, found in enumerate(keys.to_pylist())}
    np.testing.assert_allclose(unit(vectors)[at[key("new")]], unit(vectors)[at[key("g0-1")]], atol=1e-4)


def test_new_tracks_whose_neighbours_cancel_out_keep_their_vectors() -> None:
    vectors = np.array([[2, 0], [-2, 0], [0, 7]], np.float32)

    folded = fold_in_new_tracks(np.array([0, 3]), np.array([0, 2, 1], np.int32), vectors, np.array([2]), 5)

    assert folded.tolist() == vectors.tolist()


def test_the_identity_changes_with_the_parent_and_with_its_vectors_and_without_a_start_stays() -> None:
    keys = pa.array([key("a"), key("b")], KEY.type)
    vectors = np.ones((2, 4), np.float16)
    starts = [
        None,
        PreviousVectors("one", keys, vectors),
        PreviousVectors("two", keys, vectors),
        PreviousVectors("one", keys, vectors * 2),
        PreviousVectors("one", keys.slice(1), vectors[1:]),
    ]

    assert len({CONFIG.encoder_id("c0ffee", start) for start in starts}) == 5
    assert CONFIG.encoder_id("c0ffee", PreviousVectors("one", keys, vectors.copy())) == CONFIG.encoder_id(
        "c0ffee", starts[1]
    )
    assert "start" not in CONFIG.identity("c0ffee")


def test_an_identity_names_the_space_of_its_vectors() -> None:
    start = PreviousVectors("parent", pa.array([key("a")], KEY.type), np.ones((1, 4), np.float16))

    assert parent_encoder(CONFIG.identity("c0ffee", start)) == "parent"
    assert parent_encoder(CONFIG.identity("c0ffee")) is None


@pytest.mark.parametrize(("anew", "on"), [(1, 1), (5, 1), (11, 3), (100, 25)])
def test_going_on_takes_a_quarter_of_the_epochs_but_at_least_one(anew: int, on: int) -> None:
    assert warm_start_epochs(anew) == on
