"""Settling a scanned catalog."""

import pyarrow as pa
import pytest

from tracktokens.schemas.facts import INPUTS
from tracktokens.transforms.keys import content_keys
from tracktokens.transforms.scanning import KEYED_TRACKS, distinct_inputs
from tracktokens.transforms.settling import pick_inputs, reject_duplicates, track_keys, without_duplicates


def rows_of(*ids_and_positions: tuple[str, int], lyrics: list[str | None] | None = None) -> pa.Table:
    ids = pa.array([track_id for track_id, _ in ids_and_positions])
    columns = {
        "track_id": ids,
        "track_key": content_keys(ids),
        "position": pa.array([position for _, position in ids_and_positions]),
        "lyrics": content_keys(pa.array(lyrics or [None] * len(ids), pa.string())),
    }
    filled = [columns.get(field.name, pa.nulls(len(ids), field.type)) for field in KEYED_TRACKS]
    return pa.table(filled, schema=KEYED_TRACKS)


def test_the_first_of_equal_ids_in_input_order_stays() -> None:
    accepted, duplicates = without_duplicates(rows_of(("b", 7), ("a", 9), ("b", 3), ("a", 1 << 40), ("c", 0)))
    assert accepted.select(["track_id", "position"]).to_pylist() == [
        {"track_id": "a", "position": 9},
        {"track_id": "b", "position": 3},
        {"track_id": "c", "position": 0},
    ]
    assert duplicates["position"].to_pylist() == [1 << 40, 7]


def test_a_duplicate_is_rejected_with_its_place() -> None:
    [reject] = reject_duplicates(rows_of(("a", (2 << 40) + 5))).to_pylist()
    assert reject["reason"] == "id_duplicate"
    assert reject["track_id"] == "a"
    assert "input part 3, row 6" in reject["detail"]


def test_only_tracks_that_have_the_modality_have_a_key_of_it() -> None:
    rows = rows_of(("a", 0), ("b", 1), ("c", 2), lyrics=["la", None, "la"])
    lyrics = track_keys(rows["lyrics"].combine_chunks(), 3)
    assert lyrics["track_row"].to_pylist() == [0, 2]
    assert lyrics["track_bucket"].to_pylist() == [3, 3]
    assert lyrics["key"][0] == lyrics["key"][1]


def test_equal_inputs_of_a_batch_are_one() -> None:
    texts = pa.array(["x", None, "y", "x"])
    inputs = distinct_inputs(content_keys(texts), texts)
    assert sorted(inputs["input"].to_pylist()) == ["x", "y"]


def test_wanted_inputs_come_once_and_in_order_of_key() -> None:
    texts = pa.array(["a", "b", "c", "b"])
    inputs = pa.table([content_keys(texts), texts], schema=INPUTS)
    chosen = pick_inputs(inputs, content_keys(pa.array(["b", "a"])))
    assert sorted(chosen["input"].to_pylist()) == ["a", "b"]
    assert chosen["key"].to_pylist() == sorted(chosen["key"].to_pylist())


def test_a_key_without_its_input_is_a_fault() -> None:
    with pytest.raises(LookupError, match="1 keys"):
        pick_inputs(pa.table([[], []], schema=INPUTS), content_keys(pa.array(["a"])))
