"""Sorting in files gives the order of sorting in memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.serving import external_sort
from tracktokens.serving.external_sort import sort_in_ranges

KEYS = [("weight", "descending"), ("name", "ascending")]


@pytest.fixture(autouse=True)
def _small_stride(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_sort, "SAMPLE_STRIDE", 3)


def drawn() -> pa.Table:
    draw = np.random.default_rng(0)
    names = [f"n{number}" for number in draw.integers(0, 20, 500)]
    return pa.table({"name": names, "weight": draw.integers(0, 3, 500).astype(float), "row": np.arange(500)})


@pytest.mark.parametrize("range_rows", [7, 100, 500, 1000])
def test_rows_come_in_order_and_equal_rows_in_the_order_of_the_input(tmp_path: Path, range_rows: int) -> None:
    table = drawn()
    parts = [table.slice(first, 60) for first in range(0, 500, 60)]
    ranges = list(sort_in_ranges(parts, KEYS, tmp_path, range_rows))
    rows = table.to_pylist()
    expected = sorted(rows, key=lambda row: (-row["weight"], row["name"], row["row"]))
    assert pa.concat_tables(ranges).to_pylist() == expected
    assert (len(ranges) > 1) == (range_rows < 500)
    assert list(tmp_path.iterdir()) == []


def test_equal_rows_share_a_range(tmp_path: Path) -> None:
    ranges = [part["name"].to_pylist() for part in sort_in_ranges([drawn()], [KEYS[1]], tmp_path, 10)]
    firsts = [set(names) for names in ranges if names]
    assert sum(map(len, firsts)) == len(set.union(*firsts))


def test_no_rows_are_one_empty_table(tmp_path: Path) -> None:
    [empty] = sort_in_ranges([drawn().slice(0, 0)], KEYS, tmp_path)
    assert empty.num_rows == 0
