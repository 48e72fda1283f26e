"""The commands that write training texts: ``render training``, ``render tracks`` and ``render conversations``."""

from typing import TYPE_CHECKING, Any

import click

from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    Share,
    json_lines_option,
    json_option,
    options,
    release_option,
    store_option,
)
from tracktokens.pipelines.terminal import echo, format_json, make_console

if TYPE_CHECKING:
    from tracktokens.pipelines.llm.render import RenderStats
    from tracktokens.pipelines.training_data.render_training import TrainingResult

render_options = options(
    store_option,
    release_option,
    json_lines_option,
)


@click.group(name="render")
def render_group() -> None:
    """Write training texts with the tokens of a release."""


class Mix(click.ParamType[dict[str, float]]):
    """Rows per source of some tasks, ``TASK=RATE,...``."""

    name = "text"

    def convert(
        self, value: str | dict[str, float], param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float]:
        """Parse the pairs; fail for tasks that do not exist, or twice, and for rates that are not rates."""
        from tracktokens.pipelines.training_data.sampling import complete_mix

        if isinstance(value, dict):
            return value
        pairs = [pair.partition("=") for pair in value.split(",")]
        try:
            given = {task.strip(): float(rate) for task, _, rate in pairs}
            complete_mix(given)
        except ValueError as error:
            self.fail(f"{value!r} is not TASK=RATE,...: {error}", param, ctx)
        if len(given) < len(pairs):
            self.fail(f"{value!r} has a task twice", param, ctx)
        return given


@render_group.command(name="training")
@store_option
@release_option
@click.option("--tracks", type=NonEmptyStr(), metavar="PATH", help="Table of tracks with lyrics, for lines of them.")
@click.option("--playlists", type=NonEmptyStr(), metavar="PATH", help="Table of playlists to continue.")
@click.option(
    "--conversations",
    multiple=True,
    type=NonEmptyStr(),
    metavar="FILE",
    help="JSON Lines of conversations; may be given several times.",
)
@click.option(
    "--trainer",
    type=click.Choice(["trl", "llama-factory", "axolotl"]),
    default="trl",
    help="Trainer that reads the files.",
)
@click.option(
    "--shape",
    type=click.Choice(["prompt-completion", "messages"]),
    default="prompt-completion",
    help="Form of a row for trl; `messages` needs a chat template with generation marks.",
)
@click.option(
    "--model", type=NonEmptyStr(), metavar="DIR", help="Model whose chat template `messages` are checked for."
)
@click.option(
    "--mix",
    type=Mix(),
    default={},
    metavar="TASK=RATE,...",
    help="Rows per track, code, playlist or turn; 0 leaves a task out. Other tasks keep their default.",
)
@click.option("--permute", is_flag=True, help="Write the tokens of half of the rows in another order, named in words.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the phrasings and samples.")
@click.option("--validation-share", type=Share(), default=0.05, help="Share of the validation file.")
@click.option("--test-share", type=Share(), default=0.05, help="Share of the test file.")
@click.option("--out", required=True, type=NonEmptyStr(), metavar="DIR", help="New folder for the files.")
@json_option
def training_command(as_json: bool, **chosen: Any) -> None:
    """Write train, validation and test files of all tasks for a trainer of language models."""
    from tracktokens.pipelines.training_data.render_training import render_training
    from tracktokens.pipelines.training_data.training_options import TrainingOptions

    result = render_training(TrainingOptions(**chosen))
    if as_json:
        echo(format_json(result.summary))
    else:
        _print_training(result, chosen["out"])


def _print_training(result: "TrainingResult", out: str) -> None:
    """Print the rows per task and split, the counts of the inputs, and the tasks without rows."""
    from rich.table import Table

    counts = result.summary["counts"]
    table = Table("task", *(f"{split}.jsonl" for split in counts))
    for task in dict.fromkeys(task for tasks in counts.values() for task in tasks):
        table.add_row(task, *(str(tasks.get(task, 0)) for tasks in counts.values()))
    make_console().print(table)
    for name, counted in result.summary["inputs"].items():
        echo(f"{name}: {', '.join(f'{count} {what}'.replace('_', ' ') for what, count in counted.items())}")
    for task, reason in result.left_out.items():
        echo(f"left out: {task}: {reason}")
    if result.summary["permute"]:
        echo(f"rows in another token order: {result.summary['permuted_rows']}")
    echo(f"rejects: {result.summary['rejects']}")
    echo(out)


@render_group.command(name="tracks")
@render_options
def tracks_command(store: str, release: str | None, out: str) -> None:
    """Write one line per track: its title and artist as the prompt, and its tokens as the completion."""
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
    echo(counts, err=is_standard_output(out))
