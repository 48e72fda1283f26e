"""Playlist vectors by matrix factorization."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.playlist_encoders import ALS
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.transforms.playlists import als
from tracktokens.transforms.playlists.als import AlsConfig, confidences, fold_in, membership, train
from tracktokens.transforms.playlists.numbered_corpus import NumberedCorpus
from tracktokens.transforms.playlists.playlist_encoder import encoders_of, read_settings
from tracktokens.transforms.playlists.warm_start import PreviousVectors

CONFIG = AlsConfig(dim=8, regularization=10, confidence=10)
GROUP = 20


def key(track: int) -> bytes:
    return track.to_bytes(16, "big")


def corpus(playlists: list[list[int]]) -> pa.Table:
    rows = [{"position": place, "track_keys": [*map(key, tracks)]} for place, tracks in enumerate(playlists)]
    return pa.Table.from_pylist(rows, CORPUS)


def groups(playlists: int, seed: int = 5) -> list[list[int]]:
    """Playlists of eight tracks, each from one of two groups of tracks, which one list connects."""
    rng = np.random.default_rng(seed)
    lists = [(rng.permutation(GROUP)[:8] + GROUP * (n % 2)).tolist() for n in range(playlists)]
    return [*lists, [0, GROUP]]


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths: npt.NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def old_vectors(playlists: list[list[int]]) -> PreviousVectors:
    keys, vectors = train(corpus(playlists), CONFIG)
    return PreviousVectors("old", keys, vectors.astype(np.float16))


def test_tracks_that_share_playlists_are_near_and_others_far() -> None:
    keys, vectors = train(corpus(groups(60)), CONFIG)

    assert keys.to_pylist() == [key(track) for track in range(2 * GROUP)]
    cosine = unit(vectors) @ unit(vectors).T
    same = np.equal.outer(np.arange(2 * GROUP) // GROUP, np.arange(2 * GROUP) // GROUP)
    assert cosine[same].mean() > 0.5
    assert cosine[~same].mean() < 0.2


def test_the_loss_is_at_a_minimum_after_enough_iterations() -> None:
    """Each track's vector is the least-squares solution for the playlists, solved here with numpy."""
    config = replace(CONFIG, dim=4, iterations=400, regularization=0.5)
    numbered = NumberedCorpus.of(corpus(groups(12)))
    entries = confidences(membership(numbered), config).toarray().astype(np.float64)

    vectors = train(corpus(groups(12)), config)[1].astype(np.float64)

    def solve(others: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Minimize the sum of c (1 - x.y)^2 where c > 0, and of (x.y)^2 elsewhere, with the regularization."""
        listed = weights > 0
        confidence = np.where(listed, weights, 1.0)
        normal = (others * confidence[:, None]).T @ others + config.regularization * np.eye(others.shape[1])
        return np.linalg.solve(normal, others[listed].T @ weights[listed])

    playlists = np.array([solve(vectors, row) for row in entries])
    expected = np.array([solve(playlists, column) for column in entries.T])
    np.testing.assert_allclose(vectors, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same_bytes(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table, old = corpus(groups(60)), old_vectors(groups(50))
    expected = train(table, CONFIG)[1].tobytes(), train(table, CONFIG, old)[1].tobytes()
    monkeypatch.setattr(als, "thread_share", lambda workers: threads)

    assert (train(table, CONFIG)[1].tobytes(), train(table, CONFIG, old)[1].tobytes()) == expected


def test_two_processes_with_different_blas_threads_give_the_same_bytes() -> None:
    program = """if True:
        import hashlib
        import pyarrow as pa
        from tracktokens.schemas.tables.playlists import CORPUS
        from tracktokens.transforms.playlists.als import AlsConfig, train
        keys = [hashlib.blake2b(bytes([n]), digest_size=16).digest() for n in range(60)]
        rows = [{"position": n, "track_keys": [keys[n * k % 60] for k in range(1, 9)]} for n in range(1, 60)]
        keys, vectors = train(pa.Table.from_pylist(rows, CORPUS), AlsConfig(dim=32))
        print(hashlib.sha256(b"".join(keys.to_pylist()) + vectors.tobytes()).hexdigest())
    """

    def run(threads: str) -> str:
        paths = os.pathsep.join(sys.path)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads, "PYTHONPATH": paths}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        ).stdout

    first = run("1")
    assert len(first.strip()) == 64
    assert run("2") == first


def test_order_and_chunks_of_the_corpus_do_not_change_the_vectors_and_the_seed_does() -> None:
    table = corpus(groups(30))
    cut = pa.concat_tables([table.slice(20), table.slice(0, 20)])

    expected = train(table, CONFIG)[1]

    np.testing.assert_array_equal(train(cut, CONFIG)[1], expected)
    assert not np.array_equal(train(table, replace(CONFIG, seed=1))[1], expected)


def test_a_track_counts_once_per_playlist() -> None:
    numbered = NumberedCorpus.of(corpus([[0, 1, 0, 1, 2]]))

    assert membership(numbered).toarray().tolist() == [[1, 1, 1]]


def test_the_entries_of_each_track_together_have_the_same_confidence() -> None:
    entries = confidences(membership(NumberedCorpus.of(corpus([[0, 1], [1, 2], [1, 2]]))), AlsConfig(confidence=4))

    np.testing.assert_allclose(np.asarray(entries.sum(axis=0))[0], 8, rtol=1e-6)
    assert entries.data.mean() == pytest.approx(4)


def test_a_folded_track_is_near_the_tracks_of_its_playlists_and_a_track_without_known_ones_is_zero() -> None:
    playlists = [*groups(60), [100, 3, 5, 8], [100, 9, 2], [101, 102]]
    matrix = confidences(membership(NumberedCorpus.of(corpus(playlists))), CONFIG)
    vectors = train(corpus(groups(60)), CONFIG)[1]

    folded = fold_in(matrix[:, : 2 * GROUP], vectors, matrix[:, 2 * GROUP :], CONFIG)

    nearness = unit(vectors) @ unit(folded[:1])[0]
    assert nearness[:GROUP].min() > nearness[GROUP:].max()
    assert nearness[:GROUP].mean() > 0.5
    assert not folded[1:].any()


def test_known_tracks_stay_near_their_vectors_when_playlists_are_added_and_new_ones_are_near_theirs() -> None:
    old = old_vectors(groups(60))
    changed = corpus([*groups(60)[6:], *groups(6, seed=8), [100, 3, 5, 8], [100, 9, 2]])

    keys, vectors = train(changed, CONFIG, old)
    _, scratch = train(changed, replace(CONFIG, seed=1))

    before = unit(old.vectors.astype(np.float32))
    known = len(before)
    assert keys.to_pylist() == [*old.keys.to_pylist(), key(100)]
    assert (unit(vectors[:known]) * before).sum(axis=1).min() > 0.9
    assert (unit(scratch[:known]) * before).sum(axis=1).mean() < 0.7
    nearness = unit(vectors[:known]) @ unit(vectors[known:])[0]
    assert nearness[:GROUP].mean() > nearness[GROUP:].mean() + 0.2


def test_a_warm_start_leaves_no_track_without_direction() -> None:
    new = list(range(200, 212))

    keys, vectors = train(corpus([*groups(60), new, new[:6]]), CONFIG, old_vectors(groups(60)))

    assert key(200) in keys.to_pylist()
    assert np.abs(vectors.astype(np.float16)).max(axis=1).min() > 0


def test_playlists_without_a_known_track_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="No track in the playlists has a vector of encoder old"):
        train(corpus([[500, 501]]), CONFIG, old_vectors(groups(60)))


def test_tracks_of_small_isolated_lists_get_no_vector() -> None:
    keys, _ = train(corpus([*groups(60), [300, 301]]), CONFIG)

    assert keys.equals(train(corpus(groups(60)), CONFIG)[0])


def test_the_identity_names_corpus_settings_versions_and_the_start() -> None:
    identity = dict(CONFIG.identity("c0ffee"))

    assert read_settings(identity) == CONFIG
    assert (identity["name"], identity["corpus"], identity["implicit"]) == ("als", "c0ffee", version("implicit"))
    start = old_vectors(groups(20))
    others = [replace(CONFIG, seed=1), replace(CONFIG, regularization=2.0)]
    ids = [CONFIG.encoder_id("aa"), CONFIG.encoder_id("bb"), CONFIG.encoder_id("aa", start)]
    assert len({*ids, *(other.encoder_id("aa") for other in others)}) == 5


def test_a_missing_package_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als, "is_installed", lambda: False)

    with pytest.raises(UsageError, match=r"needs implicit, which is not installed: pip install '\.\[als\]'"):
        encoders_of(ALS)
