"""A column without a usable value is refused."""

import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.catalog.column_losses import ColumnLosses
from tracktokens.transforms.gates.columns import ColumnGate


def test_a_column_without_a_usable_value_is_refused_with_an_example() -> None:
    year, tags = ColumnLosses("year", 0, 9, {"wrong_type": 9}), ColumnLosses("tags", 1, 9, {"wrong_type": 9})
    with pytest.raises(InvalidDataError, match=r"^no value of tracks .* year \(wrong_type 9\), for example '\?': fix"):
        ColumnGate("tracks", example="'?'").check([tags, year])
    ColumnGate("tracks").check([tags])
    ColumnGate("tracks", limit=9).check([tags, year])
