"""The command ``demo``: write a small invented catalog."""

import click

from tracktokens.pipelines.cli.options.common import NonEmptyStr
from tracktokens.pipelines.terminal import echo


@click.command(name="demo")
@click.argument("folder", metavar="DIR", type=NonEmptyStr())
@click.option("--tracks", default=200, type=click.IntRange(20), help="Good tracks; bad rows are added to them.")
@click.option("--seed", default=0, help="Seed of the whole catalog.")
def demo_command(folder: str, tracks: int, seed: int) -> None:
    """Write a small catalog of invented music to DIR, with audio, playlists, conversations and some bad rows."""
    from tracktokens.pipelines.demo.catalog import make_demo

    made = make_demo(folder, tracks=tracks, seed=seed)
    echo(
        f"{made.track_count} tracks, {made.audio_file_count} audio files, {made.playlist_count} playlists and "
        f"{made.conversation_count} conversations, and some"
    )
    echo(f"bad rows and files that will be rejected, in {made.folder}; the true labels are in {made.truth}")
