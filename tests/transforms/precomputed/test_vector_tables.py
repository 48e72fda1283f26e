"""Vector tables: columns that are read, converted and refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.precomputed.vector_tables import (
    VectorRows,
    hash_files,
    ignored_vector_columns,
    open_vector_table,
    read_vector_rows,
    vector_keys,
)

FIXED = pa.list_(pa.float32(), 2)


def write(
    path: Path, ids: Sequence[str | None], vectors: Sequence[Sequence[float | None] | None], kind: pa.DataType = FIXED
) -> str:
    pq.write_table(pa.table({"track_id": pa.array(ids, pa.string()), "vector": pa.array(vectors, kind)}), path)
    return str(path)


def read(path: str) -> VectorRows:
    table = open_vector_table(path)
    [rows] = read_vector_rows(table, table.fragments[0])
    return rows


@pytest.mark.parametrize("values", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("kind", [lambda v: pa.list_(v, 2), pa.list_, pa.large_list, pa.list_view, pa.large_list_view])
def test_lists_of_every_float_are_vectors_of_unit_length(tmp_path: Path, values: pa.DataType, kind: type) -> None:
    vectors = [np.array([3, 4]), np.array([0, -2])]
    rows = read(write(tmp_path / "v.parquet", ["a", "b"], [v.astype(np.float16) for v in vectors], kind(values)))
    assert rows.track_ids.to_pylist() == ["a", "b"]
    assert rows.units.dtype == np.float16
    np.testing.assert_array_equal(rows.units, np.array([[0.6, 0.8], [0, -1]], np.float16))
    assert rows.usable.tolist() == [0, 1]


def test_a_tensor_column_is_read_as_its_lists(tmp_path: Path) -> None:
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.array([[1, 0], [0, 1]], np.float32))
    pq.write_table(pa.table({"track_id": ["a", "b"], "vector": tensors}), tmp_path / "v.parquet")
    np.testing.assert_array_equal(read(str(tmp_path / "v.parquet")).units, [[1, 0], [0, 1]])


def test_neither_scale_nor_type_changes_a_vector_or_its_key(tmp_path: Path) -> None:
    narrow = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    keys = [
        vector_keys(read(write(tmp_path / f"{number}.parquet", ["t"] * 50, list(vectors), kind)).units)
        for number, (vectors, kind) in enumerate(
            [
                (narrow, FIXED),
                (narrow.astype(np.float64), pa.list_(pa.float64())),
                (narrow * np.float32(2.0**-80), FIXED),
                (narrow.astype(np.float64) * 2.0**900, pa.list_(pa.float64(), 2)),
            ]
        )
    ]
    assert all(other.equals(keys[0]) for other in keys)
    assert len(keys[0].unique()) == 50


def test_null_and_empty_vectors_are_absent_and_bad_ones_have_a_reason(tmp_path: Path) -> None:
    vectors = [[1, 0], None, [], [1, 2, 3], [0, 0], [1, float("nan")], [float("inf"), 1], [1, None], [0, 1]]
    rows = read(write(tmp_path / "v.parquet", [*"abcdefgh", None], vectors, pa.list_(pa.float32())))
    assert rows.absent.tolist() == [False, True, True] + 6 * [False]
    assert {row: fault.reason for row, fault in rows.faults.items()} == {
        3: "vector_dimension",
        4: "vector_zero",
        5: "not_finite",
        6: "not_finite",
        7: "not_finite",
        8: "id_missing",
    }
    assert rows.usable.tolist() == [0]
    assert np.isfinite(rows.units).all()


def test_ids_have_the_reasons_of_the_tracks_table(tmp_path: Path) -> None:
    ids = pa.array([b"ok", b"", b" ", b"x" * 257, b"\xff", None], pa.binary())
    pq.write_table(pa.table({"track_id": ids, "vector": [[1.0, 2.0]] * 6}), tmp_path / "v.parquet")
    rows = read(str(tmp_path / "v.parquet"))
    assert {row: fault.reason for row, fault in rows.faults.items()} == {
        1: "id_empty",
        2: "id_empty",
        3: "id_too_long",
        4: "id_not_utf8",
        5: "id_missing",
    }
    assert rows.usable.tolist() == [0]


def test_ids_that_are_not_text_are_of_the_wrong_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"track_id": [17, None], "vector": [[1.0], [1.0]]}), tmp_path / "v.parquet")
    faults = read(str(tmp_path / "v.parquet")).faults
    assert (faults[0].reason, faults[0].detail) == (
        "id_wrong_type",
        "track_id: int64 17 is not a string: cast it to text",
    )
    assert faults[1].reason == "id_missing"


def test_null_rows_of_fixed_size_lists_are_explained(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="write them as lists of any length"):
        read(write(tmp_path / "v.parquet", ["a", "b", "c"], [[1, 0], None, [0, 1]]))


def test_rows_are_numbered_through_all_batches_of_a_row_group(tmp_path: Path) -> None:
    angles = np.linspace(0, 1, 2500)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    path = write(tmp_path / "v.parquet", [str(n) for n in range(2500)], list(vectors))
    table = open_vector_table(path)
    batches = list(read_vector_rows(table, table.fragments[0]))
    assert [batch.start for batch in batches] == np.cumsum([0, *(len(batch.units) for batch in batches[:-1])]).tolist()
    np.testing.assert_allclose(np.concatenate([batch.units for batch in batches]), vectors, atol=1e-3)


def test_the_most_frequent_length_is_the_dimension_whatever_the_first_vector_is(tmp_path: Path) -> None:
    path = write(tmp_path / "v.parquet", [*"abcd"], [[1, 2, 3], None, [1, 2], [3, 4]], pa.list_(pa.float32()))
    rows = read(path)
    assert rows.units.shape == (4, 2)
    assert rows.faults[0].reason == "vector_dimension"
    assert rows.faults[0].detail == "the vector has 3 values, which is not the dimension of the table"


def test_the_dimension_of_one_file_s_type_counts_for_all_files(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", ["a", "b"], [[1, 2, 3]] * 2, pa.list_(pa.float32()))
    write(tmp_path / "b.parquet", ["c"], [[1, 2]])
    assert open_vector_table(str(tmp_path)).dim == 2


def test_null_and_empty_vectors_are_passed_over_to_find_the_dimension(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    write(folder / "a.parquet", ["a", "b"], [None, []], pa.list_(pa.float32()))
    write(folder / "b.parquet", ["c"], [[1, 2, 3]], pa.list_(pa.float64()))
    assert open_vector_table(str(folder)).dim == 3


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        (pa.array(["x"]), "column vector is string, not a list of float16"),
        (pa.array([[1, 2]]), r"column vector is list<.*int64.*>, not a list of float16"),
        (pa.array([[]], pa.list_(pa.float32())), "no vector in its column vector"),
    ],
)
def test_a_column_without_vectors_is_refused(tmp_path: Path, column: pa.Array, fault: str) -> None:
    pq.write_table(pa.table({"track_id": ["a"], "vector": column}), tmp_path / "v.parquet")
    with pytest.raises(InvalidDataError, match=fault):
        open_vector_table(str(tmp_path / "v.parquet"))


def test_a_table_without_the_columns_is_refused_and_the_columns_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"track_id": ["a"], "embedding": [[1.0]]}), tmp_path / "v.parquet")
    with pytest.raises(
        InvalidDataError,
        match="0 columns vector, and one is needed; its columns are track_id, embedding; rename embedding",
    ):
        open_vector_table(str(tmp_path / "v.parquet"))
    assert open_vector_table(str(tmp_path / "v.parquet"), "embedding").dim == 1


def test_columns_that_are_not_read_are_listed(tmp_path: Path) -> None:
    for name in ("model", "layer"):
        pq.write_table(pa.table({"track_id": ["a"], "vector": [[1.0]], name: ["x"]}), tmp_path / f"{name}.parquet")
    assert ignored_vector_columns(open_vector_table(str(tmp_path))) == ["layer", "model"]


def test_files_of_different_dimensions_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", ["a"], [[1, 2]])
    write(tmp_path / "b.parquet", ["b"], [[1, 2, 3]], pa.list_(pa.float32(), 3))
    with pytest.raises(InvalidDataError, match=r"a\.parquet has vectors of 2 dimensions, .*b\.parquet of 3"):
        open_vector_table(str(tmp_path))


def test_vectors_are_read_from_parquet_only(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("track_id,vector\na,1|2\n")
    with pytest.raises(UsageError, match="vectors are read from Parquet"):
        open_vector_table(str(tmp_path / "v.csv"))


def test_the_hash_of_files_depends_on_values_and_not_on_names(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, ["a"], [[1, 2]]) for name in ("a.parquet", "b.parquet")]
    other = write(tmp_path / "c.parquet", ["a"], [[1, 3]])
    assert hash_files([paths[0], other]) == hash_files([other, paths[1]])
    assert hash_files([paths[0]]) != hash_files([other])
