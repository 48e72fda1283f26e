"""The commands that bring tokens into a language model: ``vocabulary apply``."""

import click

from tracktokens.pipelines.cli.options import NonEmptyStr


@click.group(name="vocabulary")
def vocabulary_group() -> None:
    """Bring the tokens of a release into a language model."""


@vocabulary_group.command(name="apply")
@click.option(
    "--model", required=True, type=NonEmptyStr(), metavar="DIR", help="A causal language model and its tokenizer."
)
@click.option(
    "--release",
    type=NonEmptyStr(),
    metavar="R",
    help="Folder of a release, or its id; the latest of --store when not given.",
)
@click.option("--store", type=NonEmptyStr(), metavar="DIR", help="Store of the release, when it is not a folder.")
@click.option(
    "--out", required=True, type=NonEmptyStr(), metavar="DIR", help="New folder for the model with the tokens."
)
@click.option(
    "--init",
    type=click.Choice(["mean", "centroid"]),
    default="mean",
    show_default=True,
    help="Rows of new tokens: the mean of the old ones, or the centroids laid into their space.",
)
@click.option(
    "--pad-to-multiple-of",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="The embeddings get a multiple of so many rows.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of noise and rotation.")
def apply_command(
    model: str, release: str | None, store: str | None, out: str, init: str, pad_to_multiple_of: int, seed: int
) -> None:
    """Add the tokens of a release to a model's tokenizer and embeddings, and write it to another folder."""
    from tracktokens.pipelines.llm.extend_model import apply_to_folder, extension_report, read_token_release
    from tracktokens.transforms.store.releases import release_folder

    chosen = read_token_release(release_folder(release, store))
    applied = apply_to_folder(model, out, chosen, init=init, pad_to_multiple_of=pad_to_multiple_of, seed=seed)
    for name, value in extension_report(applied).items():
        click.echo(f"{name}: {value}")


def add_vocabulary_commands(group: click.Group) -> None:
    """Add these commands to the command line."""
    group.add_command(vocabulary_group)
