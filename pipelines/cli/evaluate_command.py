"""The command ``evaluate``: playlist continuation with a release's tokens, and its subcommand for conversations."""

import click

from tracktokens.pipelines.cli.language_models.evaluate_conversations_command import conversations_command
from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    json_option,
    max_reject_rate_option,
    release_option,
    store_option,
    weights_option,
)
from tracktokens.pipelines.terminal import echo, format_json, make_console

REQUIRED = ("playlists", "store")
"""Options without which the command does not run; its subcommands have their own."""


@click.group(name="evaluate", invoke_without_command=True)
@click.option(
    "--playlists",
    type=NonEmptyStr(),
    metavar="PATH",
    help="Playlists that the release was not trained on: file, folder or glob.",
)
@store_option
@release_option
@click.option(
    "--first",
    "seeds",
    default=5,
    type=click.IntRange(1),
    help="Known tracks per playlist; the other tracks are to be found.",
)
@weights_option
@click.option(
    "--fit-weights",
    "fit",
    is_flag=True,
    help="Fit weights on training playlists, and measure them too.",
)
@click.option("--tokens-only", is_flag=True, help="Skip the full vectors, which need memory.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    help="Seed of the sample to fit on, of ALS and of random scores.",
)
@max_reject_rate_option
@json_option
@click.pass_context
def evaluate_command(
    context: click.Context,
    playlists: str,
    store: str,
    release: str | None,
    seeds: int,
    weights: tuple[float, ...] | None,
    fit: bool,
    tokens_only: bool,
    seed: int,
    max_reject_rate: float,
    as_json: bool,
) -> None:
    """Continue held-out playlists with tokens, full vectors and simple rivals, and compare."""
    if context.invoked_subcommand is not None:
        _check_none_given(context)
        return
    _check_required(context)
    from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
    from tracktokens.pipelines.analysis.evaluate import EvaluationOptions, evaluate, evaluation_report

    options = EvaluationOptions(
        release=release,
        seeds=seeds,
        weights=weights or MATCHING_WEIGHTS,
        fit=fit,
        vectors=not tokens_only,
        seed=seed,
        max_reject_rate=max_reject_rate,
    )
    evaluation = evaluate(store, playlists, options)
    if as_json:
        echo(format_json(evaluation.to_json()))
        return
    make_console().print(evaluation_report(evaluation))
    if evaluation.note is not None:
        echo(evaluation.note)
    if evaluation.fitted is not None:
        echo("fitted weights: " + ", ".join(f"{name} {weight:.3g}" for name, weight in evaluation.fitted.items()))


def _check_required(context: click.Context) -> None:
    for parameter in context.command.params:
        if parameter.name in REQUIRED and context.params[parameter.name] is None:
            raise click.MissingParameter(ctx=context, param=parameter)


def _check_none_given(context: click.Context) -> None:
    """Fail for an option before the name of a subcommand, which would not be used."""
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            subcommand = context.invoked_subcommand
            raise click.UsageError(f"give {parameter.opts[0]} after `{subcommand}`, not before it", context)


for _parameter in evaluate_command.params:
    if _parameter.name in REQUIRED:
        _parameter.required = False

evaluate_command.add_command(conversations_command)
