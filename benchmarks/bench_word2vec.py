"""Compare the training of playlist vectors with a plain call of gensim with the same settings, in one thread.

    python benchmarks/bench_word2vec.py [--playlists 1000] [--entries 30] [--rounds 3]

Made playlists of 300 kinds whose tracks follow Zipf's law. Both sides take turns. The plain call gets lists of strings;
ours reads the corpus table, numbers its tracks, leaves out isolated ones, trains, and checks the vectors. A line shows
what gensim does with two threads: their updates meet in an order that no seed fixes, so that two runs differ.
"""

import argparse
import statistics
import time

import numpy as np
import pyarrow as pa
from gensim.models import Word2Vec
from result_table import Result, record

from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.transforms.playlists.word2vec import Word2VecConfig, epochs_for, sample_for, train, training_pairs

KINDS, TRACKS_PER_KIND = 300, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--playlists", type=int, default=1_000)
    parser.add_argument("--entries", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    playlists = make_playlists(arguments.playlists, arguments.entries)
    corpus = as_corpus(playlists)
    sentences = [[str(track) for track in playlist] for playlist in playlists.tolist()]
    config = Word2VecConfig()
    tracks = len(np.unique(playlists))
    epochs = epochs_for(tracks, training_pairs(np.full(len(playlists), arguments.entries), config.window))
    print(f"{playlists.size:,} entries, {tracks:,} tracks, {epochs} epochs")
    ours, plain = [], []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        train(corpus, config)
        middle = time.perf_counter()
        train_plain(sentences, config, epochs, sample_for(tracks), threads=1)
        ours.append(middle - start)
        plain.append(time.perf_counter() - middle)
    record(Result("playlists", f"word2vec, {playlists.size:,} entries", statistics.median(ours),
                  statistics.median(plain), "s", "gensim alone, one thread"))  # fmt: skip
    start = time.perf_counter()
    two = [train_plain(sentences, config, epochs, sample_for(tracks), threads=2) for _ in range(2)]
    seconds = (time.perf_counter() - start) / 2
    cosines = (two[0] * two[1]).sum(axis=1) / np.linalg.norm(two[0], axis=1) / np.linalg.norm(two[1], axis=1)
    print(f"gensim with two threads: {seconds:.2f} s; two such runs differ, mean cosine {cosines.mean():.4f}")


def make_playlists(count: int, entries: int, seed: int = 0) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    """Draw playlists of one kind each: numbers of tracks, of shape (count, entries)."""
    draw = np.random.default_rng(seed)
    kinds = draw.integers(0, KINDS, count)
    return kinds[:, np.newaxis] * TRACKS_PER_KIND + draw.zipf(1.3, (count, entries)) % TRACKS_PER_KIND


def as_corpus(playlists: "np.ndarray[tuple[int, int], np.dtype[np.int64]]") -> pa.Table:
    """Write playlists as the corpus table that the training reads."""
    keys = pa.array(
        [int(track).to_bytes(16, "big") for track in playlists.reshape(-1)], CORPUS.field(1).type.value_type
    )
    lists = pa.ListArray.from_arrays(np.arange(0, playlists.size + 1, playlists.shape[1], dtype=np.int32), keys)
    return pa.table([np.arange(len(playlists)), lists.cast(CORPUS.field(1).type)], schema=CORPUS)


def train_plain(
    sentences: list[list[str]], config: Word2VecConfig, epochs: int, sample: float, threads: int
) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """Train by one call of gensim; return the vectors in the order of the words."""
    model = Word2Vec(
        sentences, vector_size=config.dim, window=config.window, ns_exponent=config.ns_exponent, sample=sample,
        negative=config.negative, min_count=config.min_count, sg=config.sg, seed=config.seed, workers=threads,
        epochs=epochs, batch_words=10_000,
    )  # fmt: skip
    return np.asarray(model.wv.vectors[[model.wv.key_to_index[word] for word in sorted(model.wv.key_to_index)]])


if __name__ == "__main__":
    main()
