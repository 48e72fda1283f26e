"""The commands from vectors to a release: ``train``, ``retrain``, ``tokenize`` and ``publish``."""

import click

from tracktokens.pipelines.cli.options import (
    NonEmptyStr,
    Share,
    catalog_option,
    runner_options,
    runner_with_progress,
    store_option,
)

codebook_size_option = click.option(
    "--codebook-size", default=1024, show_default=True, help="Codes that the vocabulary reserves per modality."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the sample and of k-means."
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
@catalog_option
@codebook_size_option
@seed_option
@runner_options
def train_command(
    store: str, catalog: str | None, codebook_size: int, seed: int, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Learn a new codebook bundle from a catalog snapshot. Prints the bundle's id."""
    from tracktokens.pipelines.jobs.train import TrainJob

    job = TrainJob(store=store, codebook_size=codebook_size, seed=seed, catalog_id=catalog)
    with runner_with_progress(workers, beam_options) as (runner, _):
        click.echo(job.run(runner).bundle_id)


@click.command(name="retrain")
@click.option("--from-bundle", type=NonEmptyStr(), metavar="ID", help="Older bundle; the latest release's by default.")
@store_option
@catalog_option
@seed_option
@runner_options
def retrain_command(
    from_bundle: str | None, store: str, catalog: str | None, seed: int, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Learn a bundle that continues an older one, so that tracks keep their tokens. Prints the bundle's id."""
    from tracktokens.pipelines.analysis.report import kept_table
    from tracktokens.pipelines.jobs.retrain import RetrainJob

    with runner_with_progress(workers, beam_options) as (runner, display):
        bundle_id = from_bundle or _default_bundle(store)
        retrained = RetrainJob(store=store, from_bundle=bundle_id, seed=seed, catalog_id=catalog).run(runner)
    display.console.print(kept_table(retrained.kept, retrained.kept_without))
    click.echo(retrained.bundle.bundle_id)


@click.command(name="tokenize")
@store_option
@bundle_option
@catalog_option
@runner_options
def tokenize_command(
    store: str, bundle: str | None, catalog: str | None, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Assign a code to every vector of a catalog snapshot. Prints the number of new codes per modality."""
    from tracktokens.pipelines.jobs.tokenize import TokenizeJob

    with runner_with_progress(workers, beam_options) as (runner, _):
        bundle_id = bundle or _default_bundle(store)
        counts = TokenizeJob(store=store, bundle_id=bundle_id, catalog_id=catalog).run(runner)
    for modality, count in counts.items():
        click.echo(f"{modality} {count}")


@click.command(name="publish")
@store_option
@bundle_option
@catalog_option
@max_churn_option
@runner_options
def publish_command(
    store: str,
    bundle: str | None,
    catalog: str | None,
    max_churn: float | None,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Publish a release of a tokenized catalog snapshot. Prints the release's folder."""
    from tracktokens.pipelines.jobs.publish import PublishJob
    from tracktokens.transforms.release.report import release_report

    with runner_with_progress(workers, beam_options) as (runner, display):
        bundle_id = bundle or _default_bundle(store)
        job = PublishJob(store=store, bundle_id=bundle_id, catalog_id=catalog, max_churn=max_churn)
        release = job.run(runner)
    display.console.print(release_report(release.metrics))
    click.echo(release.folder)


def _default_bundle(store: str) -> str:
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.releases import default_bundle

    return default_bundle(Store.open(store))
