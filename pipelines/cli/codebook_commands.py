"""The commands from vectors to a release: ``train``, ``retrain``, ``tokenize`` and ``publish``."""

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    Share,
    full_bundle_id,
    full_catalog_id,
    max_lost_option,
    max_removed_option,
    options,
    runner_options,
    runner_with_progress,
    snapshot_option,
    store_option,
)
from tracktokens.pipelines.cli.options.encoder_options import ModalityValue
from tracktokens.pipelines.cli.options.remembered import echo_remembered
from tracktokens.pipelines.terminal import echo
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.token_format import DEFAULT_NUMBERS, MAX_CODES, NUMBERED, SHARED, FurtherTokens

if TYPE_CHECKING:
    from tracktokens.pipelines.runner import PipelineRunner


class Levels(ModalityValue):
    """``MODALITY=LEVELS`` or ``MODALITY=LEVELS:CODES``, as modality and the text after it."""

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split the modality from the levels; fail for numbers that are not levels and codes."""
        modality, levels = super().convert(value, param, ctx)
        if not re.fullmatch(r"[1-9][0-9]?(:[1-9][0-9]{0,4})?", levels) or parse_levels(levels)[1] > MAX_CODES:
            self.fail(
                f"{modality}={levels} is not MODALITY=LEVELS or MODALITY=LEVELS:CODES: give a number of levels, such "
                f"as 2, and at most {MAX_CODES} codes",
                param,
                ctx,
            )
        return modality, levels


def parse_levels(text: str) -> tuple[int, int]:
    """Parse ``LEVELS:CODES``; 0 codes mean as many as the codebook size.

    >>> parse_levels("2:32"), parse_levels("3")
    ((2, 32), (3, 0))
    """
    levels, _, codes = text.partition(":")
    return int(levels), int(codes or 0)


def further_tokens(levels: tuple[tuple[str, str], ...], number: int | None, same_song: str | None) -> FurtherTokens:
    """Make the tokens after the five of the modalities from the values of their options.

    Raises:
        UsageError: a modality has its levels twice, or a track would have too many tokens.
    """
    by_modality = dict(levels)
    if len(by_modality) < len(levels):
        raise UsageError("--levels: give each modality once")
    tokens = FurtherTokens({modality: parse_levels(text) for modality, text in levels}, number, same_song)
    try:
        tokens.format(1)
    except ValueError as error:
        raise UsageError(f"{error}; give fewer --levels") from error
    return tokens


def further_token_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the tokens after the five, which the command gets as one argument, ``tokens``."""

    @wraps(command)
    def with_tokens(levels: Any, number: int | None, same_song: str | None, **values: Any) -> Any:
        return command(tokens=further_tokens(levels, number, same_song), **values)

    return options(
        click.option(
            "--levels",
            type=Levels(),
            multiple=True,
            metavar="MODALITY=LEVELS[:CODES]",
            help="Levels of a modality's codes: each after the first is one more token, with CODES codes.",
        ),
        click.option(
            "--number",
            type=click.IntRange(0, MAX_CODES),
            is_flag=False,
            flag_value=DEFAULT_NUMBERS,
            metavar="[NUMBERS]",
            help="Add a last token that differs between songs whose other tokens are equal, one of NUMBERS (256); 0 "
            "for none.",
        ),
        click.option(
            "--same-song",
            type=click.Choice((SHARED, NUMBERED)),
            help="Whether ids of the same song share a number, which is the default, or each has a number of its own.",
        ),
    )(with_tokens)


codebook_size_option = click.option(
    "--codebook-size",
    type=int,
    help="Codes that the vocabulary reserves per modality; the latest release's by default, or 1024.",
)
new_vocabulary_option = click.option(
    "--new-vocabulary",
    is_flag=True,
    help="Replace the latest release's vocabulary, if the codebook size, --levels, --number or an encoder differs.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Seed of the sample and of k-means."
)
max_churn_option = click.option(
    "--max-churn",
    type=Share(),
    help="Share of a modality's tokens that may differ from the latest release; above it nothing is published.",
)
bundle_option = click.option(
    "--bundle", type=NonEmptyStr(), metavar="ID", help="Codebook bundle; the latest release's by default."
)


