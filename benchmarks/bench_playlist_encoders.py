"""Compare playlist encoders: continuation of held-out playlists by vectors alone, on three sets of real playlists.

    python benchmarks/bench_playlist_encoders.py ../shared/data OUT [--set both] [--folds 0,1] [--only als]

Each playlist is continued from its first five tracks, by cosine (``transforms.playlists.compare_encoders``).
``fold-in`` ranks by the product with a factor of the playlist itself, computed from its seeds: what ALS reaches without
vectors of unit length and codes. Folds are those of ``playlist_splits.py``. Standard errors are over playlists.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_playlists import read_corpus
from playlist_splits import SETS, make_catalog, of_set, split

from tracktokens.codebooks.numerics.arrays import Floats, Integers
from tracktokens.transforms.playlists.als import AlsConfig, confidences, membership
from tracktokens.transforms.playlists.compare_encoders import (
    ContinuationFigures,
    Scorer,
    by_cosine,
    reciprocal_ranks,
)
from tracktokens.transforms.playlists.numbered_corpus import NumberedCorpus
from tracktokens.transforms.playlists.word2vec import Word2VecConfig

WORD2VEC, ALS = Word2VecConfig(), AlsConfig()
ENCODERS: dict[str, Word2VecConfig | AlsConfig] = {
    "word2vec": WORD2VEC,
    "word2vec window=10": replace(WORD2VEC, window=10),
    "word2vec window=5": replace(WORD2VEC, window=5),
    "word2vec exponent=0.75": replace(WORD2VEC, ns_exponent=0.75),
    "word2vec window=10 exponent=0.75": replace(WORD2VEC, window=10, ns_exponent=0.75),
    "word2vec window=200": replace(WORD2VEC, window=200),
    "word2vec epochs=5": replace(WORD2VEC, epochs=5),
    "word2vec epochs=10": replace(WORD2VEC, epochs=10),
    "word2vec dim=32": replace(WORD2VEC, dim=32),
    "word2vec dim=128": replace(WORD2VEC, dim=128),
    "word2vec negative=20": replace(WORD2VEC, negative=20),
    "word2vec sample=0": replace(WORD2VEC, sample=0.0),
    "als": ALS,
    "als of implicit's defaults": AlsConfig(popularity_exponent=0.0, regularization=0.01, confidence=1.0),
    "als exponent=0": replace(ALS, popularity_exponent=0.0),
    "als exponent=0.5": replace(ALS, popularity_exponent=0.5),
    "als regularization=0.1": replace(ALS, regularization=0.1),
    "als regularization=10": replace(ALS, regularization=10.0),
    "als confidence=10": replace(ALS, confidence=10.0),
    "als confidence=40": replace(ALS, confidence=40.0),
    "als dim=32": replace(ALS, dim=32),
    "als dim=128": replace(ALS, dim=128),
}
FOLD_IN = " fold-in"


def by_fold_in(vectors: Floats, keys: pa.FixedSizeBinaryArray, corpus: pa.Table, config: AlsConfig) -> Scorer:
    """Score by the product with the factor of a playlist of the seeds, with the confidences of the training."""
    numbered = NumberedCorpus.of(corpus)
    kept = np.flatnonzero(np.isin(np.array(numbered.keys.to_pylist()), np.array(keys.to_pylist())))
    confidence = confidences(membership(numbered)[:, kept], config).max(axis=0).toarray()[0]
    gram = vectors.T @ vectors + config.regularization * np.eye(vectors.shape[1], dtype=np.float32)

    def score(seeds: Integers) -> Floats:
        weights, known = confidence[seeds], vectors[seeds]
        factor = np.linalg.solve(gram + (known * (weights - 1)[:, np.newaxis]).T @ known, weights @ known)
        scores: Floats = vectors @ factor.astype(np.float32)
        return scores

    return score


def measure(
    config: Word2VecConfig | AlsConfig, train: pa.Table, test: pa.Table
) -> Iterator[tuple[str, Integers, float]]:
    """Train, and yield a suffix of the name, reciprocal ranks and processor seconds, for each way of ranking."""
    start = time.process_time()
    keys, vectors = config.train(train)
    seconds = time.process_time() - start
    yield "", reciprocal_ranks(by_cosine(vectors), keys, test), seconds
    if isinstance(config, AlsConfig):
        yield FOLD_IN, reciprocal_ranks(by_fold_in(vectors, keys, train, config), keys, test), seconds


def corpus_of(playlists: pa.Table, path: Path) -> pa.Table:
    """Clean playlists, as if every track were known."""
    pq.write_table(playlists, path)
    return read_corpus(str(path))


def main() -> None:
    """Print a row per encoder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", choices=SETS, default="both", dest="name")
    parser.add_argument("--folds", default="0", help="numbers of the folds, separated by commas")
    parser.add_argument("--only", default="", help="measure only encoders whose name starts with this")
    args = parser.parse_args()
    playlists = of_set(make_catalog(args.data, args.out), args.name)
    parts = [split(playlists, fold=int(fold)) for fold in args.folds.split(",")]
    scratch = args.out / f"{args.name}.parquet"
    corpora = [(corpus_of(part.train, scratch), corpus_of(part.test, scratch)) for part in parts]
    print(f"{args.name}, {sum(test.num_rows for _, test in corpora)} playlists to continue")
    print("| encoder | MRR | Hit@10 | processor seconds |\n|---|---|---|---|", flush=True)
    for name, config in ENCODERS.items():
        if not name.startswith(args.only):
            continue
        measured: dict[str, list[tuple[Integers, float]]] = {}
        for train, test in corpora:
            for suffix, ranks, seconds in measure(config, train, test):
                measured.setdefault(name + suffix, []).append((ranks, seconds))
        for row, found in measured.items():
            figures = ContinuationFigures.of(np.concatenate([ranks for ranks, _ in found]))
            spent = np.mean([seconds for _, seconds in found])
            print(
                f"| {row} | {figures.mrr:.3f} ± {figures.mrr_error:.3f} "
                f"| {figures.hit_at_10:.3f} ± {figures.hit_at_10_error:.3f} | {spent:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
