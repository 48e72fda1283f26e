"""The commands of every night: ``refresh``, ``plan`` and ``rejects``."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tracktokens.pipelines.cli.encoder_options import (
    audio_root_option,
    encoder_options,
    max_reject_rate_option,
    tracks_option,
    vector_sources,
)
from tracktokens.pipelines.cli.options import (
    NonEmptyStr,
    json_option,
    launch_options,
    options,
    progress_runner,
    store_option,
)

if TYPE_CHECKING:
    from tracktokens.pipelines.jobs.refresh import RefreshJob

Command = TypeVar("Command", bound=Callable[..., Any])

refresh_options = options(
    tracks_option,
    click.option(
        "--playlists",
        type=NonEmptyStr(),
        metavar="PATH",
        help="Playlists: a file, folder or glob. Without it no track gets its first playlist token.",
    ),
    store_option,
    audio_root_option,
    encoder_options,
    max_reject_rate_option,
)
fail_on_drift_option = click.option(
    "--fail-on-drift",
    is_flag=True,
    help="Publish nothing, and end with 4, when the catalog has moved too far from what the codebooks were learned on.",
)


@click.command(name="refresh")
@refresh_options
@fail_on_drift_option
@launch_options
def refresh_command(workers: int, beam_options: tuple[str, ...], **settings: Any) -> None:
    """Bring the latest release up to date: encode what changed, keep the codebooks, and publish.

    BEAM_OPTIONS come after `--` and go to Beam as they are, `--runner` among them.
    """
    _refresh(_job(**settings), workers, beam_options)


@click.command(name="plan")
@refresh_options
@json_option
@launch_options
def plan_command(as_json: bool, workers: int, beam_options: tuple[str, ...], **settings: Any) -> None:
    """Say what a refresh would do, and change nothing."""
    from rich.console import Console

    from tracktokens.pipelines.jobs.plan import plan_refresh, plan_report

    job = _job(fail_on_drift=False, **settings)
    with progress_runner(workers, beam_options) as (runner, _):
        plan = plan_refresh(job, runner)
    if as_json:
        click.echo(json.dumps(plan.to_json(), indent=2))
    else:
        Console().print(plan_report(plan))


@click.group(name="rejects")
def rejects_group() -> None:
    """What could not be used."""


@rejects_group.command(name="retry")
@refresh_options
@fail_on_drift_option
@launch_options
def retry_command(workers: int, beam_options: tuple[str, ...], **settings: Any) -> None:
    """Refresh, and try inputs again of which no vector could be made: after a codec was installed, say.

    Give the same catalog as in the last refresh; then only the rejected inputs are encoded.
    """
    _refresh(replace(_job(**settings), retry_rejects=True), workers, beam_options)


def add_refresh_commands(group: click.Group) -> None:
    """Add these commands to the command line."""
    for command in (refresh_command, plan_command, rejects_group):
        group.add_command(command)


def _job(
    tracks: str,
    playlists: str | None,
    store: str,
    audio_root: str | None,
    max_reject_rate: float,
    fail_on_drift: bool,
    **sources: Any,
) -> "RefreshJob":
    from tracktokens.pipelines.jobs.refresh import RefreshJob

    chosen = vector_sources(audio_root, **sources)
    return RefreshJob(
        tracks,
        store,
        chosen.encoders(),
        playlists,
        audio_root,
        max_reject_rate,
        chosen.given(),
        fail_on_drift=fail_on_drift,
    )


def _refresh(job: "RefreshJob", workers: int, beam_options: tuple[str, ...]) -> None:
    from tracktokens.pipelines.analysis.report import seconds_table
    from tracktokens.transforms.release.report import release_report

    with progress_runner(workers, beam_options) as (runner, display):
        outcome = job.run(runner, display.enter)
    display.console.print(release_report(outcome.release.metrics), seconds_table(outcome.seconds))
    click.echo(f"release: {outcome.release.folder}")
