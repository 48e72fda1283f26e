"""The commands that write training texts: ``render tracks`` and ``render conversations``."""

from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.options import NonEmptyStr, options, store_option

if TYPE_CHECKING:
    from tracktokens.pipelines.llm.render import RenderStats

render_options = options(
    store_option,
    click.option(
        "--release", type=NonEmptyStr(), metavar="ID", help="Release whose tokens are used; the latest when not given."
    ),
    click.option("--out", required=True, type=NonEmptyStr(), metavar="FILE", help="JSON Lines."),
)


@click.group(name="render")
def render_group() -> None:
    """Write training texts with the tokens of a release."""


@render_group.command(name="tracks")
@render_options
def tracks_command(store: str, release: str | None, out: str) -> None:
    """Write a line a track: its title and artist, and its tokens."""
    from tracktokens.pipelines.llm.render import render_tracks

    _tell(render_tracks(store, out, release))


@render_group.command(name="conversations")
@click.argument("conversations", metavar="FILE", type=NonEmptyStr())
@render_options
def conversations_command(conversations: str, store: str, release: str | None, out: str) -> None:
    """Write the conversations of FILE, JSON Lines with `messages`, with tokens for the tracks that they name."""
    from tracktokens.pipelines.llm.render import render_conversations

    _tell(render_conversations(store, conversations, out, release))


def add_render_commands(main: click.Group) -> None:
    """Put the commands under the main one."""
    main.add_command(render_group)


def _tell(written: "RenderStats") -> None:
    click.echo(f"{written.read} read, {written.written} written, {written.rejected} rejected")
