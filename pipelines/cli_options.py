"""Options that commands share, and how a command runs its jobs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from tracktokens.pipelines.launch import Launch
    from tracktokens.pipelines.monitor import Monitor

Command = TypeVar("Command", bound=Callable[..., Any])


class Given(click.ParamType[str]):
    """A text that is not empty: what an unset shell variable leaves would else stand for the folder at hand."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse the empty text."""
        if not value.strip():
            self.fail("is empty", param, ctx)
        return value


def options(*chosen: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Put options together to one decorator."""

    def add(command: Command) -> Command:
        for option in reversed(chosen):
            command = option(command)
        return command

    return add


store_option = click.option(
    "--store", required=True, type=Given(), metavar="DIR", help="Where everything is kept; made when it is not there."
)
launch_options = options(
    click.option(
        "--workers", default=1, show_default=True, type=click.IntRange(1), help="Worker processes on this machine."
    ),
    click.argument("beam_options", nargs=-1, type=click.UNPROCESSED),
)


@contextmanager
def launched(workers: int, beam_options: tuple[str, ...]) -> "Iterator[tuple[Launch, Monitor]]":
    """How jobs are run, with their progress on standard error."""
    from rich.console import Console

    from tracktokens.pipelines.launch import Launch
    from tracktokens.pipelines.monitor import monitored

    if beam_options and not beam_options[0].startswith("-"):
        raise UsageError(
            f"{beam_options[0]} is not an option: give Beam's options after `--`, and all others before it"
        )
    with monitored(Console(stderr=True)) as monitor:
        yield Launch(workers, beam_options, monitor.board), monitor
