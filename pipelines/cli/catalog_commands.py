"""The commands that read a catalog into a store: ``run``, ``embed`` and ``playlists``."""

import click

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli.codebook_commands import (
    codebook_size_option,
    further_token_options,
    max_churn_option,
    new_vocabulary_option,
    seed_option,
)
from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    full_bundle_id,
    full_catalog_id,
    max_reject_rate_option,
    metrics_file_option,
    runner_options,
    runner_with_progress,
    snapshot_option,
    store_option,
)
from tracktokens.pipelines.cli.options.config_file import config_option
from tracktokens.pipelines.cli.options.encoder_options import source_options
from tracktokens.pipelines.cli.outcome import show_outcome
from tracktokens.pipelines.jobs.metrics_file import check_metrics_file
from tracktokens.pipelines.released_options import read_vector_options
from tracktokens.pipelines.stop_signals import KEPT
from tracktokens.pipelines.terminal import echo
from tracktokens.schemas.playlist_encoders import PLAYLIST_ENCODERS
from tracktokens.schemas.token_format import FurtherTokens


@click.command(name="run")
@config_option
@store_option
@source_options(remembered=read_vector_options)
@max_churn_option
@codebook_size_option
@further_token_options
@new_vocabulary_option
@seed_option
@click.option(
    "--playlist-encoder",
    type=click.Choice(PLAYLIST_ENCODERS),
    help="Encoder of the playlists; auto trains each that is installed and keeps the best. The latest release's by "
    "default, else word2vec.",
)
@metrics_file_option
@click.option(
    "--codebooks-from",
    type=NonEmptyStr(),
    metavar="DIR",
    help="Another store, whose codebooks a new store takes: its tokens keep their numbers and meanings.",
)
@runner_options
def run_command(
    source: CatalogSource,
    store: str,
    max_churn: float | None,
    codebook_size: int | None,
    tokens: FurtherTokens,
    new_vocabulary: bool,
    seed: int,
    playlist_encoder: str | None,
    codebooks_from: str | None,
    metrics_file: str | None,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Tokenize a catalog: embed, playlists, train, tokenize and publish in a row.

    In a store with a release, the codebook size, the encoders and the embeddings that are not given are the release's.

    BEAM_OPTIONS follow `--` and are passed to Beam unchanged, including `--runner`.
    """
    from tracktokens.pipelines.jobs.run import RunJob

    if metrics_file is not None:
        check_metrics_file(metrics_file, store)
    job = RunJob(
        source=source,
        store=store,
        codebook_size=codebook_size,
        seed=seed,
        playlist_encoder=playlist_encoder,
        max_churn=max_churn,
        tokens=tokens,
        new_vocabulary=new_vocabulary,
        codebooks_from=codebooks_from,
    )
    with runner_with_progress(workers, beam_options, KEPT) as (runner, display):
        outcome = job.run(runner, display.start_stage)
    show_outcome(outcome, display, metrics_file)


@click.command(name="embed")
@config_option
@store_option
@source_options(leave_out=("playlists",), remembered=read_vector_options)
@runner_options
def embed_command(source: CatalogSource, store: str, workers: int, beam_options: tuple[str, ...]) -> None:
    """Scan a catalog into the store, and encode the inputs that are not encoded yet. Prints the snapshot's id.

    In a store with a release, the encoders and the embeddings that are not given are the release's.
    """
    from tracktokens.pipelines.jobs.embed import EmbedJob

    with runner_with_progress(workers, beam_options, KEPT) as (runner, _):
        echo(EmbedJob(source=source, store=store).run(runner).catalog_id)


@click.command(name="playlists")
@click.option("--playlists", required=True, type=NonEmptyStr(), metavar="PATH", help="Playlists: file, folder or glob.")
@click.option(
    "--from-bundle",
    type=NonEmptyStr(),
    metavar="ID",
    help="Bundle whose playlist vectors the training starts with, if of its kind; by default it starts from scratch.",
)
@click.option(
    "--playlist-encoder",
    type=click.Choice(PLAYLIST_ENCODERS),
    help="Encoder; auto trains each that is installed and keeps the best. The bundle's by default, else word2vec.",
)
@store_option
@snapshot_option
@max_reject_rate_option
@runner_options
def playlists_command(
    playlists: str,
    playlist_encoder: str | None,
    from_bundle: str | None,
    store: str,
    snapshot: str | None,
    max_reject_rate: float,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Learn playlist vectors for a catalog snapshot. Prints the encoder's id."""
    from tracktokens.pipelines.jobs.playlist_vectors import PlaylistsJob

    with runner_with_progress(workers, beam_options) as (runner, _):
        job = PlaylistsJob(
            playlists=playlists,
            store=store,
            catalog_id=full_catalog_id(store, snapshot, runner),
            encoder=playlist_encoder,
            from_bundle=full_bundle_id(store, from_bundle, runner),
            max_reject_rate=max_reject_rate,
        )
        echo(job.run(runner).encoder_id)
