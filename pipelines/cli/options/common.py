"""Options that several commands share, and the runner of a command's jobs."""

import logging
import reprlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tracktokens.pipelines import local_worker
from tracktokens.pipelines.catalog_source import (
    MAX_LOST,
    MAX_LOST_HELP,
    MAX_REJECT_RATE,
    MAX_REMOVED,
    MAX_REMOVED_HELP,
    REJECT_RATE_HELP,
)
from tracktokens.pipelines.stop_signals import AGAIN, advise, last_step
from tracktokens.pipelines.terminal import make_console
from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from tracktokens.pipelines.progress_display import ProgressDisplay
    from tracktokens.pipelines.runner import PipelineRunner

Command = TypeVar("Command", bound=Callable[..., Any])

RENAMED_OPTIONS = {
    "vectors": "embeddings",
    "vectors-id": "embeddings-version",
    "vectors-column": "embeddings-column",
    "from": "from-bundle",
}
"""Old option to the option that replaces it, without dashes at the start."""

_logger = logging.getLogger(__name__)


def current_name(name: str) -> str:
    """Return the present name of an option, without dashes at the start; warn of an old name."""
    new = RENAMED_OPTIONS.get(name, name)
    if new != name:
        _logger.warning("the option %s is now called %s: use the new name", name, new)
    return new


class NonEmptyStr(click.ParamType[str]):
    """A text that is not empty: an unset shell variable must not mean the current folder."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Fail for an empty text."""
        if not value.strip():
            self.fail("is empty", param, ctx)
        return value


class OutputFile(NonEmptyStr):
    """A file to write; ``-`` is standard output."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Give standard output its name as a file."""
        return "/dev/stdout" if value == "-" else super().convert(value, param, ctx)


class Share(click.FloatRange):
    """A number from 0 to 1; NaN fails."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Fail for NaN, which passes every comparison of a range."""
        share = float(super().convert(value, param, ctx))
        if share != share:
            self.fail("is not a number", param, ctx)
        return share


class Weights(click.ParamType[tuple[float, ...]]):
    """Matching weights, ``MODALITY=WEIGHT,...``, as five numbers in token order. Other modalities keep the default."""

    name = "text"

    def convert(
        self, value: str | tuple[float, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Parse the pairs; fail for values that are not weights."""
        from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS, checked_weights
        from tracktokens.schemas.modalities import MODALITIES

        if isinstance(value, tuple):
            return value
        try:
            given = _parse_weights(value)
            weights = [given.get(name, weight) for name, weight in zip(MODALITIES, MATCHING_WEIGHTS, strict=True)]
            checked_weights(weights)
        except ValueError:
            self.fail(
                f"{reprlib.repr(value)} is not MODALITY=WEIGHT,... with some of "
                f"{', '.join(MODALITIES)}, each once, no weight below 0, one above, and a sum that is finite",
                param,
                ctx,
            )
        return tuple(weights)


def _parse_weights(text: str) -> dict[str, float]:
    """Parse ``MODALITY=WEIGHT,...``; raise a ValueError for another text, or a modality that occurs twice."""
    from tracktokens.schemas.modalities import MODALITIES

    pairs = [pair.partition("=") for pair in text.split(",")]
    weights = {MODALITIES[MODALITIES.index(name.strip())]: float(weight) for name, _, weight in pairs}
    if len(weights) < len(pairs):
        raise ValueError(f"{text} has a modality twice")
    return weights


def options(*chosen: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Combine options into one decorator."""

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
    help="Folder of all that tracktokens writes; created when it does not exist.",
)
release_option = click.option(
    "--release", type=NonEmptyStr(), metavar="ID", help="Release to read; the latest by default."
)
snapshot_option = click.option(
    "--snapshot",
    "--catalog",  # its former name, which is also that of an imported folder
    "snapshot",
    type=NonEmptyStr(),
    metavar="ID",
    help="Catalog snapshot; the newest complete one by default.",
)


def walk_commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, each with its name: ``""`` for the first, such as ``releases list`` below."""
    yield name, command
    if isinstance(command, click.Group):
        for inner_name, inner in command.commands.items():
            yield from walk_commands(inner, f"{name} {inner_name}".strip())


def full_catalog_id(store: str, given: str | None, runner: "PipelineRunner") -> str | None:
    """Complete the id of ``--snapshot``, which may be its beginning or ``latest``; None where it is not given.

    Raises:
        UsageError: the workers of the runner cannot read the store, or it has no such snapshot.
    """
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.snapshots import find_catalog_id

    runner.check_reachable({"store": store})
    return None if given is None else find_catalog_id(Store.open(store), given)


def full_bundle_id(store: str, given: str | None, runner: "PipelineRunner") -> str | None:
    """Complete the id of a bundle, which may be its beginning or ``latest``; None where it is not given.

    Raises:
        UsageError: the workers of the runner cannot read the store, or it has no such bundle.
    """
    from tracktokens.transforms.store.bundles import find_bundle_id
    from tracktokens.transforms.store.layout import Store

    runner.check_reachable({"store": store})
    return None if given is None else find_bundle_id(Store.open(store), given)


metrics_file_option = click.option(
    "--metrics-file",
    type=NonEmptyStr(),
    metavar="FILE.prom",
    help="Write figures of the published release for the textfile collector of Prometheus' node exporter.",
)
max_reject_rate_option = click.option("--max-reject-rate", type=Share(), default=MAX_REJECT_RATE, help=REJECT_RATE_HELP)
max_lost_option = click.option("--max-lost", type=Share(), default=MAX_LOST, help=MAX_LOST_HELP)
max_removed_option = click.option("--max-removed", type=Share(), default=MAX_REMOVED, help=MAX_REMOVED_HELP)
weights_option = click.option(
    "--weights",
    type=Weights(),
    metavar="MODALITY=WEIGHT,...",
    help="Weights of modalities; the others keep their default of 25, 5, 5, 1, 1 in token order.",
)
json_lines_option = click.option(
    "--out",
    required=True,
    type=OutputFile(),
    metavar="FILE",
    help="JSON Lines file to write; - is standard output.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
runner_options = options(
    click.option("--workers", default=1, type=click.IntRange(1), help="Worker processes on this machine."),
    click.argument("beam_options", nargs=-1, type=click.UNPROCESSED),
)


@contextmanager
def runner_with_progress(
    workers: int, beam_options: tuple[str, ...], advice: str = AGAIN
) -> "Iterator[tuple[PipelineRunner, ProgressDisplay]]":
    """Make the runner of a command's jobs, and show their progress on standard error while a block runs.

    Args:
        workers: worker processes on this machine.
        beam_options: Beam's own options.
        advice: what to do after Ctrl-C.

    Raises:
        UsageError: a Beam option is not one.
    """
    if workers > 1 and not beam_options:
        local_worker.fork_server.start()  # it imports Beam while this process does
    from tracktokens.pipelines.progress_display import show_progress
    from tracktokens.pipelines.runner import PipelineRunner
    from tracktokens.transforms.store.writer_lock import release_leases

    advise(advice)
    if beam_options and not beam_options[0].startswith("-"):
        raise UsageError(
            f"{beam_options[0]} is not an option: give Beam's options after `--`, and all others before it"
        )
    with show_progress(make_console(stderr=True)) as display, last_step(release_leases):
        yield PipelineRunner(workers, beam_options, display.progress), display
