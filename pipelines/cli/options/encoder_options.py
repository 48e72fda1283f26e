"""Options of a catalog source, made from the fields of ``CatalogSource``, and the source made from their values.

A value is taken from the command line, else from the config file, else from the latest release, else it is the field's
default. A refresh takes its input files from the release too, a run does not. Options per modality are merged modality
by modality. An option that is given replaces more than its own value in the release: see :func:`.still_released`.
"""

import functools
import glob
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from tracktokens.pipelines.catalog_source import SOURCE_OPTIONS, CatalogSource
from tracktokens.pipelines.cli.options.catalog_option import add_embeddings, catalog_option
from tracktokens.pipelines.cli.options.common import NonEmptyStr, Share, options
from tracktokens.pipelines.cli.options.remembered import echo_remembered
from tracktokens.pipelines.option_fields import OptionField
from tracktokens.pipelines.released_options import ReleasedOptions, require_tracks, still_released, without_built_in
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.listing.path_errors import missing_table

Command = TypeVar("Command", bound=Callable[..., Any])

Pairs = tuple[tuple[str, str], ...]
"""Values of an option per modality: modality and value."""

_TABLES = {"tracks": "tracks", "playlists": "playlists", "embeddings": "vectors"}
"""Option that names input tables, to the name of the table in messages."""


class ModalityValue(click.ParamType[tuple[str, str]]):
    """``MODALITY=VALUE``, or ``MODALITY=KEY=VALUE`` when ``has_keys``."""

    name = "text"

    def __init__(self, has_keys: bool = False) -> None:
        self.has_keys = has_keys

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split the modality from the value."""
        modality, _, rest = (value[0], "=", value[1]) if isinstance(value, tuple) else value.partition("=")
        if modality not in MODALITIES or not rest.strip():
            self.fail(f"{value!r} is not MODALITY=VALUE, with one of {', '.join(MODALITIES)}", param, ctx)
        return modality, rest


def source_options(
    *,
    remembered: Callable[[str], ReleasedOptions | None] | None = None,
    leave_out: Collection[str] = (),
    required: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of a catalog source to a command, which gets them as one argument, ``source``.

    Args:
        remembered: reads the options of the latest release of ``--store``, which replace those that are not given.
        leave_out: long names of options that the command does not have.
        required: whether options without a default must be given.
    """
    chosen = [part for part in SOURCE_OPTIONS if part.option.name not in leave_out]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_source(**values: Any) -> Any:
            context = click.get_current_context()
            if "".join(values.get("beam_options", ())).startswith("-"):  # otherwise the command refuses them
                _check_given_paths(context, chosen, values)
            _check_tables_exist(_given(context, chosen))
            released = None if remembered is None else remembered(values["store"])
            source = make_source(context, chosen, released)
            rest = {name: value for name, value in values.items() if name not in set(map(parameter_name, chosen))}
            return command(source=source, **rest)

        click_options = [_click_option(part, required=required) for part in chosen]
        return options(catalog_option, *click_options)(with_source)

    return decorate


def _check_given_paths(context: click.Context, chosen: Iterable[OptionField], values: Mapping[str, Any]) -> None:
    """Check that Beam's workers can read what is given, before the options of the release are read from the store."""
    from tracktokens.pipelines.runner import PipelineRunner

    given = _given(context, chosen)
    if "tracks" in given:
        source = CatalogSource.from_options(without_built_in(given))
        source.check_reachable(values["store"], PipelineRunner(values["workers"], values["beam_options"]))


def _check_tables_exist(given: Mapping[str, Any]) -> None:
    """Check that tables on this machine exist, in the first second: Beam, which lists them, takes longer to import."""
    for name, table in _TABLES.items():
        value = given.get(name, {})
        for path in value.values() if isinstance(value, Mapping) else [value]:
            if "://" not in path and not glob.has_magic(path) and not os.path.lexists(path):
                raise missing_table(path, table)


def parameter_name(part: OptionField) -> str:
    """Name of the option's value among a command's parameters."""
    return part.option.name.replace("-", "_")


