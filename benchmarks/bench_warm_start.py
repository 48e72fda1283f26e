"""Compare playlist vectors that start from older ones with vectors trained from scratch, on real playlists.

    python benchmarks/bench_warm_start.py PLAYLISTS.parquet [--encoder als] [--times 3]

A fifth of the playlists is held out. Of the rest, 95 % of the playlists with 95 % of the tracks give the old vectors
and a codebook of 1,024 codes. Then vectors of all the rest are trained: from scratch, and several times from the
previous vectors.

``recoded`` is the share of common tracks whose code differs, after k-means from the old centroids and alignment with
the old codes; vectors trained from scratch are rotated onto the old ones first. ``explained`` is the codebook's
explained variance. ``hit`` and ``next`` are those of ``bench_playlists``, among tracks that have old vectors.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from bench_fold_in import without
from bench_playlists import coded, continuation, read_corpus

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.continuity.alignment import align, count_pairs
from tracktokens.codebooks.continuity.procrustes import rotation
from tracktokens.codebooks.training.fit import fit_codebook
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.transforms.playlists.als import AlsConfig
from tracktokens.transforms.playlists.playlist_encoder import KINDS
from tracktokens.transforms.playlists.warm_start import PreviousVectors
from tracktokens.transforms.playlists.word2vec import Word2VecConfig

Floats = npt.NDArray[np.float32]
Vectors = tuple[pa.Array, npt.NDArray[np.float16]]
"""Sorted keys, and a vector for each."""
Encoder = Word2VecConfig | AlsConfig


def learn(corpus: pa.Table, encoder: Encoder, old: Vectors | None = None) -> Vectors:
    """Train vectors and round them as the store does."""
    keys, vectors = encoder.train(corpus, None if old is None else PreviousVectors("old", *old))
    return keys, vectors.astype(np.float16)


def of(keys: pa.Array, vectors: Vectors) -> npt.NDArray[np.float16]:
    """Look up the vectors of keys, all of which have one."""
    return vectors[1][pc.index_in(keys, value_set=vectors[0]).to_numpy()]


def retrained(book: Codebook, old: Vectors, new: Vectors) -> tuple[Codebook, dict[str, float]]:
    """Retrain a codebook of the old vectors on the new ones, which are in the same space."""
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
    alignment = align(book, fit.codebook, count_pairs(*codes))
    return fit.codebook, {
        "recoded": round(1 - alignment.kept / alignment.weight, 3),
        "explained": round(fit.metrics.explained_variance, 3),
    }


def rotated(new: Vectors, old: Vectors) -> Vectors:
    """Rotate new vectors onto the old ones."""
    common = old[0].filter(pc.is_in(old[0], value_set=new[0]))
    return new[0], rotation(of(common, new), of(common, old)).apply(new[1]).astype(np.float16)


def quality(vectors: Vectors, known: pa.Array, corpus: pa.Table, held_out: pa.Table) -> dict[str, float]:
    """Measure continuation of held-out playlists among the known tracks."""
    rows_of_known = of(known, vectors).astype(np.float32)
    unit = rows_of_known / np.linalg.norm(rows_of_known, axis=1, keepdims=True)
    rows = np.concatenate(coded(corpus, known))
    measured = continuation(unit, np.bincount(rows[rows >= 0], minlength=len(known)), coded(held_out, known))
    return {"hit": measured["hit"], "next": measured["next"]}


def measure(corpus: pa.Table, encoder: Encoder, times: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the name and figures of each training."""
    generator = np.random.default_rng(0)
    aside = generator.random(corpus.num_rows) < 0.2
    full, held_out = corpus.filter(pa.array(~aside)), corpus.filter(pa.array(aside))
    tracks = full["track_keys"].combine_chunks().flatten().unique()
    hidden = tracks.filter(pa.array(generator.random(len(tracks)) < 0.05))
    part = full.filter(pa.array(generator.random(full.num_rows) < 0.95))
    old = learn(without(part, frozenset(hidden.to_pylist())), encoder)
    fit = fit_codebook(old[1], modality=PLAYLIST, encoder_id="old", codebook_size=1024)
    explained = {"explained": round(fit.metrics.explained_variance, 3)}
    yield "old", {**explained, **quality(old, old[0], full, held_out)}
    for seed in (0, 1):
        scratch = rotated(learn(full, replace(encoder, seed=seed)), old)
        yield (
            f"scratch, seed {seed}",
            {**retrained(fit.codebook, old, scratch)[1], **quality(scratch, old[0], full, held_out)},
        )
    previous, book = old, fit.codebook
    for time in range(times):
        current = learn(full, encoder, previous)
        book, figures = retrained(book, previous, current)
        yield f"warm, {time + 1}", {**figures, **quality(current, old[0], full, held_out)}
        previous = current


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("playlists")
    parser.add_argument("--encoder", choices=KINDS, default="word2vec")
    parser.add_argument("--times", type=int, default=3, help="number of warm starts in a row")
    args = parser.parse_args()
    for name, figures in measure(read_corpus(args.playlists), KINDS[args.encoder](), args.times):
        print(f"{name:16}", figures, flush=True)


if __name__ == "__main__":
    main()
