"""Options that commands share, and how a command runs its jobs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from tracktokens.pipelines.progress_display import ProgressDisplay
    from tracktokens.pipelines.runner import PipelineRunner

Command = TypeVar("Command", bound=Callable[..., Any])


class NonEmptyStr(click.ParamType[str]):
    """A text that is not empty: what an unset shell variable leaves would else stand for the folder at hand."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse the empty text."""
        if not value.strip():
            self.fail("is empty", param, ctx)
        return value


class Weights(click.ParamType[tuple[float, ...]]):
    """Weights of matching, ``MODALITY=WEIGHT,...``, as five in token order. Those that are not named are the usual."""

    name = "text"

    def convert(
        self, value: str | tuple[float, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Read the pairs, and refuse what are no weights."""
        from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS, checked_weights
        from tracktokens.schemas.modalities import MODALITIES

        if isinstance(value, tuple):
            return value
        weights = dict(zip(MODALITIES, MATCHING_WEIGHTS, strict=True))
        try:
            for pair in value.split(","):
                modality, _, weight = pair.partition("=")
                weights[MODALITIES[MODALITIES.index(modality.strip())]] = float(weight)
            checked_weights(list(weights.values()))
        except ValueError:
            self.fail(
                f"{value!r} is not MODALITY=WEIGHT,... with some of {', '.join(MODALITIES)}, no weight below 0 and "
                "one above",
                param,
                ctx,
            )
        return tuple(weights.values())


def options(*chosen: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Put options together to one decorator."""

    def add(command: Command) -> Command:
        for option in reversed(chosen):
            command = option(command)
        return command

    return add


store_option = click.option(
    "--store",
    required=True,
    type=NonEmptyStr(),
    metavar="DIR",
    help="Where everything is kept; made when it is not there.",
)
weights_option = click.option(
    "--weights",
    type=Weights(),
    metavar="MODALITY=WEIGHT,...",
    help="Weights of modalities; those that are not named keep 25, 5, 5, 1, 1 in token order.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
launch_options = options(
    click.option(
        "--workers", default=1, show_default=True, type=click.IntRange(1), help="Worker processes on this machine."
    ),
    click.argument("beam_options", nargs=-1, type=click.UNPROCESSED),
)


@contextmanager
def progress_runner(workers: int, beam_options: tuple[str, ...]) -> "Iterator[tuple[PipelineRunner, ProgressDisplay]]":
    """How jobs are run, with their progress on standard error."""
    from rich.console import Console

    from tracktokens.pipelines.progress_display import show_progress
    from tracktokens.pipelines.runner import PipelineRunner

    if beam_options and not beam_options[0].startswith("-"):
        raise UsageError(
            f"{beam_options[0]} is not an option: give Beam's options after `--`, and all others before it"
        )
    with show_progress(Console(stderr=True)) as display:
        yield PipelineRunner(workers, beam_options, display.progress), display
