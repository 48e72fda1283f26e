"""Check Beam's own options, of which Beam ignores those that it does not know."""

from __future__ import annotations

import argparse
import difflib
import logging
from collections.abc import Iterator, Sequence
from typing import TypeVar

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, PortableOptions, StandardOptions

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.runtime.threads import ONE_PER_CORE

View = TypeVar("View", bound=PipelineOptions)

_logger = logging.getLogger(__name__)

JOB_SERVER_RUNNERS = ("portablerunner", "flinkrunner", "sparkrunner")
"""Runners with a job server, in lower case. It has options of its own, which are known when the job is submitted."""

DATAFLOW = "dataflowrunner"
"""Runner whose workers never see this machine's disks, in lower case."""

LOCAL_RUNNERS = ("directrunner", "fnapirunner", "bundlebaseddirectrunner", "switchingdirectrunner")
"""Runners that run a pipeline in this process, in lower case."""

ACCELERATOR = "accelerator"
"""Beam's resource hint of a GPU."""

_HELP = ("-h", "--help")

_WITHOUT_RUN = ("template_location", "dry_run")
"""Options that make a runner describe a pipeline instead of running it."""


class JobOptions(PipelineOptions):
    """Beam's options, with each view of them made once.

    Beam asks for views at each transform, and each makes a parser of its own: a fifth of the time of a small job.
    """

    def view_as(self, cls: type[View]) -> View:
        """Return the view of these options as another class, whose values are those of these options."""
        views: dict[type, PipelineOptions] = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        view: View = views[cls]
        return view


def check_beam_options(flags: Sequence[str]) -> None:
    """Check options with the parser of all of Beam's option classes, those of other runners included.

    An unknown option of a runner with a job server is passed on with a warning.

    Raises:
        UsageError: Beam does not know an option, its value is invalid, or it asks for a template.
    """
    if not flags:
        return
    parser = _beam_parser()
    options, unknown = _parse(parser, flags)
    for name in _WITHOUT_RUN:
        if getattr(options, name, None):
            raise UsageError(
                f"--{name}: a command runs several pipelines, each with the results of the one before, so it cannot be "
                "a template: run the command itself, for example in a container, with --runner"
            )
    runner = str(options.runner or "").rpartition(".")[2]
    for flag in unknown:
        message = _describe(flag, list(_names(parser)))
        if runner.lower() not in JOB_SERVER_RUNNERS or not flag.startswith("--"):
            raise UsageError(message)
        _logger.warning("%s. It is passed to the job server of %s, which may ignore it", message, runner)


def runner_name(flags: Sequence[str]) -> str:
    """Return the class of the runner that options name, in lower case and without its module; empty without one."""
    return str(PipelineOptions(list(flags)).view_as(StandardOptions).runner or "").rpartition(".")[2].lower()


def accelerator_of(options: PipelineOptions) -> str | None:
    """Remove the hint of an accelerator from ``--resource_hints`` of options, and return it.

    Beam would give the accelerator to every step. Only the steps that encode use one: the job gives it to them.
    """
    standard = options.view_as(StandardOptions)
    hints = [part.partition("=") for part in standard.resource_hints]
    standard.resource_hints = ["=".join((name, value)) for name, _, value in hints if name != ACCELERATOR]
    return next((value for name, _, value in hints if name == ACCELERATOR), None)


def sdk_processes(flags: Sequence[str]) -> int:
    """Return the number of SDK processes that a remote runner starts on a machine, or ``ONE_PER_CORE``.

    Dataflow starts one per core, unless an experiment asks for one per machine. A job server has an option for it;
    without it, no process can know how many others there are, so each takes one core.
    """
    if runner_name(flags) in LOCAL_RUNNERS:
        return 1
    options = PipelineOptions(list(flags))
    if options.view_as(DebugOptions).lookup_experiment("no_use_multiple_sdk_containers"):
        return 1
    asked = options.view_as(PortableOptions).sdk_worker_parallelism
    given = any(flag.split("=")[0] == "--sdk_worker_parallelism" for flag in flags)
    return int(asked) if given else ONE_PER_CORE


def use_filesystem_options(flags: Sequence[str]) -> None:
    """Have Beam's filesystems use options in this process; a pipeline does so only when it is built.

    Without it, the driver signs in to ``gs://`` without ``--impersonate_service_account``.
    """
    FileSystems.set_options(PipelineOptions(list(flags)))


def _beam_parser() -> argparse.ArgumentParser:
    """Return the parser that Beam builds from its option classes."""
    parsers: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
    [parser] = parsers
    parser.exit_on_error = False  # raise an error instead
    return parser


def _parse(parser: argparse.ArgumentParser, flags: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    if asked := [flag for flag in flags if flag in _HELP]:
        raise UsageError(f"{asked[0]} is not an option of a pipeline: see Beam's documentation for its options")
    try:
        return parser.parse_known_args(list(flags))
    except (argparse.ArgumentError, ValueError, AttributeError) as error:  # the last two: a value that is not JSON
        raise UsageError(f"Beam does not accept these options: {error}") from error


def _names(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings


def _describe(flag: str, known: Sequence[str]) -> str:
    name = flag.partition("=")[0]
    [nearest] = difflib.get_close_matches(f"--{name.lstrip('-')}", known, n=1, cutoff=0.0)
    if not name.startswith("-"):
        return f"{flag!r} belongs to no Beam option: write --NAME=VALUE"
    return f"Beam has no option {name}; the nearest is {nearest}"