def make_source(
    context: click.Context, chosen: Iterable[OptionField], released: ReleasedOptions | None
) -> CatalogSource:
    """Make the catalog source from the values of a command's options.

    Raises:
        UsageError: ``tracks`` is missing, or values do not go together.
    """
    parts = list(chosen)
    given = _given(context, parts)
    inherited = still_released(released.options, given) if released is not None else {}
    values: dict[str, Any] = {}
    used: list[str] = []
    for part in parts:
        name = part.option.name
        if part.per_modality:
            values[name] = _merge(inherited.get(name, {}), given.get(name, {}))
            if kept := [modality for modality in inherited.get(name, {}) if modality not in given.get(name, {})]:
                used.append(f"{name} ({', '.join(kept)})")
        elif name in given:
            values[name] = given[name]
        elif name in inherited:
            values[name] = inherited[name]
            if inherited[name] != part.default:
                used.append(name)
        elif (default := context.params[parameter_name(part)]) is not None:
            values[name] = default
    if released is not None:
        require_tracks(values, released.release_id)
        echo_remembered(context, context.params["store"], used)
    add_embeddings(context, values, given, {} if released is None else released.options)
    return CatalogSource.from_options(without_built_in(values))


def _click_option(part: OptionField, *, required: bool) -> Callable[[Command], Command]:
    option = part.option
    names = (f"--{option.name}", parameter_name(part))
    if part.per_modality:
        kind = ModalityValue(has_keys=part.value_type is Mapping)
        return click.option(*names, type=kind, multiple=True, metavar=option.metavar, help=option.help)
    if part.value_type is bool:
        return click.option(*names, is_flag=True, default=part.default, help=option.help)
    default = None if part.default is MISSING else part.default
    return click.option(
        *names,
        type=_click_type(part),
        default=default,
        show_default=default is not None,
        required=required and part.default is MISSING,
        metavar=option.metavar,
        help=option.help,
    )


def _click_type(part: OptionField) -> "click.ParamType[Any]":
    if part.option.choices:
        return click.Choice(part.option.choices)
    if part.value_type is int:
        return click.INT
    if part.value_type is float:
        return Share()
    return click.STRING if part.option.may_be_empty else NonEmptyStr()


def _given(context: click.Context, parts: Iterable[OptionField]) -> dict[str, Any]:
    """Long name to value of the options that the command line, the config file or an imported catalog gives."""
    given: dict[str, Any] = {}
    for part in parts:
        name = parameter_name(part)
        if part.per_modality:
            given[part.option.name] = _given_per_modality(context, part)
        elif context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            given[part.option.name] = context.params[name]
    return {name: value for name, value in given.items() if value is not None and value != {}}


def _given_per_modality(context: click.Context, part: OptionField) -> dict[str, Any]:
    """Modality to value, from the command line and from the config file."""
    name = parameter_name(part)
    pairs: Pairs = context.params[name]
    given = _by_modality(part, pairs)
    if context.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        from_file: Pairs = (context.default_map or {}).get(name, ())
        given = _merge(_by_modality(part, from_file), given)
    return given


def _by_modality(part: OptionField, pairs: Pairs) -> dict[str, Any]:
    """Collect the values of an option per modality."""
    if part.value_type is not Mapping:
        values = dict(pairs)
        if len(values) < len(pairs):
            raise UsageError(f"--{part.option.name}: give each modality once")
        return values
    tables: dict[str, dict[str, str]] = {}
    for modality, pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"--{part.option.name} {modality}={pair}: give it as {modality}=KEY=VALUE")
        tables.setdefault(modality, {})[key] = value
    return tables


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values per modality; ``KEY=VALUE`` pairs are merged key by key."""
    merged = dict(base)
    for modality, value in changes.items():
        pairs = isinstance(value, Mapping) and isinstance(merged.get(modality), Mapping)
        merged[modality] = {**merged[modality], **value} if pairs else value
    return merged
