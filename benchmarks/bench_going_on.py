"""Compare playlist vectors that go on from older ones with those of a new training, on real playlists.

    python benchmarks/bench_going_on.py PLAYLISTS.parquet [--times 3]

A fifth of the playlists is held out. Of the rest, 95 % of the playlists with 95 % of the tracks make the old vectors,
and a codebook of 1,024 codes. Then all of the rest is learned: from nothing, from the old vectors, and on and on.

``recoded`` is the share of tracks of both whose code is another, after k-means from the old centroids and numbering
after the old codes; vectors learned from nothing are turned onto the old ones first. ``explained`` is the codebook's
explained variance. ``hit`` and ``next`` are those of ``bench_playlists``, among the tracks that the old vectors know.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from bench_folding import without
from bench_playlists import coded, continuation, read_corpus

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.continuity.alignment import align, count_pairs
from tracktokens.codebooks.continuity.procrustes import rotation
from tracktokens.codebooks.training.fit import fit_codebook
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.transforms.playlists.warm_start import OldVectors
from tracktokens.transforms.playlists.word2vec import Word2VecConfig, train

Floats = npt.NDArray[np.float32]
Vectors = tuple[pa.Array, npt.NDArray[np.float16]]
"""Sorted keys, and a vector for each."""


def learn(corpus: pa.Table, seed: int = 0, old: Vectors | None = None) -> Vectors:
    """Learn vectors, as the store would keep them."""
    keys, vectors = train(corpus, Word2VecConfig(seed=seed), None if old is None else OldVectors("old", *old))
    return keys, vectors.astype(np.float16)


def of(keys: pa.Array, found: Vectors) -> npt.NDArray[np.float16]:
    """The vectors of some keys, which all have one."""
    return found[1][pc.index_in(keys, value_set=found[0]).to_numpy()]


def retrained(book: Codebook, old: Vectors, new: Vectors) -> tuple[Codebook, dict[str, float]]:
    """Go on from a codebook of the old vectors with the new ones, which lie in their space."""
    fit = fit_codebook(
        new[1],
        modality=PLAYLIST,
        encoder_id="new",
        codebook_size=book.codebook_size,
        preprocessing=book.preprocessing,
        start=book.centroids,
    )
    common = old[0].filter(pc.is_in(old[0], value_set=new[0]))
    codes = assign(book, of(common, old)).codes, assign(fit.codebook, of(common, new)).codes
    found = align(book, fit.codebook, count_pairs(*codes))
    return fit.codebook, {
        "recoded": round(1 - found.kept / found.weight, 3),
        "explained": round(fit.metrics.explained_variance, 3),
    }


def turned(new: Vectors, old: Vectors) -> Vectors:
    """Turn new vectors onto the old ones."""
    common = old[0].filter(pc.is_in(old[0], value_set=new[0]))
    return new[0], rotation(of(common, new), of(common, old)).apply(new[1]).astype(np.float16)


def quality(found: Vectors, known: pa.Array, corpus: pa.Table, held_out: pa.Table) -> dict[str, float]:
    """Continuation of held-out playlists, as if there were only the known tracks."""
    vectors = of(known, found).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.concatenate(coded(corpus, known))
    measured = continuation(unit, np.bincount(rows[rows >= 0], minlength=len(known)), coded(held_out, known))
    return {"hit": measured["hit"], "next": measured["next"]}


def measure(corpus: pa.Table, times: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the name of each training, and its figures."""
    generator = np.random.default_rng(0)
    aside = generator.random(corpus.num_rows) < 0.2
    full, held_out = corpus.filter(pa.array(~aside)), corpus.filter(pa.array(aside))
    tracks = full["track_keys"].combine_chunks().flatten().unique()
    hidden = tracks.filter(pa.array(generator.random(len(tracks)) < 0.05))
    part = full.filter(pa.array(generator.random(full.num_rows) < 0.95))
    old = learn(without(part, frozenset(hidden.to_pylist())))
    fit = fit_codebook(old[1], modality=PLAYLIST, encoder_id="old", codebook_size=1024)
    explained = {"explained": round(fit.metrics.explained_variance, 3)}
    yield "old", {**explained, **quality(old, old[0], full, held_out)}
    for seed in (0, 1):
        anew = turned(learn(full, seed), old)
        yield f"anew, seed {seed}", {**retrained(fit.codebook, old, anew)[1], **quality(anew, old[0], full, held_out)}
    before, book = old, fit.codebook
    for time in range(times):
        after = learn(full, old=before)
        book, figures = retrained(book, before, after)
        yield f"went on, {time + 1}", {**figures, **quality(after, old[0], full, held_out)}
        before = after


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("playlists")
    parser.add_argument("--times", type=int, default=3, help="how often vectors go on from those before")
    args = parser.parse_args()
    for name, found in measure(read_corpus(args.playlists), args.times):
        print(f"{name:16}", found, flush=True)


if __name__ == "__main__":
    main()
