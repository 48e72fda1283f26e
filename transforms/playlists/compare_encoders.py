"""Compare kinds of playlist encoders: train each on nine tenths of the playlists, and continue the last tenth.

A playlist is continued from its first tracks. All other tracks are ranked by cosine to the mean of the seeds' unit
vectors, since directions are what codes are made of. The rank of the best target counts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.numerics.arrays import Doubles, Floats, Integers
from tracktokens.transforms.playlists.corpus import in_content_order
from tracktokens.transforms.playlists.playlist_encoder import PlaylistEncoder

SEEDS = 5
"""Most known tracks per playlist."""

HELD_OUT = 10
"""One playlist in this many is held out."""

MOST_MEASURED = 2_000
"""Most held-out playlists that are continued: each is compared with every track."""

Scorer = Callable[[Integers], Floats]
"""Scores of all rows, given the distinct rows of the seeds."""


@dataclass(frozen=True)
class ContinuationFigures:
    """Quality of vectors by the held-out playlists that they continue.

    Attributes:
        mrr: mean reciprocal rank of the best target; 0 for a playlist without a seed or target that has a vector.
        mrr_error: standard error of ``mrr`` over the playlists.
        hit_at_10: share of playlists with a target among the first ten.
        hit_at_10_error: standard error of ``hit_at_10``.
    """

    mrr: float
    mrr_error: float
    hit_at_10: float
    hit_at_10_error: float

    @classmethod
    def of(cls, reciprocal_ranks: Doubles) -> "ContinuationFigures":
        """Average over at least one playlist."""
        hits = (reciprocal_ranks >= 0.1).astype(np.float64)
        figures = [f for values in (reciprocal_ranks, hits) for f in (values.mean(), _standard_error(values))]
        return cls(*(round(float(figure), 4) for figure in figures))


def compare(corpus: pa.Table, encoders: Sequence[PlaylistEncoder]) -> dict[str, ContinuationFigures]:
    """Compare encoders on a ``CORPUS``: name to figures; empty if it has too few playlists to hold one out."""
    train, held_out = split_playlists(corpus)
    if not held_out.num_rows:
        return {}
    measured = held_out.slice(0, MOST_MEASURED)
    figures = {}
    for encoder in encoders:
        keys, vectors = encoder.train(train)
        figures[encoder.name] = ContinuationFigures.of(reciprocal_ranks(by_cosine(vectors), keys, measured))
    return figures


def best(encoders: Sequence[PlaylistEncoder], figures: Mapping[str, ContinuationFigures]) -> PlaylistEncoder:
    """Choose the encoder with the highest MRR; of equal ones, or without figures, the first."""
    return max(encoders, key=lambda encoder: figures[encoder.name].mrr if figures else 0.0)


def split_playlists(corpus: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Split a ``CORPUS`` into playlists to train on and a held-out tenth, by a hash of their contents."""
    ordered = in_content_order(corpus.to_batches())
    held_out = np.arange(ordered.num_rows) % HELD_OUT == HELD_OUT - 1
    return ordered.filter(pa.array(~held_out)), ordered.filter(pa.array(held_out))


def reciprocal_ranks(scorer: Scorer, keys: pa.FixedSizeBinaryArray, playlists: pa.Table) -> Doubles:
    """Continue each playlist of a ``CORPUS``, and return the reciprocal rank of its best target: float64 (playlists,).

    Args:
        scorer: scores of the tracks.
        keys: keys of the tracks that the scorer scores.
        playlists: ``CORPUS``, each with at least two entries.
    """
    return np.array([_reciprocal_rank(scorer, rows) for rows in _rows(keys, playlists)])


def by_cosine(vectors: Floats) -> Scorer:
    """Score by the mean cosine to the seeds.

    Example:
        >>> import numpy as np
        >>> score = by_cosine(np.array([[1, 0], [0, 2], [3, 0]], np.float32))
        >>> score(np.array([0, 2])).tolist()
        [1.0, 0.0, 1.0]
    """
    unit = Preprocessing(unit_length=True).apply(vectors)

    def score(seeds: Integers) -> Floats:
        scores: Floats = unit @ unit[seeds].mean(axis=0)
        return scores

    return score


def _rows(keys: pa.FixedSizeBinaryArray, playlists: pa.Table) -> Iterator[Integers]:
    """Return each playlist as rows of ``keys``, -1 for a track without one."""
    lists = playlists["track_keys"].combine_chunks()
    rows = pc.fill_null(pc.index_in(lists.flatten(), value_set=keys), -1).to_numpy().astype(np.int64)
    yield from np.split(rows, np.cumsum(lists.value_lengths().to_numpy())[:-1])


def _reciprocal_rank(scorer: Scorer, playlist: Integers) -> float:
    first = min(SEEDS, len(playlist) - 1)
    seeds, targets = (_known(part) for part in (playlist[:first], playlist[first:]))
    targets = np.setdiff1d(targets, seeds)
    if not len(seeds) or not len(targets):
        return 0.0
    scores = scorer(seeds).copy()
    scores[seeds] = -np.inf
    # Tracks with the score of the best target are counted before it, but for other targets.
    best = scores[targets].max()
    ahead = np.count_nonzero(scores >= best) - np.count_nonzero(scores[targets] == best)
    return 1 / (1 + int(ahead))


def _known(rows: Integers) -> Integers:
    known: Integers = np.unique(rows[rows >= 0])
    return known


def _standard_error(values: Doubles) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
