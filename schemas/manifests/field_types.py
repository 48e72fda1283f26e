"""Types of the fields of manifests, checked when one is read: a store may be damaged, or made to deceive.

A name becomes a part of a path, so it must not lead anywhere else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

_NAME = re.compile(r"[\w=-][\w.=-]*", re.ASCII)


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a file or folder of a store.

    >>> [is_name(text) for text in ("20261128T225440Z-b0e4e89d", "..", "a/b", "", ".partial")]
    [True, False, False, False, False]
    """
    return _NAME.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """Return whether a text is the path of a file below a folder.

    >>> [is_file_name(text) for text in ("tokens/part-0000.parquet", "/etc/passwd", "tokens/../../a", "a//b")]
    [True, False, False, False]
    """
    return all(map(is_name, text.split("/")))


Name = Annotated[str, is_name]
"""Id or other name in a store, see :func:`is_name`."""

FileName = Annotated[str, is_file_name]
"""Path of a file below a folder, see :func:`is_file_name`."""


def fits(value: object, annotation: Any) -> bool:
    """Return whether a value that JSON was parsed to has the type of an annotation.

    Args:
        value: the value.
        annotation: a type of Python; ``Literal``, ``Mapping``, ``Sequence`` and unions of such types; a dataclass, for
            the mapping of its fields; or ``Annotated`` with further dataclasses, and with functions that return whether
            a value fits.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return fits(value, args[0]) and all(
            fits(value, rule) if is_dataclass(rule) else rule(value) for rule in args[1:]
        )
    if origin in (Union, UnionType):
        return any(fits(value, choice) for choice in args)
    if origin is Literal:
        return value in args
    if origin in (Mapping, dict):
        return isinstance(value, dict) and all(fits(k, args[0]) and fits(v, args[1]) for k, v in value.items())
    if origin in (Sequence, list):
        return isinstance(value, list) and all(fits(element, args[0]) for element in value)
    if is_dataclass(annotation):
        return isinstance(value, dict) and _fits_fields(value, annotation)
    return _is_instance(value, annotation)


@cache
def field_types(record: Any) -> dict[str, Any]:
    """Return the name of each field of a dataclass, and its annotation."""
    hints = get_type_hints(record, include_extras=True)
    return {field.name: hints[field.name] for field in fields(record)}


def _fits_fields(value: Mapping[str, object], record: Any) -> bool:
    required = {field.name for field in fields(record) if field.default is MISSING and field.default_factory is MISSING}
    types = field_types(record)
    return required <= value.keys() and all(fits(value[name], types[name]) for name in types.keys() & value.keys())


def _is_instance(value: object, kind: Any) -> bool:
    if kind is Any:
        return True
    return type(value) in ((int, float) if kind is float else (kind,))
