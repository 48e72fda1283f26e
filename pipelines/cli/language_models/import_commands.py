"""The commands ``import cpcd`` and ``import talkplay``: conversations of published datasets."""

import click

from tracktokens.pipelines.cli.options.common import NonEmptyStr, json_option, options, release_option, store_option
from tracktokens.pipelines.terminal import format_json

import_options = options(
    click.argument("path", metavar="FILE", type=NonEmptyStr()),
    store_option,
    release_option,
    click.option("--out", required=True, type=NonEmptyStr(), metavar="FILE", help="JSON Lines file to write."),
    click.option("--prefix", default="", metavar="TEXT", help="Text before the dataset's track ids in the catalog."),
    click.option(
        "--split",
        type=click.Choice(("train", "validation", "test")),
        help="Split of the file; without it, none is written.",
    ),
    json_option,
)


@click.group(name="import")
def import_group() -> None:
    """Import conversations of published datasets about the tracks of a release."""


@import_group.command(name="cpcd")
@import_options
def cpcd_command(
    path: str, store: str, release: str | None, out: str, prefix: str, split: str | None, as_json: bool
) -> None:
    """Import FILE of the Conversational Playlist Curation Dataset: the results that users liked are recommendations."""
    _import("cpcd", path, store, release, out, prefix, split, as_json)


@import_group.command(name="talkplay")
@import_options
def talkplay_command(
    path: str, store: str, release: str | None, out: str, prefix: str, split: str | None, as_json: bool
) -> None:
    """Import FILE of TalkPlayData-2 or of the Music-CRS challenge: JSON, JSON Lines or Parquet."""
    _import("talkplay", path, store, release, out, prefix, split, as_json)


def _import(
    dataset: str, path: str, store: str, release: str | None, out: str, prefix: str, split: str | None, as_json: bool
) -> None:
    from tracktokens.pipelines.conversations.importers.import_conversations import import_conversations
    from tracktokens.transforms.store.user_files import is_standard_output

    stats = import_conversations(dataset, store, path, out, release=release, prefix=prefix, split=split)
    text = (
        f"{stats.read} read, {stats.written} written, {stats.rejected} rejected\n"
        f"{stats.tracks} recommended tracks, {stats.unknown_tracks} unknown, {stats.empty_messages} messages dropped"
    )
    click.echo(format_json(stats.to_json()) if as_json else text, err=is_standard_output(out))
