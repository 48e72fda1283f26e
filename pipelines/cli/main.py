"""The command line, ``tracktokens``. It parses and calls: jobs can be called from Python with the same arguments."""

import errno
import json
import logging
import os
import sys
from typing import Any

import click

from tracktokens.pipelines.cli.encoder_options import (
    Share,
    audio_root_option,
    encoder_options,
    max_reject_rate_option,
    tracks_option,
    vector_sources,
)
from tracktokens.pipelines.cli.evaluate_command import add_evaluate_command
from tracktokens.pipelines.cli.match_command import add_match_command
from tracktokens.pipelines.cli.options import NonEmptyStr, launch_options, progress_runner, store_option
from tracktokens.pipelines.cli.refresh_commands import add_refresh_commands
from tracktokens.pipelines.cli.render_commands import add_render_commands
from tracktokens.pipelines.cli.store_commands import add_store_commands
from tracktokens.pipelines.cli.vocabulary_commands import add_vocabulary_commands
from tracktokens.schemas.errors import TracktokensError

EXIT_CODES = """\b
Exit codes:
  0  good
  1  a fault: ours, the machine's, or the runner's
  2  wrong usage, or an input that is not there
  3  the data was refused, and nothing was published; or verify found something
  4  the catalog has drifted past a limit; nothing was published
  5  another job writes the store, or has published meanwhile
"""


FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a full disk."""


class Cli(click.Group):
    """A group whose commands end with one line and the exit code of the error, and not with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except TracktokensError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            click.echo(f"error: {error}{_remedy(error)}", err=True)
            ctx.exit(1)


def _remedy(error: OSError) -> str:
    """What to do where that is known. Arrow and Beam put the system's words in texts of their own."""
    if error.errno in FULL or any(os.strerror(number) in str(error) for number in FULL):
        return ": make room and run the same command again, it goes on where it was; `tracktokens gc` tells what may go"
    return ""


@click.group(cls=Cli, epilog=EXIT_CODES)
@click.version_option(package_name="tracktokens")
def main() -> None:
    """Turn a music catalog into tokens that a language model can read and write."""
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s: %(message)s")  # libraries: errors only
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # it logs a traceback of what it then raises
    logging.getLogger("tracktokens").setLevel(logging.WARNING)


size_option = click.option(
    "--codebook-size", default=1024, show_default=True, help="Codes that the vocabulary reserves for each modality."
)
bundle_option = click.option(
    "--bundle", type=NonEmptyStr(), metavar="ID", help="Codebook bundle; the latest release's when not given."
)
catalog_option = click.option(
    "--catalog", type=NonEmptyStr(), metavar="ID", help="Catalog snapshot; the newest complete one when not given."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the sample and of k-means."
)
max_churn_option = click.option(
    "--max-churn",
    type=Share(),
    help="Share of a modality's tokens that may be another than in the latest release; nothing is published past it.",
)


@main.command()
@tracks_option
@click.option(
    "--playlists",
    type=NonEmptyStr(),
    metavar="PATH",
    help="Playlists: a file, folder or glob. Without it no track has a playlist token.",
)
@store_option
@audio_root_option
@encoder_options
@max_reject_rate_option
@max_churn_option
@size_option
@seed_option
@launch_options
def run(
    tracks: str,
    playlists: str | None,
    store: str,
    audio_root: str | None,
    max_reject_rate: float,
    max_churn: float | None,
    codebook_size: int,
    seed: int,
    workers: int,
    beam_options: tuple[str, ...],
    **sources: Any,
) -> None:
    """Tokenize a catalog: embed, playlists, train, tokenize and publish, one after the other.

    BEAM_OPTIONS come after `--` and go to Beam as they are, `--runner` among them.
    """
    from tracktokens.pipelines.analysis.report import seconds_table
    from tracktokens.pipelines.jobs.run import RunJob
    from tracktokens.pipelines.jobs.train import check_codebook_size
    from tracktokens.transforms.release.report import release_report

    check_codebook_size(codebook_size)
    chosen = vector_sources(audio_root, **sources)
    job = RunJob(
        tracks,
        store,
        chosen.encoders(),
        playlists,
        audio_root,
        codebook_size,
        max_reject_rate,
        seed,
        chosen.given(),
        max_churn,
    )
    with progress_runner(workers, beam_options) as (runner, display):
        outcome = job.run(runner, display.enter)
    display.console.print(release_report(outcome.release.metrics), seconds_table(outcome.seconds))
    click.echo(f"release: {outcome.release.folder}")


