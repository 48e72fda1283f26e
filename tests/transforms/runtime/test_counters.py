"""Counts beside the data."""

import pytest

from tracktokens.schemas.errors import TracktokensError
from tracktokens.transforms.runtime.counters import first_imbalance, require_balance


def test_rows_that_are_all_kept_or_rejected_balance() -> None:
    require_balance("rows", 5, 3, "accepted", 2)


@pytest.mark.parametrize(("kept", "rejected"), [(3, 1), (4, 2)])
def test_a_lost_or_repeated_row_is_an_error_and_nothing_is_published(kept: int, rejected: int) -> None:
    with pytest.raises(TracktokensError, match=f"5 rows read, but {kept} accepted and {rejected} rejected.*nothing"):
        require_balance("rows", 5, kept, "accepted", rejected)


def test_the_first_items_that_were_lost_are_named() -> None:
    assert first_imbalance({"codes": (5, 5), "failures": (3, 2), "tracks": (2, 1)}, "arrived") == (
        "failures: 3 expected, 2 arrived"
    )
    assert first_imbalance({"codes": (5, 5)}, "arrived") is None
