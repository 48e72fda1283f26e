"""The commands that bring a release up to date: ``refresh``, ``plan`` and ``rejects retry``."""

from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli.options.common import (
    json_option,
    metrics_file_option,
    options,
    runner_options,
    runner_with_progress,
    store_option,
)
from tracktokens.pipelines.cli.options.config_file import config_option
from tracktokens.pipelines.cli.options.encoder_options import source_options
from tracktokens.pipelines.cli.outcome import show_outcome
from tracktokens.pipelines.jobs.metrics_file import check_metrics_file
from tracktokens.pipelines.released_options import read_released_options
from tracktokens.pipelines.stop_signals import KEPT
from tracktokens.pipelines.terminal import echo, format_json, make_console
from tracktokens.schemas.errors import InvalidDataError

if TYPE_CHECKING:
    from tracktokens.pipelines.jobs.refresh import RefreshJob

refresh_options = options(config_option, store_option, source_options(remembered=read_released_options, required=False))
fail_on_drift_option = click.option(
    "--fail-on-drift",
    is_flag=True,
    help="Exit with code 4, and publish nothing, if the catalog has drifted too far from the codebooks' training data.",
)


@click.command(name="refresh")
@refresh_options
@fail_on_drift_option
@metrics_file_option
@runner_options
def refresh_command(
    source: CatalogSource,
    store: str,
    fail_on_drift: bool,
    metrics_file: str | None,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Bring the latest release up to date: encode the changes, keep the codebooks, and publish.

    Options of the catalog that are not given are those of the latest release, so `--store` alone is enough.

    BEAM_OPTIONS follow `--` and are passed to Beam unchanged, including `--runner`.
    """
    from tracktokens.pipelines.jobs.refresh import RefreshJob

    _refresh(RefreshJob(source=source, store=store, fail_on_drift=fail_on_drift), metrics_file, workers, beam_options)


@click.command(name="plan")
@refresh_options
@json_option
@runner_options
def plan_command(source: CatalogSource, store: str, as_json: bool, workers: int, beam_options: tuple[str, ...]) -> None:
    """Count what a refresh would do, and change nothing. Ends with the exit code of a refresh that would fail.

    Options of the catalog that are not given are those of the latest release.
    """
    from tracktokens.pipelines.jobs.plan import plan_refresh, plan_report
    from tracktokens.pipelines.jobs.refresh import RefreshJob

    with runner_with_progress(workers, beam_options) as (runner, _):
        plan = plan_refresh(RefreshJob(source=source, store=store), runner)
    if as_json:
        echo(format_json(plan.to_json()))
    else:
        make_console().print(plan_report(plan))
    if plan.refused is not None:
        raise InvalidDataError(f"a refresh would fail: {plan.refused}")


@click.group(name="rejects")
def rejects_group() -> None:
    """Handle inputs that could not be used."""


@rejects_group.command(name="retry")
@refresh_options
@fail_on_drift_option
@metrics_file_option
@runner_options
def retry_command(
    source: CatalogSource,
    store: str,
    fail_on_drift: bool,
    metrics_file: str | None,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Refresh, and encode rejected inputs again, for example after you installed a codec.

    Options of the catalog that are not given are those of the latest release. With an unchanged catalog only the
    rejected inputs are encoded.
    """
    from tracktokens.pipelines.jobs.refresh import RefreshJob

    job = RefreshJob(source=source, store=store, retry_rejects=True, fail_on_drift=fail_on_drift)
    _refresh(job, metrics_file, workers, beam_options)


def _refresh(job: "RefreshJob", metrics_file: str | None, workers: int, beam_options: tuple[str, ...]) -> None:
    if metrics_file is not None:
        check_metrics_file(metrics_file, job.store)
    with runner_with_progress(workers, beam_options, KEPT) as (runner, display):
        outcome = job.run(runner, display.start_stage)
    show_outcome(outcome, display, metrics_file)
