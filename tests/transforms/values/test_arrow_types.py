"""Columns whose type describes storage or meaning."""

import uuid

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.transforms.values.arrow_types import is_list, plain_column, plain_type

IDS = [uuid.UUID(int=7), None, uuid.UUID("FEDCBA98-7654-3210-0123-456789ABCDEF")]


def uuids() -> pa.UuidArray:
    return pa.array([None if value is None else value.bytes for value in IDS], pa.uuid())


def test_a_uuid_is_its_characters_in_lower_case() -> None:
    text = plain_column(uuids())
    assert text.type == pa.string()
    assert text.to_pylist() == [None if value is None else str(value) for value in IDS]
    assert plain_column(uuids().slice(2)).to_pylist() == [str(IDS[2])]
    assert plain_column(pa.nulls(2, pa.uuid())).to_pylist() == [None, None]


def test_dictionaries_are_decoded_and_so_are_their_values() -> None:
    assert plain_column(pa.array(["a", None, "a"]).dictionary_encode()).to_pylist() == ["a", None, "a"]
    assert plain_column(pa.DictionaryArray.from_arrays(pa.array([0, 0]), uuids())).to_pylist() == [str(IDS[0])] * 2


def test_extension_types_are_read_as_what_they_mean() -> None:
    flags = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8()))
    assert plain_column(flags).to_pylist() == [True, False, None]
    assert plain_column(pa.array(['["a"]'], pa.json_(pa.string()))).type == pa.string()
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.array([[1, 2]], np.float32))
    assert plain_column(tensors).to_pylist() == [[1.0, 2.0]]


def test_an_extension_type_without_a_known_meaning_is_not_its_storage() -> None:
    kind = pa.opaque(pa.string(), "geometry", "some database")
    column = pa.ExtensionArray.from_storage(kind, pa.array(["x"]))
    assert plain_column(column) is column
    assert plain_type(kind) == kind


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.list_view(pa.string()), True),
        (pa.large_list_view(pa.string()), True),
        (pa.list_(pa.string(), 3), True),
        (pa.map_(pa.string(), pa.string()), False),
        (pa.string(), False),
    ],
)
def test_every_layout_of_a_list_is_a_list(kind: pa.DataType, expected: bool) -> None:
    assert is_list(kind) == expected
