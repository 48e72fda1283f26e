"""Ids by their beginning, and as ``latest``."""

import pytest

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store.ids import complete_id, show_ids

IDS = ["20261128T030000Z-81f3", "20261127T030000Z-81f3", "2026"]


@pytest.mark.parametrize(
    ("given", "found"), [("20261127", IDS[1]), (IDS[0], IDS[0]), ("2026", "2026"), ("2025", None), ("81f3", None)]
)
def test_an_id_is_completed_if_it_is_the_only_one(given: str, found: str | None) -> None:
    assert complete_id(given, IDS) == found


def test_several_ids_are_an_error_that_names_them() -> None:
    with pytest.raises(UsageError, match=f"202611 is the beginning of {IDS[0]}, {IDS[1]}: give more"):
        complete_id("202611", IDS)


def test_only_the_first_ids_are_named() -> None:
    assert show_ids([str(n) for n in range(7)]) == "0, 1, 2, 3, 4 and 2 more"
