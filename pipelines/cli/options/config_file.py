"""``--config FILE.toml``: options of ``run``, ``refresh``, ``embed``, ``plan`` and ``rejects retry`` from a file.

Keys are the long option names, with dashes or underscores; ``MODALITY=VALUE`` options are tables. Values are as on the
command line, so relative paths are relative to the working directory. An option on the command line wins.
"""

import difflib
import importlib
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from tracktokens.pipelines.cli.options.catalog_option import IMPORTED
from tracktokens.pipelines.cli.options.common import NonEmptyStr, current_name
from tracktokens.pipelines.cli.options.encoder_options import ModalityValue
from tracktokens.pipelines.terminal import echo
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES

TOML = "tomllib" if sys.version_info >= (3, 11) else "tomli"
"""Module that parses TOML. A small installation on Python 3.10 lacks it, so it is imported where it is used."""

CONFIG = "config"
"""Name of the option; a command that has it takes options from the file."""

Keys = dict[str, click.Option]
"""Key of a config file to the option that it sets."""


def load_config(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    """Read a config file, check it, and make its values the defaults of the command's options.

    Raises:
        UsageError: the file is missing or not TOML, it has an unknown key, or a value has the wrong type.
    """
    if path is None:
        return
    own, known = _keys(context.command), _all_keys(context)
    values = _renamed_keys(path, _read(path), known)
    if unused := [name for name in values if name not in own]:
        command = context.command_path.partition(" ")[2] or context.info_name
        echo(f"warning: {path}: not used, since `{command}` has no such option: {', '.join(unused)}", err=True)
    defaults = {
        str(own[name].name): _convert(context, path, own[name], name, value)
        for name, value in values.items()
        if name in own
    }
    context.default_map = {**(context.default_map or {}), **defaults, **context.meta.get(IMPORTED, {})}


config_option = click.option(
    "--config",
    CONFIG,
    type=NonEmptyStr(),
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=load_config,
    help="TOML file with options; keys are the long names. An option on the command line wins.",
)


def _read(path: str) -> dict[str, Any]:
    toml = importlib.import_module(TOML)
    try:
        content: dict[str, Any] = toml.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read ({error.strerror}): give a TOML file") from error
    except ValueError as error:  # of TOML and of UTF-8
        raise UsageError(f"--config {path} is not TOML: {error}") from error
    return content


def _keys(command: click.Command) -> Keys:
    """Options of a command that a file can set, by key."""
    hidden = (CONFIG, "help")
    return {
        parameter.opts[0].removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden and parameter.name not in hidden
    }


def _all_keys(context: click.Context) -> Keys:
    """Keys of all commands that take a config file."""
    keys = _keys(context.command)
    for command in _commands(context.find_root().command):
        if any(parameter.name == CONFIG for parameter in command.params):
            keys |= _keys(command)
    return keys


def _commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _commands(inner)


def _renamed_keys(path: str, values: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Write keys with dashes, and check that they are known."""
    renamed: dict[str, Any] = {}
    for key, value in values.items():
        name = current_name(key.replace("_", "-"))
        if name not in known:
            raise UsageError(f"{path}: unknown key {key}; the nearest key is {nearest(name, known)}")
        if name in renamed:
            raise UsageError(f"{path}: {name} is there twice, with a dash and with an underscore: keep one")
        renamed[name] = value
    return renamed


def nearest(word: str, words: Collection[str]) -> str:
    """The word that is most like another one."""
    return difflib.get_close_matches(word, words, n=1, cutoff=0.0)[0]


def _convert(context: click.Context, path: str, option: click.Option, key: str, value: Any) -> Any:
    """Check the type of a value, and convert it as the command line does."""
    if isinstance(option.type, ModalityValue):
        value = [*_modality_pairs(path, key, value, option.type.has_keys)]
    else:
        types, words = _expected(option)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise UsageError(f"{path}: {key} = {value!r} is not {words}")
    try:
        return option.type_cast_value(context, value)
    except click.BadParameter as error:
        raise UsageError(f"{path}: {key} = {value!r}: {error.message}") from error


def _expected(option: click.Option) -> tuple[tuple[type, ...], str]:
    """Types of a TOML value that an option takes, and their name."""
    if option.is_flag:
        return (bool,), "true or false"
    if isinstance(option.type, click.types.IntParamType):
        return (int,), "a whole number"
    if isinstance(option.type, click.types.FloatParamType):
        return (int, float), "a number"
    return (str,), "a text in quotes"


def _modality_pairs(path: str, key: str, table: Any, has_keys: bool) -> Iterator[tuple[str, str]]:
    """Split a table of ``modality = value``, or of ``modality = {key = value}``, into pairs."""
    if not isinstance(table, Mapping):
        raise UsageError(f"{path}: {key} = {table!r} is not a table [{key}] of modality = value")
    for modality, value in table.items():
        if modality not in MODALITIES:
            close = nearest(modality, MODALITIES)
            raise UsageError(f"{path}: unknown key {key}.{modality}; the nearest key is {key}.{close}")
        if has_keys:
            yield from ((modality, pair) for pair in _key_value_pairs(path, f"{key}.{modality}", value))
        elif isinstance(value, str):
            yield modality, value
        else:
            raise UsageError(f"{path}: {key}.{modality} = {value!r} is not a text in quotes")


def _key_value_pairs(path: str, key: str, table: Any) -> Iterator[str]:
    if not isinstance(table, Mapping):
        raise UsageError(f"{path}: {key} = {table!r} is not a table [{key}] of KEY = 'VALUE'")
    for name, value in table.items():
        if not isinstance(value, str):
            raise UsageError(f"{path}: {key}.{name} = {value!r} is not a text in quotes")
        yield f"{name}={value}"
