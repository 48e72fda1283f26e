"""The gate that refuses a column without a usable value."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracktokens.transforms.catalog.column_losses import ColumnLosses
from tracktokens.transforms.gates.base import Gate


@dataclass(frozen=True)
class ColumnGate(Gate[Sequence[ColumnLosses]]):
    """Refuses a table with a column of which every value is rejected.

    Attributes:
        table: name of the table in messages.
        limit: number of rejected values up to which such a column is accepted: one value in a column without any other
            is an oversight, and not the format of the export.
        example: one rejected value, for people; None where none is known.
    """

    table: str
    limit: float = 0
    example: str | None = None

    def find_violation(self, measured: Sequence[ColumnLosses]) -> str | None:
        """Name the columns without a value that can be used."""
        lost = unusable_columns(measured, self.limit)
        if not lost:
            return None
        example = "" if self.example is None else f", for example {self.example}"
        names = ", ".join(column.describe() for column in lost)
        return f"no value of {self.table} can be used in {names}{example}: fix the column or remove it"


def unusable_columns(columns: Sequence[ColumnLosses], limit: float) -> list[ColumnLosses]:
    """List the columns of which every value is rejected, and more values than ``limit``."""
    return [column for column in columns if column.lost > limit and not column.kept]
