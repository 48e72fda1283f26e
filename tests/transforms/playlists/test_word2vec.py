import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.transforms.playlists import word2vec
from tracktokens.transforms.playlists.als import AlsConfig
from tracktokens.transforms.playlists.word2vec import (
    Sentences,
    Word2VecConfig,
    epochs_for,
    sample_for,
    train,
    training_pairs,
)

SMALL = Word2VecConfig(dim=16, window=5)


def key(track: str) -> bytes:
    return hashlib.blake2b(track.encode("utf-8"), digest_size=16).digest()


def corpus(playlists: list[list[str]]) -> pa.Table:
    rows = [
        {"position": place, "track_keys": [key(track) for track in tracks]} for place, tracks in enumerate(playlists)
    ]
    return pa.Table.from_pylist(rows, CORPUS)


def two_groups(playlists: int, length: int, tracks: int) -> pa.Table:
    """Playlists with the tracks g0-0, g0-1 ... or with the tracks g1-0, g1-1 ..., never with both."""
    rng = np.random.default_rng(5)
    lists = [[f"g{n % 2}-{track}" for track in rng.permutation(tracks)[:length]] for n in range(playlists)]
    return corpus(lists)


def cosines(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def sentences(lengths: list[int]) -> Sentences:
    codes = np.arange(sum(lengths), dtype=np.int32)
    words = np.array([str(code) for code in codes], np.object_)
    return Sentences(codes, np.cumsum([0, *lengths]), words)


def same_group(keys: pa.FixedSizeBinaryArray, tracks: int) -> npt.NDArray[np.bool_]:
    group = {key(f"g{number}-{track}"): number for number in (0, 1) for track in range(tracks)}
    groups = np.array([group[found] for found in keys.to_pylist()])
    return groups[:, None] == groups[None, :]


@pytest.mark.parametrize(("playlists", "length", "tracks"), [(40, 6, 10), (150, 15, 100)])
def test_tracks_that_share_playlists_end_near_and_others_far(playlists, length, tracks):
    keys, vectors = train(two_groups(playlists, length, tracks), Word2VecConfig())

    cosine, same = cosines(vectors), same_group(keys, tracks)
    assert cosine[same].min() > cosine[~same].max()
    assert cosine[same].mean() - cosine[~same].mean() > 0.5


def test_every_track_gets_one_finite_vector_that_fits_float16_and_keys_are_sorted():
    table = two_groups(30, 5, 8)

    keys, vectors = train(table, SMALL)

    tracks = {found for playlist in table["track_keys"].to_pylist() for found in playlist}
    assert keys.to_pylist() == sorted(tracks)
    assert (vectors.shape, vectors.dtype) == ((16, 16), np.float32)
    assert np.isfinite(vectors.astype(np.float16)).all()
    assert np.linalg.norm(vectors, axis=1).min() > 0


def test_one_playlist_of_two_tracks_is_enough():
    keys, vectors = train(corpus([["a", "b"]]), SMALL)

    assert keys.to_pylist() == sorted([key("a"), key("b")])
    assert np.isfinite(vectors).all()


def test_two_runs_in_differently_salted_processes_give_the_same_bytes():
    program = """if True:
        import hashlib
        import pyarrow as pa
        from tracktokens.schemas.tables.playlists import CORPUS
        from tracktokens.transforms.playlists.word2vec import Word2VecConfig, train
        keys = [hashlib.blake2b(bytes([n]), digest_size=16).digest() for n in range(60)]
        rows = [{"position": n, "track_keys": [keys[n * k % 60] for k in range(1, 9)]} for n in range(1, 60)]
        keys, vectors = train(pa.Table.from_pylist(rows, CORPUS), Word2VecConfig(dim=32, epochs=5))
        print(hashlib.sha256(b"".join(keys.to_pylist()) + vectors.tobytes()).hexdigest())
    """

    def run(salt: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        ).stdout

    first = run("1")
    assert len(first.strip()) == 64
    assert run("2") == first


def test_vectors_do_not_depend_on_how_the_corpus_is_cut_and_ordered():
    table = two_groups(20, 5, 8)
    shuffled = pa.concat_tables([table.slice(12), table.slice(5, 7), table.slice(0, 5)])

    keys, vectors = train(table, SMALL)
    keys_again, vectors_again = train(shuffled, SMALL)

    assert keys.equals(keys_again)
    np.testing.assert_array_equal(vectors, vectors_again)


def test_another_seed_gives_other_vectors():
    table = two_groups(10, 5, 8)

    assert not np.array_equal(train(table, SMALL)[1], train(table, replace(SMALL, seed=1))[1])


def test_a_rarer_track_than_min_count_gets_no_vector():
    table = corpus([["a", "b", "rare"], ["a", "b"], ["b", "a"]])

    keys, vectors = train(table, replace(SMALL, min_count=2))

    assert keys.to_pylist() == sorted([key("a"), key("b")])
    assert vectors.shape == (2, 16)


def test_a_min_count_that_no_track_reaches_is_refused():
    with pytest.raises(InvalidDataError, match=r"No track has 3 entries .* at most 2"):
        train(corpus([["a", "b"], ["a", "c"]]), replace(SMALL, min_count=3))


def test_tracks_of_small_isolated_lists_get_no_vector():
    table = two_groups(40, 6, 10)
    with_pair = pa.concat_tables([table, corpus([["x", "y"]])])

    keys, _ = train(with_pair, SMALL)

    assert keys.equals(train(table, SMALL)[0])
    assert SMALL.identity("aa", isolated=2) == {**SMALL.identity("aa"), "smallest_component": 30}


def test_an_empty_corpus_is_refused():
    with pytest.raises(InvalidDataError, match="cannot be trained"):
        train(CORPUS.empty_table(), SMALL)


def test_vectors_that_do_not_fit_float16_are_refused():
    for value in (np.nan, np.inf, 70_000.0):
        with pytest.raises(InvalidDataError, match="diverged"):
            word2vec._check_range(np.array([[0.0, value]], np.float32))


def test_a_playlist_longer_than_gensim_reads_is_cut_into_nearly_equal_pieces_and_loses_nothing():
    playlists = sentences([3, 10_000, 25_001])

    pieces = list(playlists)

    assert [len(piece) for piece in pieces] == [3, 10_000, 8_334, 8_334, 8_333]
    assert len(playlists) == 5
    assert [word for piece in pieces for word in piece] == [str(code) for code in range(35_004)]


def test_sentences_can_be_read_in_every_epoch():
    playlists = sentences([2, 3])

    assert list(playlists) == list(playlists) == [["0", "1"], ["2", "3", "4"]]


def test_the_end_of_a_playlist_longer_than_gensim_reads_is_learned_from():
    """Two tracks that are adjacent only after the 10,000th entry get similar vectors."""
    filler = [f"filler-{n % 50}" for n in range(10_000)]
    table = corpus([[*filler, *["x", "y"] * 200]])

    keys, vectors = train(table, Word2VecConfig(dim=16, window=3, epochs=20, sample=0))

    rows = keys.to_pylist()
    cosine = cosines(vectors)[rows.index(key("x"))]
    assert int(np.argsort(-cosine)[1]) == rows.index(key("y"))


def test_the_length_of_a_sentence_is_the_one_that_gensim_reads():
    from gensim.models.word2vec import MAX_WORDS_IN_BATCH

    assert word2vec.LONGEST_SENTENCE == MAX_WORDS_IN_BATCH


@pytest.mark.parametrize(("tracks", "expected"), [(2, 0.5), (200, 0.015), (30_000, 1e-4), (5_000_000, 1e-4)])
def test_a_track_counts_as_frequent_from_three_times_the_mean_share(tracks, expected):
    assert sample_for(tracks) == pytest.approx(expected)


def test_the_pairs_of_an_epoch_are_those_within_the_window():
    assert training_pairs(np.array([2, 3, 100]), window=10) == 2 * 1 + 3 * 2 + 100 * 10


@pytest.mark.parametrize(
    ("tracks", "pairs", "epochs"), [(100, 12_500, 10), (100, 12_499, 11), (2, 2, 100), (1_000, 10**9, 5)]
)
def test_a_corpus_is_read_until_the_mean_track_was_in_1250_pairs(tracks, pairs, epochs):
    assert epochs_for(tracks, pairs) == epochs


def test_the_identity_names_corpus_settings_and_version_and_nothing_else():
    from gensim import __version__

    identity = dict(Word2VecConfig(dim=32).identity("c0ffee"))

    assert identity.pop("gensim") == __version__
    assert identity.pop("rules") == word2vec.RULES
    assert identity == {
        "name": "word2vec",
        "corpus": "c0ffee",
        "dim": 32,
        "window": 50,
        "ns_exponent": -0.5,
        "sample": None,
        "negative": 5,
        "epochs": None,
        "min_count": 1,
        "sg": 1,
        "seed": 0,
    }


def test_another_setting_or_another_corpus_has_another_encoder_id():
    config = Word2VecConfig()
    others = [replace(config, seed=1), replace(config, dim=128), replace(config, epochs=7)]
    ids = [config.encoder_id("aa"), config.encoder_id("bb"), *(other.encoder_id("aa") for other in others)]

    assert config.encoder_id("aa") == Word2VecConfig().encoder_id("aa")
    assert len(set(ids)) == 5
    assert all(len(bytes.fromhex(name)) == 6 for name in ids)


def test_importing_the_module_does_not_import_gensim():
    program = "import sys, tracktokens.transforms.playlists.word2vec; sys.exit('gensim' in sys.modules)"

    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


@pytest.mark.parametrize("config", [replace(SMALL, epochs=7), AlsConfig(dim=8, iterations=7)])
def test_each_step_of_a_training_is_counted_and_changes_nothing(config: Word2VecConfig | AlsConfig) -> None:
    playlists = two_groups(playlists=20, length=5, tracks=8)
    counted: list[int] = []

    def steps(number: int) -> Callable[[], None]:
        counted.append(number)
        return lambda: counted.append(1)

    keys, vectors = config.train(playlists, None, steps)
    assert counted == [7] + [1] * 7
    again = config.train(playlists)
    assert keys.equals(again[0])
    np.testing.assert_array_equal(vectors, again[1])
