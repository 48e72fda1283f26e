"""The command ``recommend``: tracks for the conversations of a file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from tracktokens.pipelines.cli.language_models.reply_options import reply_options
from tracktokens.pipelines.cli.options.common import NonEmptyStr, json_lines_option
from tracktokens.pipelines.terminal import echo, make_console


@click.command(name="recommend")
@click.argument("conversations", metavar="FILE", type=NonEmptyStr())
@reply_options
@json_lines_option
@click.option("--top", default=10, type=click.IntRange(1), help="Number of tracks per conversation.")
@click.option(
    "--batch-size",
    default=8,
    type=click.IntRange(1),
    help="Conversations that the model reads together.",
)
def recommend_command(
    conversations: str,
    model: str,
    store: str,
    release: str | None,
    beams: int | None,
    max_new_tokens: int,
    min_tracks: int,
    precision: str,
    out: str,
    top: int,
    batch_size: int,
) -> None:
    """Recommend tracks for each conversation of FILE, JSON Lines with `messages`."""
    from tracktokens.pipelines.llm.recommend import recommend_file, rejects_path
    from tracktokens.serving.generation.recommender import Recommender, ReplyOptions
    from tracktokens.transforms.store.releases import release_folder
    from tracktokens.transforms.store.user_files import check_input, check_output, is_standard_output

    options = ReplyOptions(top, min_tracks, max_new_tokens, beams)
    check_input(conversations, "conversations")
    for output in (out, rejects_path(out)):
        check_output(output, [conversations], store)
    recommender = Recommender.open(model, release_folder(release, store), precision=precision)
    with _progress() as advance:
        stats = recommend_file(recommender, conversations, out, options, batch_size, advance)
    counts = f"{stats.read} read, {stats.written} written, {stats.rejected} rejected"
    echo(counts, err=is_standard_output(out))


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show the number of conversations that are done, and their rate, on a terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = make_console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} conversations"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done: progress.update(task, completed=done)
