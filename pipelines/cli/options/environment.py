"""Environment variables: ``TRACKTOKENS_STORE`` is ``--store`` of every command that has it, and so on.

Flags have none: what deletes or replaces something is to be given each time. Nor has ``--release``, since servers read
a folder from ``TRACKTOKENS_RELEASE``.
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
    for _, inner in walk_commands(command):
        inner.context_settings = {**inner.context_settings, "auto_envvar_prefix": PREFIX}
        for option in _options(inner):
            option.allow_from_autoenv = _variable(option) is not None


def warn_of_unknown_variables(command: click.Command) -> None:
    """Warn of variables that look like options and are none of any command."""
    known = {_variable(option) for _, inner in walk_commands(command) for option in _options(inner)}
    for name in sorted(os.environ):
        if name.startswith(f"{PREFIX}_") and name not in known and name not in OTHER_VARIABLES:
            _logger.warning("the environment variable %s is not an option of any command: it is ignored", name)


def _options(command: click.Command) -> Iterator[click.Option]:
    return (parameter for parameter in command.params if isinstance(parameter, click.Option))


def _variable(option: click.Option) -> str | None:
    """Name the variable of an option; None if it has none."""
    name = f"{PREFIX}_{(option.name or '').upper()}"
    return None if option.is_flag or name in OTHER_VARIABLES else name
