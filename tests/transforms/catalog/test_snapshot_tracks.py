"""Writing the snapshot of a scanned catalog."""

import pyarrow as pa

from tracktokens.transforms.catalog.scan_tracks import keyed_tracks
from tracktokens.transforms.catalog.snapshot_tracks import reject_duplicates, without_duplicates
from tracktokens.transforms.store.keys import content_keys


def rows_of(*ids_and_positions: tuple[str, int]) -> pa.Table:
    ids = pa.array([track_id for track_id, _ in ids_and_positions])
    columns = {
        "track_id": ids,
        "track_key": content_keys(ids),
        "position": pa.array([position for _, position in ids_and_positions]),
    }
    schema = keyed_tracks([])
    return pa.table([columns.get(field.name, pa.nulls(len(ids), field.type)) for field in schema], schema=schema)


def test_the_first_of_equal_ids_in_input_order_is_kept() -> None:
    accepted, duplicates = without_duplicates(rows_of(("b", 7), ("a", 9), ("b", 3), ("a", 1 << 40), ("c", 0)))
    assert accepted.select(["track_id", "position"]).to_pylist() == [
        {"track_id": "a", "position": 9},
        {"track_id": "b", "position": 3},
        {"track_id": "c", "position": 0},
    ]
    assert duplicates["position"].to_pylist() == [1 << 40, 7]


def test_a_duplicate_is_rejected_with_its_position() -> None:
    [reject] = reject_duplicates(rows_of(("a", (2 << 40) + 5))).to_pylist()
    assert reject["reason"] == "id_duplicate"
    assert reject["track_id"] == "a"
    assert "input part 3, row 6" in reject["detail"]


def test_ids_with_equal_numbers_are_one_and_none_is_lost() -> None:
    rows = rows_of(("b", 0), ("a", 5), ("c", 1))
    key = rows["track_key"][0].as_py()
    alike = pa.array([key, key[:8] + bytes(8), rows["track_key"][2].as_py()], pa.binary(16))
    accepted, others = without_duplicates(rows.set_column(0, rows.schema.field("track_key"), alike))
    assert accepted["track_id"].to_pylist() == ["a", "c"]
    assert others["track_id"].to_pylist() == ["b"]
    assert reject_duplicates(others)["reason"].to_pylist() == ["id_duplicate"]
