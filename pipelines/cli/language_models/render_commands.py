"""The commands that write training texts: ``render tracks`` and ``render conversations``."""

from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.options.common import NonEmptyStr, options, release_option, store_option

if TYPE_CHECKING:
    from tracktokens.pipelines.llm.render import RenderStats

render_options = options(
    store_option,
    release_option,
    click.option("--out", required=True, type=NonEmptyStr(), metavar="FILE", help="JSON Lines file to write."),
)


@click.group(name="render")
def render_group() -> None:
    """Write training texts with the tokens of a release."""


@render_group.command(name="tracks")
@render_options
def tracks_command(store: str, release: str | None, out: str) -> None:
    """Write one line per track: its title and artist, and its tokens."""
    from tracktokens.pipelines.llm.render import render_tracks

    _print_stats(render_tracks(store, out, release), out)


@render_group.command(name="conversations")
@click.argument("conversations", metavar="FILE", type=NonEmptyStr())
@render_options
def conversations_command(conversations: str, store: str, release: str | None, out: str) -> None:
    """Write the conversations of FILE, JSON Lines with `messages`, with the tokens of the tracks that they name."""
    from tracktokens.pipelines.llm.render import render_conversations

    _print_stats(render_conversations(store, conversations, out, release), out)


def _print_stats(stats: "RenderStats", out: str) -> None:
    """Print the counts: on standard error if the texts are on standard output."""
    from tracktokens.transforms.store.user_files import is_standard_output

    counts = f"{stats.read} read, {stats.written} written, {stats.rejected} rejected"
    click.echo(counts, err=is_standard_output(out))
