"""The command ``evaluate conversations``: recommendations in held-out conversations, by several systems."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.language_models.reply_options import precision_option
from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    OutputFile,
    json_option,
    release_option,
    store_option,
    weights_option,
)
from tracktokens.pipelines.terminal import echo, format_json, make_console
from tracktokens.schemas.display import printable

if TYPE_CHECKING:
    from tracktokens.pipelines.analysis.conversations.evaluate import ConversationEvaluation, EvaluatedConversations
    from tracktokens.pipelines.analysis.conversations.systems import Answer


@click.command(name="conversations")
@click.option(
    "--test",
    required=True,
    type=NonEmptyStr(),
    metavar="FILE",
    help="Held-out conversations, JSON Lines; of a file with splits, those of the split `test`.",
)
@store_option
@release_option
@click.option(
    "--model",
    type=NonEmptyStr(),
    metavar="DIR",
    help="Language model with the tokens of the release; without one, only its rivals are measured.",
)
@precision_option
@click.option(
    "--tracks", type=NonEmptyStr(), metavar="PATH", help="Tracks table, from which BM25 takes albums and lyrics."
)
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=NonEmptyStr(),
    metavar="NAME",
    help="System to measure, as the table names it; all by default. Repeatable.",
)
@click.option(
    "--gold",
    type=click.Choice(["first", "all"]),
    default="first",
    help="Tracks of a turn that are to be found.",
)
@click.option("--keep-named", is_flag=True, help="Recommend also tracks that were named before the turn.")
@click.option("--turns", type=click.IntRange(1), metavar="N", help="Use the first N turns of each conversation.")
@weights_option
@click.option(
    "--out",
    type=OutputFile(),
    metavar="FILE",
    help="Write the evaluation as JSON, and FILE.rejects; - is standard output alone.",
)
@click.option(
    "--submission",
    type=OutputFile(),
    metavar="FILE",
    help="Write the predictions of a system as the Music-CRS evaluator reads them.",
)
@click.option(
    "--submission-system",
    type=NonEmptyStr(),
    metavar="NAME",
    help="System whose predictions are written; the model by default.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    help="Seed of random tracks and of the samples that intervals are computed from.",
)
@json_option
def conversations_command(
    test: str,
    store: str,
    release: str | None,
    model: str | None,
    precision: str,
    tracks: str | None,
    systems: tuple[str, ...],
    gold: str,
    keep_named: bool,
    turns: int | None,
    weights: tuple[float, ...] | None,
    out: str | None,
    submission: str | None,
    submission_system: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Recommend tracks in held-out conversations with a model and its rivals, and compare."""
    from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
    from tracktokens.pipelines.analysis.conversations.evaluate import ConversationOptions, evaluate_conversations
    from tracktokens.pipelines.analysis.conversations.outputs import check_outputs, write_evaluation, write_submission
    from tracktokens.pipelines.analysis.conversations.queries import QueryOptions
    from tracktokens.pipelines.analysis.conversations.table_systems import submitted_system
    from tracktokens.transforms.store.user_files import is_standard_output

    chosen = submitted_system(submission_system, model, systems) if submission else None
    check_outputs([out, submission], [test], store)
    options = ConversationOptions(
        release=release,
        model=model,
        precision=precision,
        tracks=tracks,
        queries=QueryOptions(
            all_gold=gold == "all", keep_named=keep_named, turns=turns, unanswered=submission is not None
        ),
        weights=weights or MATCHING_WEIGHTS,
        systems=(*systems, chosen) if systems and chosen else systems,
        seed=seed,
    )
    evaluated = evaluate_conversations(store, test, options, _show_progress)
    _warn(evaluated, out)
    if out is not None:
        write_evaluation(evaluated, out)
    if submission is not None and chosen is not None:
        write_submission(evaluated, chosen, submission)
    to_stderr = any(path is not None and is_standard_output(path) for path in (out, submission))
    if as_json:
        echo(format_json(evaluated.evaluation.to_json()), err=to_stderr)
    else:
        _print(evaluated.evaluation, to_stderr)


def _show_progress(answers: "Iterable[Answer]", name: str, count: int) -> "Iterator[Answer]":
    """Show the progress of a system on standard error, while it lasts."""
    from rich.progress import track

    console = make_console(stderr=True)
    yield from track(answers, name, count, console=console, transient=True, disable=not console.is_terminal)


def _print(evaluation: "ConversationEvaluation", to_stderr: bool) -> None:
    from tracktokens.pipelines.analysis.conversations.report import conversation_report

    if evaluation.turns:
        make_console(to_stderr).print(conversation_report(evaluation))
    else:
        echo("no turn has a track to find: nothing is measured", err=to_stderr)
    for name, reason in evaluation.left_out.items():
        echo(f"{name} is left out: {printable(reason)}", err=to_stderr)
    for note in evaluation.notes:
        echo(printable(note), err=to_stderr)


def _warn(evaluated: "EvaluatedConversations", out: str | None) -> None:
    """Warn of lines, mentions and turns that are not used."""
    counts = evaluated.evaluation.counts
    lost = {
        "lines are not conversations": counts.get("rejected", 0),
        "mentions name tracks that the release does not have": counts.get("unknown", 0),
        "turns have no track to find": counts.get("without_gold", 0),
    }
    words = "; ".join(f"{count} {what}" for what, count in lost.items() if count)
    if words:
        echo(f"warning: {words}{_where(out)}", err=True)


def _where(out: str | None) -> str:
    """Name the file of the rejects; beside a stream, they are logged."""
    from tracktokens.transforms.store.user_files import is_stream

    if out is None:
        return "; --out FILE lists them"
    return "" if is_stream(out) else f"; see {out}.rejects"
