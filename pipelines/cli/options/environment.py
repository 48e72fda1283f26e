"""Environment variables: ``TRACKTOKENS_STORE`` is ``--store`` of every command that has it, and so on.

Flags have none: what deletes or replaces something is to be given each time. Nor has ``--release``, since servers read
a folder from ``TRACKTOKENS_RELEASE``, nor a number whose name is that of a path or text elsewhere: ``--tracks`` of
``demo``.
"""

import logging
import os
from collections.abc import Iterator

import click

from tracktokens.pipelines.cli.options.common import walk_commands

PREFIX = "TRACKTOKENS"

OTHER_VARIABLES = ("TRACKTOKENS_CACHE", "TRACKTOKENS_RELEASE", "TRACKTOKENS_TOKENIZER")
"""Variables that are not options of commands: the folder of caches, and the settings of servers."""

_logger = logging.getLogger(__name__)


def read_environment(command: click.Command) -> None:
    """Let the options of a command, and of those below it, take their values from the environment."""
    texts = {option.name for _, inner in walk_commands(command) for option in _options(inner) if not _is_number(option)}
    for _, inner in walk_commands(command):
        inner.context_settings = {**inner.context_settings, "auto_envvar_prefix": PREFIX}
        for option in _options(inner):
            is_other = _is_number(option) and option.name in texts
            option.allow_from_autoenv = _variable(option) is not None and not is_other


def warn_of_unknown_variables(command: click.Command) -> None:
    """Warn of variables that look like options and are none of any command."""
    known = {_variable(option) for _, inner in walk_commands(command) for option in _options(inner)}
    for name in sorted(os.environ):
        if name.startswith(f"{PREFIX}_") and name not in known and name not in OTHER_VARIABLES:
            _logger.warning("the environment variable %s is not an option of any command: it is ignored", name)


def _options(command: click.Command) -> Iterator[click.Option]:
    return (parameter for parameter in command.params if isinstance(parameter, click.Option))


def _is_number(option: click.Option) -> bool:
    return isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)


def _variable(option: click.Option) -> str | None:
    """Name the variable of an option; None if it has none."""
    name = f"{PREFIX}_{(option.name or '').upper()}"
    return None if option.is_flag or name in OTHER_VARIABLES else name
