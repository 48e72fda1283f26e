"""Evaluation of recommendations in conversations: rank tracks for held-out turns with several systems, and compare."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
from tracktokens.codebooks.metrics.turn_ranking import (
    DEPTH,
    METRICS,
    Estimate,
    catalog_diversity,
    distinct_ngrams,
    estimate_means,
    found_ranks,
    turn_values,
)
from tracktokens.pipelines.analysis.conversations.queries import Queries, Query, QueryOptions, read_queries
from tracktokens.pipelines.analysis.conversations.systems import Answer
from tracktokens.pipelines.analysis.conversations.table_systems import NAMES, TableSystems
from tracktokens.pipelines.analysis.evaluation_scorers import ReleaseScorers
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.serving.generation.precision import AUTO
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.snapshots import released_snapshot
from tracktokens.transforms.store.user_files import check_input

Watch = Callable[[Iterable[Answer], str, int], Iterable[Answer]]
"""Passes the answers of a system on, given its name and their number, to show the progress."""


@dataclass(frozen=True, kw_only=True)
class ConversationOptions:
    """Options of an evaluation.

    Attributes:
        release: id of a release, or of a bundle, for its newest release; None for the latest.
        model: folder of a language model with the tokens of the release; None leaves its systems out.
        precision: precision of the model's products.
        tracks: tracks table with albums and lyrics for BM25; None leaves them out.
        queries: how turns become queries.
        weights: matching weight per modality, in token order.
        systems: names of the systems to measure; all by default.
        seed: seed of random tracks and of bootstrap samples.
    """

    release: str | None = None
    model: str | None = None
    precision: str = AUTO
    tracks: str | None = None
    queries: QueryOptions = field(default_factory=QueryOptions)
    weights: Sequence[float] = MATCHING_WEIGHTS
    systems: Collection[str] = ()
    seed: int = 0


@dataclass(frozen=True)
class SystemQuality:
    """Quality of one system.

    Attributes:
        metrics: name in ``METRICS`` to its mean and interval.
        by_turn: turn number to its mean nDCG@20.
        catalog_diversity: distinct recommended tracks, divided by those of the catalog.
        distinct_2: distinct pairs of words in its texts, divided by all pairs; None if it writes none.
        lexical_diversity: the same of single words, which the evaluator reports.
        seconds: time that the answers took.
    """

    metrics: Mapping[str, Estimate]
    by_turn: Mapping[int, float]
    catalog_diversity: float
    distinct_2: float | None
    lexical_diversity: float | None
    seconds: float


@dataclass(frozen=True)
class ConversationEvaluation:
    """Quality of all systems.

    Attributes:
        release_id: the release.
        model: folder of the language model, or None.
        conversations: number of conversations with a measured turn.
        turns: number of measured turns.
        tracks: number of tracks that are ranked.
        counts: counts of the file, see :class:`.Queries`.
        qualities: system to its quality.
        left_out: system that was not measured to the reason.
        notes: what a reader of the table should know.
    """

    release_id: str
    model: str | None
    conversations: int
    turns: int
    tracks: int
    counts: Mapping[str, int]
    qualities: Mapping[str, SystemQuality]
    left_out: Mapping[str, str]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class EvaluatedConversations:
    """An evaluation, with the answers that it is based on.

    Attributes:
        evaluation: the qualities.
        queries: turns that were answered, and rejects.
        answers: system to one answer per query, each with at most :data:`DEPTH` rows.
        release: the release, whose index has the ids of the rows.
    """

    evaluation: ConversationEvaluation
    queries: Queries
    answers: Mapping[str, Sequence[Answer]]
    release: ReleaseScorers

    @property
    def index(self) -> ReleaseIndex:
        """Tokens and ids of the rows."""
        return self.release.index


def evaluate_conversations(
    root: str, test: str, options: ConversationOptions | None = None, watch: Watch = lambda answers, _, __: answers
) -> EvaluatedConversations:
    """Recommend tracks in held-out conversations with several systems.

    It holds the token table, the training playlists and the vectors of texts and playlists in memory, the latter with 4
    bytes per value.

    Args:
        root: the store.
        test: file of conversations, JSON Lines; of a file with splits, those of the split ``test`` are used.
        options: the defaults where it is None.
        watch: shows progress.

    Raises:
        UsageError: the store, the release, a system or a file does not exist.
        InvalidDataError: a file cannot be read, or no turn can be used.
    """
    options = options or ConversationOptions()
    if unknown := sorted(set(options.systems) - set(NAMES)):
        raise UsageError(f"unknown system {', '.join(unknown)}: choose some of {'; '.join(NAMES)}")
    check_input(test, "conversations")
    store = Store.open(root)
    manifest = release_or_latest(store, options.release)
    index = ReleaseIndex.read(store, manifest)
    queries = read_queries(test, index, options.queries)
    asked = queries.queries if options.queries.unanswered else queries.measured
    if not asked:
        raise InvalidDataError(_nothing_to_measure(test, manifest.release_id, queries))
    release = ReleaseScorers(released_snapshot(store, manifest), manifest, index, options.weights, options.seed)
    systems = TableSystems(release, options.model, options.tracks, options.precision)
    answers: dict[str, list[Answer]] = {}
    qualities = {}
    for name in systems.available(options.systems):
        start = time.perf_counter()
        system = systems.make(name, answers)
        if system is None:
            continue
        answers[name] = list(watch(system.answers(asked), name, len(asked)))
        seconds = time.perf_counter() - start
        qualities[name] = measure(asked, answers[name], len(index.track_ids), options.seed, seconds)
    evaluation = ConversationEvaluation(
        release_id=manifest.release_id,
        model=options.model,
        conversations=len({query.conversation for query in queries.measured}),
        turns=len(queries.measured),
        tracks=len(index.track_ids),
        counts=dict(queries.counts),
        qualities=qualities,
        left_out=dict(systems.left_out),
        notes=tuple(systems.notes),
    )
    queries.queries = asked
    return EvaluatedConversations(evaluation, queries, answers, release)


def measure(
    queries: Sequence[Query], answers: Sequence[Answer], tracks: int, seed: int, seconds: float = 0.0
) -> SystemQuality:
    """Measure the answers of one system; queries without gold count for the diversities alone."""
    pairs = [(query, answer) for query, answer in zip(queries, answers, strict=True) if len(query.gold)]
    found = np.array([found_ranks(answer.rows, query.gold) for query, answer in pairs], bool).reshape(-1, DEPTH)
    values = turn_values(found, np.array([len(query.gold) for query, _ in pairs], np.int64))
    turns = np.array([query.turn for query, _ in pairs], np.int64)
    estimates = (
        estimate_means(values, np.array([query.conversation for query, _ in pairs]), turns, seed) if pairs else ()
    )
    ndcg = values[:, METRICS.index(f"ndcg@{DEPTH}")]
    texts = [answer.text for answer in answers]
    return SystemQuality(
        metrics=dict(zip(METRICS, estimates, strict=False)),
        by_turn={turn: float(ndcg[turns == turn].mean()) for turn in sorted(set(turns.tolist()))},
        catalog_diversity=catalog_diversity((answer.rows[:DEPTH] for answer in answers), tracks),
        distinct_2=distinct_ngrams(texts, 2),
        lexical_diversity=distinct_ngrams(texts, 1),
        seconds=seconds,
    )


def _nothing_to_measure(test: str, release_id: str, queries: Queries) -> str:
    counts = queries.counts
    if not counts["turns"]:
        return f"{test}: no message of an assistant names a track, as [track:ID] or in tracks"
    unknown = next((reject["track_id"] for reject in queries.rejects if "track_id" in reject), None)
    example = f", for example {unknown!r}" if unknown else ""
    return (
        f"{test}: none of {counts['turns']} turns has a track to find in release {release_id}: {counts['unknown']} of "
        f"{counts['mentions']} mentions name tracks that it does not have{example}, the others were named before"
    )
