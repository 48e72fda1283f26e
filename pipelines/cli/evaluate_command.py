"""The command ``evaluate``: what a release's tokens are worth."""

import json

import click

from tracktokens.pipelines.cli.options import NonEmptyStr, json_option, store_option, weights_option


@click.command()
@click.option(
    "--playlists",
    required=True,
    type=NonEmptyStr(),
    metavar="PATH",
    help="Playlists that the release was not trained on: file, folder or glob.",
)
@store_option
@click.option("--release", type=NonEmptyStr(), metavar="ID", help="Release to evaluate; the latest when not given.")
@click.option(
    "--first",
    "seeds",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    help="Tracks of each playlist that are known; the others are to be found.",
)
@weights_option
@click.option(
    "--fit-weights", "fit", is_flag=True, help="Fit weights on half of the playlists, and measure on the others."
)
@click.option("--tokens-only", is_flag=True, help="Leave out the full vectors, which are held in memory.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the split and of chance.")
@json_option
def evaluate_command(
    playlists: str,
    store: str,
    release: str | None,
    seeds: int,
    weights: tuple[float, ...] | None,
    fit: bool,
    tokens_only: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Continue held-out playlists with tokens alone, with full vectors, with popularity, and by chance."""
    from rich.console import Console

    from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
    from tracktokens.pipelines.analysis.evaluate import EvaluationOptions, evaluate, evaluation_report

    options = EvaluationOptions(
        release=release,
        seeds=seeds,
        weights=weights or MATCHING_WEIGHTS,
        fit=fit,
        vectors=not tokens_only,
        seed=seed,
    )
    found = evaluate(store, playlists, options)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    Console().print(evaluation_report(found))
    if found.fitted is not None:
        click.echo("fitted weights: " + ", ".join(f"{name} {weight:.3g}" for name, weight in found.fitted.items()))


def add_evaluate_command(main: click.Group) -> None:
    """Put the command under the main one."""
    main.add_command(evaluate_command, name="evaluate")
