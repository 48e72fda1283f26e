"""Systems that answer turns of conversations with a ranking of tracks; those of this module read no texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tracktokens.codebooks.matching.top_k import BestRows
from tracktokens.codebooks.metrics.playlist_continuation import Scorer
from tracktokens.codebooks.metrics.turn_ranking import DEPTH
from tracktokens.codebooks.numerics.arrays import Floats, Mask, RowIndices, Scores
from tracktokens.pipelines.analysis.conversations.queries import Query


@dataclass(frozen=True, eq=False)
class Answer:
    """Answer of a system to a query.

    Attributes:
        rows: distinct rows of recommended tracks, best first, none of those that the query excludes.
        text: what it writes; empty for a system that writes nothing.
    """

    rows: RowIndices
    text: str = ""


class System(Protocol):
    """Answers queries."""

    def answers(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Yield one answer per query, in order."""


def best_rows(scores: Scores, query: Query, count: int = DEPTH) -> RowIndices:
    """Return the rows of the highest scores, float (tracks,), that a query does not exclude.

    Of two rows with the same score the lower comes first, which is the more popular track.
    """
    scores = scores.astype(np.float64)
    scores[query.excluded] = -np.inf
    best = BestRows(count)
    best.add(np.arange(len(scores)), scores)
    return best.rows[best.scores > -np.inf]


def fill_up(rows: RowIndices, query: Query, tracks: int) -> RowIndices:
    """Keep the first rows that a query does not exclude, and append the most popular others, to :data:`DEPTH` rows."""
    spare = np.arange(min(tracks, DEPTH + len(rows) + len(query.excluded)))
    every = np.concatenate([rows, spare])
    every = every[~np.isin(every, query.excluded)]
    distinct: RowIndices = every[np.sort(np.unique(every, return_index=True)[1])]
    return distinct[:DEPTH]


@dataclass(frozen=True, eq=False)
class RandomSystem:
    """Draws tracks at random for each query.

    Attributes:
        tracks: number of tracks.
        seed: seed of the draws.
    """

    tracks: int
    seed: int

    def answers(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Yield one answer per query."""
        draw = np.random.default_rng(self.seed)
        return (Answer(best_rows(draw.random(self.tracks), query)) for query in queries)


@dataclass(frozen=True, eq=False)
class NamedTracksSystem:
    """Scores by the tracks that were named so far; by popularity before the first.

    Attributes:
        scorer: scores rows by seeds.
        popularity: float64 (tracks,).
        usable: bool (tracks,), rows that the scorer knows something of; None for all.
    """

    scorer: Scorer
    popularity: Scores
    usable: Mask | None = None

    def answers(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Yield one answer per query."""
        for query in queries:
            seeds = query.named if self.usable is None else query.named[self.usable[query.named]]
            yield Answer(best_rows(self.scorer.scores(seeds) if len(seeds) else self.popularity, query))


@dataclass(frozen=True, eq=False)
class Taste:
    """Closeness of tracks to those that were named so far, by playlist vectors.

    Attributes:
        vectors: float32 (tracks, dim) of unit length, zero for tracks without one.
    """

    vectors: Floats

    def scores(self, seeds: RowIndices) -> Scores:
        """Compute the cosine of each row to the mean of the seeds' vectors: float64 (tracks,), 0 without one."""
        mean = self.vectors[seeds].sum(axis=0)
        length = float(np.linalg.norm(mean))
        cosines: Scores = (self.vectors @ mean).astype(np.float64) / (length or 1.0)
        return cosines