@main.command()
@tracks_option
@store_option
@audio_root_option
@encoder_options
@max_reject_rate_option
@launch_options
def embed(
    tracks: str,
    store: str,
    audio_root: str | None,
    max_reject_rate: float,
    workers: int,
    beam_options: tuple[str, ...],
    **sources: Any,
) -> None:
    """Scan a catalog into the store and encode what was never encoded. Prints the catalog snapshot's id."""
    from tracktokens.pipelines.jobs.embed import EmbedJob

    chosen = vector_sources(audio_root, **sources)
    job = EmbedJob(tracks, store, chosen.encoders(), audio_root, max_reject_rate, chosen.given())
    with progress_runner(workers, beam_options) as (runner, _):
        click.echo(job.run(runner).catalog_id)


@main.command()
@click.option("--playlists", required=True, type=NonEmptyStr(), metavar="PATH", help="Playlists: file, folder or glob.")
@click.option(
    "--from",
    "from_bundle",
    type=NonEmptyStr(),
    metavar="ID",
    help="Bundle whose playlist vectors to go on from, in their space; from nothing when not given.",
)
@store_option
@catalog_option
@launch_options
def playlists(
    playlists: str,
    from_bundle: str | None,
    store: str,
    catalog: str | None,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Learn playlist vectors for a catalog snapshot. Prints the encoder's id."""
    from tracktokens.pipelines.jobs.playlist_vectors import PlaylistsJob

    with progress_runner(workers, beam_options) as (runner, _):
        click.echo(PlaylistsJob(playlists, store, catalog, from_bundle=from_bundle).run(runner).encoder_id)


@main.command()
@store_option
@catalog_option
@size_option
@seed_option
@launch_options
def train(
    store: str, catalog: str | None, codebook_size: int, seed: int, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Learn a new codebook bundle from a catalog snapshot. Prints the bundle's id."""
    from tracktokens.pipelines.jobs.train import TrainJob

    with progress_runner(workers, beam_options) as (runner, _):
        click.echo(TrainJob(store, codebook_size, seed, catalog).run(runner).bundle_id)


@main.command()
@click.option(
    "--from", "from_bundle", type=NonEmptyStr(), metavar="ID", help="Older bundle; the latest release's when not given."
)
@store_option
@catalog_option
@seed_option
@launch_options
def retrain(
    from_bundle: str | None, store: str, catalog: str | None, seed: int, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Learn a bundle that goes on from another, so that tracks keep their tokens. Prints the bundle's id."""
    from tracktokens.pipelines.analysis.report import kept_table
    from tracktokens.pipelines.jobs.retrain import RetrainJob

    with progress_runner(workers, beam_options) as (runner, display):
        retrained = RetrainJob(store, from_bundle or _default_bundle(store), seed, catalog).run(runner)
    display.console.print(kept_table(retrained.kept, retrained.kept_without))
    click.echo(retrained.bundle.bundle_id)


@main.command()
@store_option
@bundle_option
@catalog_option
@launch_options
def tokenize(store: str, bundle: str | None, catalog: str | None, workers: int, beam_options: tuple[str, ...]) -> None:
    """Give every vector of a catalog snapshot its code. Prints how many codes were added."""
    from tracktokens.pipelines.jobs.tokenize import TokenizeJob

    with progress_runner(workers, beam_options) as (runner, _):
        counts = TokenizeJob(store, bundle or _default_bundle(store), catalog).run(runner)
    for modality, count in counts.items():
        click.echo(f"{modality} {count}")


@main.command()
@store_option
@bundle_option
@catalog_option
@max_churn_option
@launch_options
def publish(
    store: str,
    bundle: str | None,
    catalog: str | None,
    max_churn: float | None,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Publish a release of a tokenized catalog snapshot. Prints where it is."""
    from tracktokens.pipelines.jobs.publish import PublishJob
    from tracktokens.transforms.release.report import release_report

    with progress_runner(workers, beam_options) as (runner, display):
        release = PublishJob(store, bundle or _default_bundle(store), catalog, max_churn).run(runner)
    display.console.print(release_report(release.metrics))
    click.echo(release.folder)


@main.command()
@click.argument("folder", metavar="DIR")
@click.option(
    "--tracks", default=200, show_default=True, type=click.IntRange(20), help="Good tracks; bad rows come on top."
)
@click.option("--seed", default=0, show_default=True, help="Seed of everything in it.")
def demo(folder: str, tracks: int, seed: int) -> None:
    """Make a small catalog of invented music in DIR, with audio, playlists, conversations and some bad rows."""
    from tracktokens.pipelines.demo.catalog import make_demo

    made = make_demo(folder, tracks=tracks, seed=seed)
    click.echo(
        f"{made.track_count} tracks, {made.audio_file_count} audio files, {made.playlist_count} playlists and "
        f"{made.conversation_count} conversations, and some"
    )
    click.echo(f"bad rows and files to be rejected, in {made.folder}; what is true of them is in {made.truth}")


@main.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def diff(old: str, new: str, store: str, as_json: bool) -> None:
    """Show what changed between releases A and B: their ids, or those of bundles, whose newest releases are meant."""
    from rich.console import Console

    from tracktokens.pipelines.analysis.diff import diff_releases, diff_report

    found = diff_releases(store, old, new)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        Console().print(diff_report(found))


@main.command(name="inspect")
@click.argument("bundle", metavar="BUNDLE")
@click.argument("modality", required=False)
@click.argument("code", required=False, type=int)
@store_option
def inspect_bundle(bundle: str, modality: str | None, code: int | None, store: str) -> None:
    """Show what a BUNDLE is made of, the codes of a MODALITY, or what one CODE means."""
    from rich.console import Console

    from tracktokens.pipelines.analysis.inspect import Inspector, bundle_report, code_report, codes_report
    from tracktokens.transforms.store.layout import Store

    opened = Store.open(store)
    if modality is None:
        Console().print(bundle_report(opened, bundle))
        return
    inspector = Inspector(opened, bundle, modality)
    Console().print(codes_report(inspector.codes()) if code is None else code_report(modality, inspector.code(code)))


@main.command()
@store_option
def show(store: str) -> None:
    """Show tracks of the latest release with their tokens, and some with nothing in common but their audio token."""
    from tracktokens.pipelines.analysis.examples import examples
    from tracktokens.transforms.store.layout import Store

    found = examples(Store.open(store))
    for heading, rows in (("tracks and their tokens", found.complete), ("only the sound in common", found.sound_alike)):
        click.echo(f"\n{heading}:" if rows else f"\n{heading}: no such tracks here")
        for row in rows:
            click.echo(
                f"  {row['title'] or row['track_id']} - {row['artist'] or 'unknown artist'}\n    {row['tokens']}"
            )


def _default_bundle(store: str) -> str:
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.releases import default_bundle

    return default_bundle(Store.open(store))


add_refresh_commands(main)
add_evaluate_command(main)
add_render_commands(main)
add_store_commands(main)
add_match_command(main)
add_vocabulary_commands(main)

if __name__ == "__main__":
    sys.exit(main())
