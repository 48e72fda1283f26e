"""Arrow types: decode columns whose type describes storage or meaning, so that only plain types are left."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_UUID_DASHES = [8, 12, 16, 20]
"""Digits of a UUID before which its text has a dash."""


def plain_column(column: pa.Array) -> pa.Array:
    """Decode dictionaries and known extension types.

    A UUID becomes its 36 characters in lower case, an 8-bit boolean a boolean, and JSON and tensors their storage. An
    extension type without a known meaning stays as it is.

    Example:
        >>> plain_column(pa.array(["rock", "pop", "rock"]).dictionary_encode()).to_pylist()
        ['rock', 'pop', 'rock']
    """
    decoded = _decode(column)
    while decoded is not column:
        column, decoded = decoded, _decode(decoded)
    return column


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that :func:`plain_column` decodes a type to."""
    return plain_column(pa.nulls(0, kind)).type


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is a list in one of Arrow's layouts. A map is not a list."""
    layouts = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    return any(getattr(pa.types, f"is_{layout}")(kind) for layout in layouts)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is text or bytes in one of Arrow's layouts."""
    layouts = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "fixed_size_binary")
    return any(getattr(pa.types, f"is_{layout}")(kind) for layout in layouts)


def _decode(column: pa.Array) -> pa.Array:
    """Decode the outermost type; return the same object if it is plain."""
    if isinstance(column, pa.DictionaryArray):
        return column.dictionary_decode()
    if isinstance(column, pa.UuidArray):
        return _uuid_text(column.storage)
    if isinstance(column, pa.Bool8Array):
        return column.storage.cast(pa.bool_())
    return column.storage if isinstance(column, pa.JsonArray | pa.FixedShapeTensorArray) else column


def _uuid_text(column: pa.FixedSizeBinaryArray) -> pa.StringArray:
    octets = b"".join(pc.fill_null(column, bytes(16)).to_pylist())
    digits = np.frombuffer(octets.hex().encode(), np.uint8).reshape(-1, 32)
    text = np.insert(digits, _UUID_DASHES, ord("-"), axis=1)
    rows = pa.FixedSizeBinaryArray.from_buffers(pa.binary(36), len(column), [None, pa.py_buffer(text.tobytes())])
    return pc.if_else(column.is_valid(), rows.cast(pa.binary()).cast(pa.string()), pa.scalar(None, pa.string()))