@click.command(name="train")
@store_option
@snapshot_option
@codebook_size_option
@further_token_options
@seed_option
@runner_options
def train_command(
    store: str,
    snapshot: str | None,
    codebook_size: int | None,
    tokens: FurtherTokens,
    seed: int,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Learn a new codebook bundle from a catalog snapshot. Prints the bundle's id.

    The codebook size, --levels and --number that are not given are those of the latest release.
    """
    from tracktokens.pipelines.jobs.train import TrainJob

    echo_remembered(click.get_current_context(), store)
    with runner_with_progress(workers, beam_options) as (runner, _):
        catalog_id = full_catalog_id(store, snapshot, runner)
        job = TrainJob(store=store, codebook_size=codebook_size, seed=seed, catalog_id=catalog_id, tokens=tokens)
        echo(job.run(runner).bundle_id)


@click.command(name="retrain")
@click.option("--from-bundle", type=NonEmptyStr(), metavar="ID", help="Older bundle; the latest release's by default.")
@store_option
@snapshot_option
@seed_option
@runner_options
def retrain_command(
    from_bundle: str | None, store: str, snapshot: str | None, seed: int, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Learn a bundle that continues an older one, so that tracks keep their tokens. Prints the bundle's id."""
    from tracktokens.pipelines.analysis.report import kept_table
    from tracktokens.pipelines.jobs.retrain import RetrainJob

    with runner_with_progress(workers, beam_options) as (runner, display):
        bundle_id, catalog_id = _bundle_id(store, from_bundle, runner), full_catalog_id(store, snapshot, runner)
        retrained = RetrainJob(store=store, from_bundle=bundle_id, seed=seed, catalog_id=catalog_id).run(runner)
    display.console.print(kept_table(retrained.kept, retrained.kept_without))
    echo(retrained.bundle.bundle_id)


@click.command(name="tokenize")
@store_option
@bundle_option
@snapshot_option
@runner_options
def tokenize_command(
    store: str, bundle: str | None, snapshot: str | None, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Assign a code to every vector of a catalog snapshot. Prints the number of new codes per column."""
    from tracktokens.pipelines.jobs.tokenize import TokenizeJob

    with runner_with_progress(workers, beam_options) as (runner, _):
        bundle_id, catalog_id = _bundle_id(store, bundle, runner), full_catalog_id(store, snapshot, runner)
        counts = TokenizeJob(store=store, bundle_id=bundle_id, catalog_id=catalog_id).run(runner)
    for column, count in counts.items():
        echo(f"{column} {count}")


@click.command(name="publish")
@store_option
@bundle_option
@snapshot_option
@max_churn_option
@new_vocabulary_option
@max_lost_option
@max_removed_option
@runner_options
def publish_command(
    store: str,
    bundle: str | None,
    snapshot: str | None,
    max_churn: float | None,
    new_vocabulary: bool,
    max_lost: float,
    max_removed: float,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Publish a release of a tokenized catalog snapshot. Prints the release's folder."""
    from tracktokens.pipelines.jobs.publish import PublishJob
    from tracktokens.transforms.release.report import release_report

    with runner_with_progress(workers, beam_options) as (runner, display):
        bundle_id = _bundle_id(store, bundle, runner)
        job = PublishJob(
            store=store,
            bundle_id=bundle_id,
            catalog_id=full_catalog_id(store, snapshot, runner),
            max_churn=max_churn,
            new_vocabulary=new_vocabulary,
            max_lost=max_lost,
            max_removed=max_removed,
        )
        release = job.run(runner)
    display.console.print(release_report(release.metrics))
    echo(release.folder)


def _bundle_id(store: str, given: str | None, runner: "PipelineRunner") -> str:
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.releases import default_bundle

    return full_bundle_id(store, given, runner) or default_bundle(Store.open(store))
