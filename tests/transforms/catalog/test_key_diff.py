"""Keys of a catalog, diffed against the previous catalog."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tracktokens.schemas.modalities import MODALITIES, TAGS
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, KEY_DIFF, TRACK_KEYS
from tracktokens.transforms.catalog.key_diff import RowAlignment, apply_key_diff, count_changes, diff_keys
from tracktokens.transforms.store.keys import content_keys

SCHEMA = pa.schema([CATALOG_TRACKS.field(name) for name in ("track", *MODALITIES)])
NOTHING = pa.array([], pa.binary(16))


def tracks_of(tags: dict[int, str | None]) -> pa.Table:
    """Tracks by number, with the key of a text as tags."""
    rows = len(tags)
    columns = {
        "track": pa.array(list(tags), pa.uint64()),
        TAGS: content_keys(pa.array(list(tags.values()), pa.string())),
    }
    return pa.table([columns.get(field.name, pa.nulls(rows, field.type)) for field in SCHEMA], schema=SCHEMA)


def key(text: str) -> bytes:
    return content_keys(pa.array([text]))[0].as_py()


def diff(
    previous: pa.Table, current: pa.Table, positions: npt.NDArray[np.int64], retried: pa.Array = NOTHING
) -> tuple[npt.NDArray[np.bool_], pa.RecordBatch]:
    alignment = RowAlignment.of(previous, current)
    return diff_keys(previous, current, TAGS, alignment=alignment, positions=positions, retried=retried)


def changes_between(
    previous_tags: dict[int, str | None], current_tags: dict[int, str | None]
) -> tuple[list[bool], set[object]]:
    previous, current = tracks_of(previous_tags), tracks_of(current_tags)
    positions = np.array(list(current_tags), np.int64) * 10
    differs, changes = diff(previous, current, positions)
    rows = changes.to_pylist()
    assert len(rows) == len({tuple(row.values()) for row in rows})
    return differs.tolist(), {(row["track"], row["key"], row["removed"]) for row in rows}


def test_only_new_removed_and_changed_keys_are_passed_on() -> None:
    previous_tags = {1: "same", 2: "old", 3: "lost", 4: None, 5: "gone", 6: None}
    current_tags = {7: "new", 1: "same", 2: "other", 3: None, 4: "found", 6: None}
    differs, changes = changes_between(previous_tags, current_tags)
    assert differs == [True, False, True, True, True, False]
    assert changes == {
        (7, key("new"), False),
        (2, key("old"), True),
        (2, key("other"), False),
        (3, key("lost"), True),
        (4, key("found"), False),
        (5, key("gone"), True),
    }


def test_changes_are_counted_by_kind() -> None:
    previous = tracks_of({1: "same", 2: "old", 3: "lost", 4: None, 5: "gone", 6: None, 8: None})
    current = tracks_of({7: "new", 1: "same", 2: "other", 3: None, 4: "found", 6: None, 9: None})
    differs, _ = diff(previous, current, np.zeros(7, np.int64))
    alignment = RowAlignment.of(previous, current)
    found = count_changes(previous, current, TAGS, alignment=alignment, differs=differs)
    assert found == {"new": 2, "changed": 1, "removed": 2}  # 7 and 4; 2; 3 and 5
    first = tracks_of({})
    differs, _ = diff(first, current, np.zeros(7, np.int64))
    every = count_changes(first, current, TAGS, alignment=RowAlignment.of(first, current), differs=differs)
    assert every == {"new": 4, "changed": 0, "removed": 0}


def test_without_a_previous_catalog_every_key_is_new_and_has_its_location() -> None:
    previous, current = tracks_of({}), tracks_of({3: "a", 4: None, 5: "b"})
    _, changes = diff(previous, current, np.array([30, 40, 50]))
    assert [(row["track"], row["position"], row["removed"]) for row in changes.to_pylist()] == [
        (3, 30, False),
        (5, 50, False),
    ]


def test_a_key_to_retry_is_listed_as_added_without_a_change() -> None:
    tracks = tracks_of({1: "failed", 2: "fine", 3: "failed", 4: None})
    retried = content_keys(pa.array(["failed", "elsewhere"]))
    differs, changes = diff(tracks, tracks, np.arange(4), retried)
    assert not differs.any()
    assert [(row["track"], row["removed"]) for row in changes.to_pylist()] == [(1, False), (3, False)]


@pytest.mark.parametrize("seed", range(5))
def test_updated_keys_are_those_of_the_current_catalog(seed: int) -> None:
    draw = np.random.default_rng(seed)
    texts = [None, *"abcdef"]

    def catalog() -> dict[int, str | None]:
        numbers = draw.choice(60, 40, replace=False)
        return {int(number): texts[draw.integers(len(texts))] for number in numbers}

    tracks, keys = tracks_of({}), TRACK_KEYS.empty_table()
    for _ in range(4):
        current = tracks_of(texts_by_track := catalog())
        positions = np.zeros(current.num_rows, np.int64)
        _, changes = diff(tracks, current, positions)
        known = set(keys["key"].to_pylist())
        keys, tracks = apply_key_diff(keys, pa.Table.from_batches([changes], KEY_DIFF)), current
        pairs = {(row["track"], row["key"]) for row in keys.to_pylist()}
        assert len(pairs) == keys.num_rows
        assert pairs == {(number, key(text)) for number, text in texts_by_track.items() if text is not None}
        assert keys["key"].to_pylist() == sorted(keys["key"].to_pylist())
        fresh = {(row["track"], row["key"]) for row in changes.to_pylist() if not row["removed"]}
        assert {(row["track"], row["key"]) for row in keys.to_pylist() if row["changed"]} == fresh
        assert {row["key"] for row in keys.to_pylist() if row["new"]} == {key for _, key in fresh} - known


def test_a_change_that_is_applied_again_changes_no_keys() -> None:
    changes = pa.Table.from_pylist([{"key": key("a"), "track": 1, "position": 0, "removed": False}], schema=KEY_DIFF)
    once = apply_key_diff(TRACK_KEYS.empty_table(), changes)
    assert apply_key_diff(once, changes).drop_columns(["new"]).equals(once.drop_columns(["new"]))
