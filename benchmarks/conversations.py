"""Ablations of recommendations in conversations, as Markdown tables.

    python benchmarks/conversations.py TALKS.jsonl --store STORE [--store OTHER ...] [--tracks TRACKS]
        [--model NAME=DIR ...] [--turns N] [--only NAME ...]

Per store, such as one per codebook size, it prints the table of ``tracktokens evaluate conversations``, with rows per
model, such as one per seed, initialisation or order of the tokens. A second table matches the tokens of the named
tracks: with the weights 25, 5, 5, 1, 1, with one modality left out, and with weights that are fitted on the training
playlists of the release. A model must have the tokens of the store before it: options are read from left to right.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
from tracktokens.codebooks.metrics.token_features import WeightedScorer
from tracktokens.codebooks.metrics.turn_ranking import METRICS
from tracktokens.codebooks.metrics.weight_fitting import fit_weights
from tracktokens.pipelines.analysis.conversations.evaluate import (
    ConversationOptions,
    EvaluatedConversations,
    SystemQuality,
    evaluate_conversations,
    measure,
)
from tracktokens.pipelines.analysis.conversations.queries import QueryOptions
from tracktokens.pipelines.analysis.conversations.systems import NamedTracksSystem
from tracktokens.pipelines.analysis.conversations.table_systems import MODEL, RERANKED
from tracktokens.schemas.modalities import MODALITIES

SEEDS_TO_FIT = 5
"""Known tracks per training playlist, when weights are fitted."""

Row = tuple[str, SystemQuality]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test")
    parser.add_argument("--store", action=_OfStore, required=True, dest="stores")
    parser.add_argument("--model", action=_OfStore, metavar="NAME=DIR", dest="stores")
    parser.add_argument("--tracks")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--only", action="append", default=[], help="system of the table; repeatable")
    arguments = parser.parse_args()
    for store, models in arguments.stores:
        options = ConversationOptions(
            tracks=arguments.tracks, systems=arguments.only, queries=QueryOptions(turns=arguments.turns)
        )
        evaluated = evaluate_conversations(store, arguments.test, options)
        print(f"\n{store}, release {evaluated.evaluation.release_id}: {evaluated.evaluation.turns} turns\n")
        rows = [*evaluated.evaluation.qualities.items(), *model_rows(store, arguments.test, models, options)]
        print_table("system", rows)
        print_table("matching of named tracks", matching_rows(evaluated))


class _OfStore(argparse.Action):
    """Collect stores, each with the models after it."""

    def __call__(self, parser, namespace, value, option_string=None) -> None:  # type: ignore[no-untyped-def]
        stores = getattr(namespace, self.dest) or []
        if option_string == "--store":
            stores.append((value, []))
        elif not stores or "=" not in value:
            parser.error(f"{option_string} {value}: give NAME=DIR after the --store of the model")
        else:
            stores[-1][1].append(tuple(value.split("=", 1)))
        setattr(namespace, self.dest, stores)


def model_rows(store: str, test: str, models: Iterable[tuple[str, str]], options: ConversationOptions) -> Iterator[Row]:
    """Measure models of one release, and the same reranked."""
    for name, folder in models:
        chosen = ConversationOptions(model=folder, systems=(MODEL, RERANKED), queries=options.queries)
        qualities = evaluate_conversations(store, test, chosen).evaluation.qualities
        yield from ((f"{system}: {name}", quality) for system, quality in qualities.items())


def matching_rows(evaluated: EvaluatedConversations) -> Iterator[Row]:
    """Measure the share of equal codes with several weights."""
    default = np.array(MATCHING_WEIGHTS, float)
    yield matching_row(evaluated, "25, 5, 5, 1, 1", default)
    for column, modality in enumerate(MODALITIES):
        yield matching_row(evaluated, f"without {modality}", np.where(np.arange(len(default)) == column, 0, default))
    release = evaluated.release
    continuations = release.training_continuations(SEEDS_TO_FIT)
    if continuations:
        fitted = fit_weights(release.equal, continuations, MATCHING_WEIGHTS, release.seed)
        yield matching_row(evaluated, f"fitted: {', '.join(f'{weight:.2g}' for weight in fitted)}", fitted)


def matching_row(evaluated: EvaluatedConversations, name: str, weights: Sequence[float]) -> Row:
    release, queries = evaluated.release, evaluated.queries.queries
    system = NamedTracksSystem(WeightedScorer(release.equal, weights), release.playlists)
    return name, measure(queries, list(system.answers(queries)), len(release.codes), release.seed)


def print_table(head: str, rows: Iterable[Row]) -> None:
    print(f"| {head} | {' | '.join(METRICS)} | diversity | distinct-2 |\n|{'---|' * (len(METRICS) + 3)}")
    for name, quality in rows:
        cells = [f"{mean.mean:.3f} ({mean.low:.3f}-{mean.high:.3f})" for mean in quality.metrics.values()]
        pairs = "" if quality.distinct_2 is None else f"{quality.distinct_2:.3f}"
        print(f"| {name} | {' | '.join(cells)} | {quality.catalog_diversity:.3f} | {pairs} |", flush=True)
    print()


if __name__ == "__main__":
    main()
