"""Compare folded-in playlist vectors with trained ones, on real playlists with some tracks hidden from training.

    python benchmarks/bench_fold_in.py PLAYLISTS.parquet [--hidden 0.05]

A fifth of the playlists is held out. Of the rest, word2vec trains twice with all tracks, and once without the hidden
ones, which are then folded in. For each kind of vector of the hidden tracks:

``same code``: share with the code of the first full training, rotated onto the frozen space, under the frozen codebook
of 1,024 codes. The second full training shows how often two trainings agree.

``first 10``, ``first 100``, ``mrr``: the other tracks of the first half of a held-out playlist rank only the hidden
tracks by cosine; the figures are ranks of those in the second half. Among all tracks, folded-in ones would have an
advantage: they are means, as the query is.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from bench_playlists import Playlists, coded, read_corpus

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.continuity.fold_in import neighbour_sums
from tracktokens.codebooks.continuity.procrustes import rotation
from tracktokens.codebooks.training.fit import fit_codebook
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.transforms.playlists.word2vec import Word2VecConfig, train

Floats = npt.NDArray[np.float32]

WHOLE = 1_000_000
"""A window longer than any playlist."""


def without(corpus: pa.Table, hidden: pa.Array) -> pa.Table:
    """Remove tracks from playlists, and playlists with fewer than two tracks from the corpus."""
    kept = [[key for key in keys if key not in hidden] for keys in corpus["track_keys"].to_pylist()]
    rows = [{"position": place, "track_keys": keys} for place, keys in enumerate(kept) if len(set(keys)) > 1]
    return pa.Table.from_pylist(rows, CORPUS)


def folded(playlists: Playlists, rows: npt.NDArray[np.int64], vectors: Floats, window: int) -> Floats:
    """Fold in; a track without known neighbours gets a zero vector."""
    offsets = np.cumsum([0, *map(len, playlists)])
    sums = neighbour_sums(offsets, np.concatenate(playlists), rows, vectors, window)
    result = np.zeros((len(rows), vectors.shape[1]), np.float32)
    result[sums.tracks] = sums.folded()
    return result


def ranks(unit: Floats, hidden: npt.NDArray[np.bool_], held_out: Playlists) -> Iterator[npt.NDArray[np.int64]]:
    """Rank, per held-out playlist, the hidden tracks of its second half among all hidden tracks, from 1."""
    for playlist in held_out:
        first, second = (half[half >= 0] for half in np.split(playlist, [len(playlist) // 2]))
        known, wanted = np.unique(first[~hidden[first]]), np.setdiff1d(second[hidden[second]], first)
        if len(known) and len(wanted):
            score = unit @ unit[known].mean(axis=0)
            others = np.sort(-score[np.setdiff1d(np.flatnonzero(hidden), first)])
            yield np.searchsorted(others, -score[wanted]) + 1


def measure(corpus: pa.Table, share: float) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the name and figures of each kind of vector."""
    generator = np.random.default_rng(0)
    held_out = generator.random(corpus.num_rows) < 0.2
    training, config = corpus.filter(pa.array(~held_out)), Word2VecConfig()
    keys, full = train(training, config)
    hidden = generator.random(len(keys)) < share
    found, frozen = train(without(training, frozenset(keys.filter(pa.array(hidden)).to_pylist())), config)
    rows = pc.fill_null(pc.index_in(keys, value_set=found), -1).to_numpy().astype(np.int64)
    hidden = rows < 0
    book = fit_codebook(frozen, modality=PLAYLIST, encoder_id="frozen", codebook_size=1024).codebook
    playlists, tests = coded(training, keys), coded(corpus.filter(pa.array(held_out)), keys)
    second = train(training, replace(config, seed=1))[1]
    kinds = {
        "trained": turned(full, frozen, rows),
        "trained again": turned(second, frozen, rows),
        "folded": folded(playlists, rows, frozen, config.window),
        "folded, window 10": folded(playlists, rows, frozen, 10),
        "folded, whole playlists": folded(playlists, rows, frozen, WHOLE),
        "random": generator.standard_normal(full.shape).astype(np.float32),
    }
    for name, vectors in kinds.items():
        yield name, figures(vectors, kinds["trained"], frozen, rows, book, [*ranks_of(vectors, frozen, rows, tests)])


def turned(vectors: Floats, frozen: Floats, rows: npt.NDArray[np.int64]) -> Floats:
    """Rotate a full training onto the frozen one."""
    return rotation(vectors[rows >= 0], frozen[rows[rows >= 0]]).apply(vectors)


def ranks_of(
    vectors: Floats, frozen: Floats, rows: npt.NDArray[np.int64], tests: Playlists
) -> Iterator[npt.NDArray[np.int64]]:
    """Return ranks where all tracks except the hidden ones have their frozen vectors."""
    mixed = np.where((rows >= 0)[:, np.newaxis], frozen[rows], vectors)
    unit = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return ranks(unit, rows < 0, tests)


def figures(
    vectors: Floats,
    trained: Floats,
    frozen: Floats,
    rows: npt.NDArray[np.int64],
    book: Codebook,
    found: list[npt.NDArray[np.int64]],
) -> dict[str, float]:
    """Return the figures of one kind of vector of the hidden tracks."""
    hidden = rows < 0
    some = hidden & vectors.any(axis=1)
    same = assign(book, vectors[some]).codes == assign(book, trained[some]).codes
    return {
        "have a vector": round(float(some.sum() / hidden.sum()), 3),
        "same code": round(float(same.mean()), 3),
        "first 10": round(float(np.mean([(rank <= 10).mean() for rank in found])), 3),
        "first 100": round(float(np.mean([(rank <= 100).mean() for rank in found])), 3),
        "mrr": round(float(np.mean([(1 / rank).mean() for rank in found])), 3),
        "playlists": len(found),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("playlists")
    parser.add_argument("--hidden", type=float, default=0.05, help="share of the tracks that training does not see")
    args = parser.parse_args()
    for name, found in measure(read_corpus(args.playlists), args.hidden):
        print(f"{name:24}", found)


if __name__ == "__main__":
    main()
