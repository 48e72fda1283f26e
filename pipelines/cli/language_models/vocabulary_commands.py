"""The commands that add tokens to a language model: ``vocabulary apply``."""

import click

from tracktokens.pipelines.cli.options.common import NonEmptyStr, json_option
from tracktokens.pipelines.terminal import echo, format_json
from tracktokens.schemas.errors import UsageError


@click.group(name="vocabulary")
def vocabulary_group() -> None:
    """Add the tokens of a release to a language model."""


@vocabulary_group.command(name="apply")
@click.option(
    "--model", required=True, type=NonEmptyStr(), metavar="DIR", help="Causal language model with its tokenizer."
)
@click.option(
    "--release",
    type=NonEmptyStr(),
    metavar="R",
    help="Folder of a release, or its id; the latest of --store by default.",
)
@click.option("--store", type=NonEmptyStr(), metavar="DIR", help="Store of the release.")
@click.option(
    "--out", required=True, type=NonEmptyStr(), metavar="DIR", help="New folder for the model with the tokens."
)
@click.option(
    "--init",
    type=click.Choice(["mean", "centroid", "text"]),
    help="Rows of new tokens: the mean of the old rows, the centroids rotated into their space, or the rows of the "
    "words that distinguish a code. text with --store by default, else mean.",
)
@click.option(
    "--pad-to-multiple-of",
    type=click.IntRange(1),
    default=64,
    help="Pad the embeddings to a multiple of this many rows.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the noise and the rotation.")
@json_option
def apply_command(
    model: str,
    release: str | None,
    store: str | None,
    out: str,
    init: str | None,
    pad_to_multiple_of: int,
    seed: int,
    as_json: bool,
) -> None:
    """Add the tokens of a release to a model's tokenizer and embeddings, and write the model to a new folder."""
    from tracktokens.pipelines.llm.extend_model import apply_to_folder, extension_report, read_token_release
    from tracktokens.transforms.store.releases import release_folder
    from tracktokens.transforms.store.user_files import check_outside

    folder = release_folder(release, store)
    for read in filter(None, (store, folder)):
        check_outside(out, read)
    init = init or ("mean" if store is None else "text")
    if init == "text" and store is None:
        raise UsageError("--init text needs --store, whose catalog has the words of the codes")
    chosen = read_token_release(folder, words_from=store if init == "text" else None)
    applied = apply_to_folder(model, out, chosen, init=init, pad_to_multiple_of=pad_to_multiple_of, seed=seed)
    report = extension_report(applied)
    if as_json:
        echo(format_json({name.replace(" ", "_"): value for name, value in report.items()}))
        return
    for name, value in report.items():
        echo(f"{name}: {value}")
