"""The command ``import conversations``: conversations of published datasets about the tracks of a release."""

import click

from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    json_lines_option,
    json_option,
    release_option,
    store_option,
)
from tracktokens.pipelines.terminal import echo, format_json


@click.command(name="conversations")
@click.argument("path", metavar="FILE", type=NonEmptyStr())
@store_option
@release_option
@click.option(
    "--dataset",
    type=click.Choice(("cpcd", "talkplay")),
    required=True,
    help="cpcd: the Conversational Playlist Curation Dataset; talkplay: TalkPlayData-2, or the Music-CRS challenge.",
)
@json_lines_option
@click.option("--prefix", default="", metavar="TEXT", help="Text before the dataset's track ids in the catalog.")
@click.option(
    "--split",
    type=click.Choice(("train", "validation", "test")),
    help="Split of the file; without it, none is written.",
)
@json_option
def import_conversations_command(
    path: str, store: str, release: str | None, dataset: str, out: str, prefix: str, split: str | None, as_json: bool
) -> None:
    """Import FILE, JSON, JSON Lines or Parquet: conversations about the tracks of a release."""
    from tracktokens.pipelines.conversations.importers.import_conversations import import_conversations
    from tracktokens.transforms.store.user_files import is_standard_output

    stats = import_conversations(dataset, store, path, out, release=release, prefix=prefix, split=split)
    text = (
        f"{stats.read} read, {stats.written} written, {stats.rejected} rejected\n"
        f"{stats.tracks} recommended tracks, {stats.unknown_tracks} unknown, {stats.empty_messages} messages dropped"
    )
    echo(format_json(stats.to_json()) if as_json else text, err=is_standard_output(out))
