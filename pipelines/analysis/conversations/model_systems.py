"""Systems with a language model: what it recommends, and the same in another order by the vectors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.metrics.turn_ranking import DEPTH
from tracktokens.codebooks.numerics.arrays import Floats, RowIndices, Scores
from tracktokens.pipelines.analysis.conversations.queries import Query
from tracktokens.pipelines.analysis.conversations.systems import Answer
from tracktokens.serving.generation.recommendation import Recommendation
from tracktokens.serving.generation.recommender import Recommender

RERANKED = 2 * DEPTH
"""Tracks that a model recommends per query: the first :data:`DEPTH` count, and all are reranked."""

BATCH = 8
"""Queries per call of a model."""

FUSION = 60
"""Constant of reciprocal rank fusion (Cormack and others, SIGIR 2009)."""

Relevance = Callable[[Sequence[Query]], Iterator[Scores]]
"""Scores all tracks for each query."""


@dataclass(frozen=True, eq=False)
class ModelSystem:
    """Recommends with a model.

    Attributes:
        recommender: the model and the tokens of the release.
        track_ids: large_string (tracks,), ids of the rows.
    """

    recommender: Recommender
    track_ids: pa.LargeStringArray

    def answers(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Yield one answer per query, with up to :data:`RERANKED` rows."""
        for first in range(0, len(queries), BATCH):
            batch = queries[first : first + BATCH]
            for query, found in zip(batch, self._recommend(batch), strict=True):
                rows = self._rows([track.track_id for track in found.tracks])
                yield Answer(rows[~np.isin(rows, query.excluded)], found.text)

    def _recommend(self, batch: Sequence[Query]) -> list[Recommendation]:
        conversations = [[message.to_json() for message in query.messages] for query in batch]
        exclude = [self.track_ids.take(pa.array(query.excluded)).to_pylist() for query in batch]
        return self.recommender.recommend_batch(conversations, RERANKED, exclude=exclude, repeat_named=True)

    def _rows(self, track_ids: Sequence[str]) -> RowIndices:
        found = pc.index_in(pa.array(track_ids, pa.large_string()), value_set=self.track_ids)
        return np.array([*dict.fromkeys(found.drop_null().to_pylist())], np.int64)


@dataclass(frozen=True, eq=False)
class RerankedSystem:
    """Reranks the answers of a model by the fusion of two orders: the model's, and that of the vectors.

    Attributes:
        model: the model's answers, one per query.
        relevance: scores of the vectors.
    """

    model: Sequence[Answer]
    relevance: Relevance

    def answers(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Yield one answer per query."""
        for answer, scores in zip(self.model, self.relevance(queries), strict=True):
            yield Answer(answer.rows[np.argsort(-_fused(scores[answer.rows]), kind="stable")], answer.text)


def _fused(scores: Scores | Floats) -> Scores:
    """Fuse the order of some rows with the order of their scores: float64 (rows,)."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    fused: Scores = 1 / (FUSION + np.arange(1, len(scores) + 1)) + 1 / (FUSION + ranks)
    return fused
