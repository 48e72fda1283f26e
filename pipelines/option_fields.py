"""Dataclass fields that are also options: of the command line, of a config file, and of a release's manifest.

An option is described once, in the metadata of its field::

    @dataclass(frozen=True, kw_only=True)
    class TextEncoderConfig:
        model: str | None = field(default=None, metadata=option("text-model", metavar="MODEL", help="..."))

A field whose type is another such dataclass is a group: its options are options of the outer class too. A field of type
``Mapping[str, SomeConfig]`` has one ``SomeConfig`` per modality: each of its options takes ``MODALITY=VALUE``, and its
first field, which has no default, selects the modalities.

*Options* as a mapping have the long option name as key, for example ``text-model``. The value of an option per modality
is a mapping of modality to value.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin

from tracktokens.schemas.errors import UsageError

Config = TypeVar("Config")

_KEY = "option"


@dataclass(frozen=True, kw_only=True)
class Option:
    """The description of an option.

    Attributes:
        name: long name on the command line and key in a config file, without the leading dashes.
        help: one sentence for ``--help``.
        metavar: placeholder of the value in ``--help``.
        choices: the values that are allowed; empty for any.
        may_be_empty: whether an empty text is a value.
        is_path: whether the value is a path, file pattern or folder: manifests keep it as an absolute path.
        may_be_name: whether the value of a path option may be a name too; it is a path if there is such a file.
        inherited: whether a refresh takes the value from the latest release when it is not given again.
    """

    name: str
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    may_be_empty: bool = False
    is_path: bool = False
    may_be_name: bool = False
    inherited: bool = True


@dataclass(frozen=True, kw_only=True)
class OptionField:
    """A field that is an option.

    Attributes:
        option: its description.
        value_type: ``str``, ``bool``, ``int``, ``float``, or ``Mapping`` for ``KEY=VALUE`` pairs.
        default: value when the option is not given; ``dataclasses.MISSING`` when it is required.
        per_modality: whether the option takes ``MODALITY=VALUE``.
    """

    option: Option
    value_type: type
    default: Any
    per_modality: bool


def option(
    name: str,
    *,
    help: str,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    may_be_empty: bool = False,
    is_path: bool = False,
    may_be_name: bool = False,
    inherited: bool = True,
) -> Mapping[str, Option]:
    """Describe an option, as metadata of a dataclass field. See :class:`Option`."""
    described = Option(
        name=name,
        help=help,
        metavar=metavar,
        choices=choices,
        may_be_empty=may_be_empty,
        is_path=is_path,
        may_be_name=may_be_name,
        inherited=inherited,
    )
    return {_KEY: described}


def option_fields(config: type, *, per_modality: bool = False) -> Iterator[OptionField]:
    """List the options of a dataclass and of its groups, in field order."""
    for part in fields(config):
        if _KEY in part.metadata:
            yield OptionField(
                option=part.metadata[_KEY],
                value_type=_value_type(part.type),
                default=_default(part),
                per_modality=per_modality,
            )
        elif is_dataclass(part.type):
            yield from option_fields(part.type, per_modality=per_modality)  # type: ignore[arg-type]
        elif inner := _config_per_modality(part):
            yield from option_fields(inner, per_modality=True)


def to_options(config: Any) -> dict[str, Any]:
    """Flatten a dataclass to options. Options that are None or an empty mapping are left out."""
    options: dict[str, Any] = {}
    for part in fields(config):
        value = getattr(config, part.name)
        if _KEY in part.metadata:
            options[part.metadata[_KEY].name] = dict(value) if isinstance(value, Mapping) else value
        elif is_dataclass(part.type):
            options |= to_options(value)
        elif _config_per_modality(part):
            options |= _by_name({modality: to_options(inner) for modality, inner in value.items()})
    return {name: value for name, value in options.items() if value is not None and value != {}}


def from_options(config: type[Config], options: Mapping[str, Any]) -> Config:
    """Build a dataclass from options; the opposite of :func:`to_options`.

    Raises:
        UsageError: an option is given for a modality without the option that it belongs to.
    """
    arguments: dict[str, Any] = {}
    for part in fields(config):  # type: ignore[arg-type]
        if _KEY in part.metadata:
            if (name := part.metadata[_KEY].name) in options:
                arguments[part.name] = options[name]
        elif is_dataclass(part.type):
            arguments[part.name] = from_options(part.type, options)  # type: ignore[arg-type]
        elif inner := _config_per_modality(part):
            arguments[part.name] = _per_modality(inner, options)
    return config(**arguments)


def _per_modality(config: type, options: Mapping[str, Any]) -> dict[str, Any]:
    main, *others = [part.metadata[_KEY].name for part in fields(config)]
    modalities = options.get(main, {})
    for name in others:
        for modality in options.get(name, {}):
            if modality not in modalities:
                raise UsageError(f"--{name} {modality}=... goes with --{main} {modality}=...")
    chosen = {
        modality: {name: options[name][modality] for name in (main, *others) if modality in options.get(name, {})}
        for modality in modalities
    }
    return {modality: from_options(config, values) for modality, values in chosen.items()}


def _by_name(options_per_modality: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Turn modality to option to value into option to modality to value."""
    options: dict[str, dict[str, Any]] = {}
    for modality, values in options_per_modality.items():
        for name, value in values.items():
            options.setdefault(name, {})[modality] = value
    return options


def _config_per_modality(part: "Field[Any]") -> type | None:
    """The dataclass of a field of type ``Mapping[str, dataclass]``, or None."""
    arguments = get_args(part.type)
    inner = arguments[1] if len(arguments) == 2 else None
    return inner if isinstance(inner, type) and is_dataclass(inner) else None


def _value_type(annotation: Any) -> type:
    if get_origin(annotation) in (Union, types.UnionType):
        [annotation] = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) is not None:
        return Mapping
    return annotation  # type: ignore[no-any-return]


def _default(part: "Field[Any]") -> Any:
    return part.default if part.default_factory is MISSING else part.default_factory()
