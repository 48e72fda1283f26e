"""Columns and values of an input table that are not used: count them in a scan, and describe them for people."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracktokens.schemas.display import show_name, show_value
from tracktokens.schemas.tables.column_hints import suggest_column
from tracktokens.schemas.tables.rejects import REJECTS
from tracktokens.transforms.readers.fragment_reader import ScanBatch
from tracktokens.transforms.store import files

IGNORED = "ignored/"
_MISNAMED = "misnamed/"
_KEPT = "values_kept/"
_LOST = "values_lost/"
_REJECTED = "values_rejected/"
NULL_ELEMENTS = "null_elements/"

_SHOWN_COLUMNS = 5


def column_counts(scanned: ScanBatch) -> Iterator[tuple[str, int]]:
    """Yield the named counts of a batch's columns, which the functions of this module read."""
    for name in scanned.ignored_columns:
        yield f"{IGNORED}{name}", scanned.rows_read
    for name, meant in scanned.misnamed_columns.items():
        yield f"{_MISNAMED}{meant}/{name}", scanned.rows_read
    for name, column in scanned.columns.items():
        yield f"{_KEPT}{name}", column.kept
        yield f"{NULL_ELEMENTS}{name}", column.null_elements
        yield f"{_LOST}{name}", len(column.lost)
        yield from ((f"{_REJECTED}{name}/{reason}", count) for reason, count in column.rejected.items())


@dataclass(frozen=True)
class IgnoredColumns:
    """Columns of a table that are not read.

    Attributes:
        names: all of them, sorted.
        meant: name to the column that it probably means.
    """

    names: Sequence[str]
    meant: Mapping[str, str]

    @classmethod
    def of_counts(cls, counts: Mapping[str, int]) -> "IgnoredColumns":
        """Collect the columns that a scan counted. A name has a hint if a file lacks the column that it means."""
        misnamed = (name.removeprefix(_MISNAMED).split("/", 1) for name in counts if name.startswith(_MISNAMED))
        meant = {name: column for column, name in misnamed}
        return cls(sorted(name.removeprefix(IGNORED) for name in counts if name.startswith(IGNORED)), meant)

    @classmethod
    def of_names(cls, names: Collection[str], wanted: Collection[str]) -> "IgnoredColumns":
        """Guess which of the wanted columns the names mean."""
        guesses = {name: suggest_column(name, wanted) for name in names}
        return cls(sorted(names), {name: guess for name, guess in guesses.items() if guess is not None})

    def describe(self) -> str:
        """List the names for people, those with a hint first; empty without any."""
        hinted = [name for name in self.names if name in self.meant]
        plain = [show_name(name) for name in self.names if name not in self.meant]
        more = [f"{len(plain) - _SHOWN_COLUMNS} more"] if len(plain) > _SHOWN_COLUMNS else []
        hints = ", ".join(map(show_name, hinted)) + f" (did you mean {', '.join(self.meant[name] for name in hinted)}?)"
        return ", ".join([*([hints] if hinted else []), *plain[:_SHOWN_COLUMNS], *more])


@dataclass(frozen=True)
class ColumnLosses:
    """Values that a column lost when it was read.

    Attributes:
        name: name of the column.
        kept: values that can be used.
        lost: values of which nothing is left.
        rejected: reason to number of rejects, of values and of elements of lists.
    """

    name: str
    kept: int
    lost: int
    rejected: Mapping[str, int]

    def describe(self) -> str:
        """Name the column, and count its rejects by reason."""
        return f"{self.name} ({describe_reasons(self.rejected)})"


def column_losses(counts: Mapping[str, int]) -> list[ColumnLosses]:
    """List the columns with rejected values, sorted by name."""
    names = {name.removeprefix(_REJECTED).split("/")[0] for name in counts if name.startswith(_REJECTED)}
    return [
        ColumnLosses(
            name=name,
            kept=counts.get(f"{_KEPT}{name}", 0),
            lost=counts.get(f"{_LOST}{name}", 0),
            rejected=_by_suffix(counts, f"{_REJECTED}{name}/"),
        )
        for name in sorted(names)
    ]


def kept_values(counts: Mapping[str, int]) -> dict[str, int]:
    """Count the values of each column that can be used, by name of the column."""
    return _by_suffix(counts, _KEPT)


def reject_example(folder: str, losses: Collection[ColumnLosses]) -> str | None:
    """Describe one rejected value of some columns, from a folder of rejects; None without any."""
    reasons = {reason for column in losses for reason in column.rejected}
    for batch in files.read_folder(folder, REJECTS, ["track_id", "reason", "detail"]):
        for row in batch.to_pylist():
            if row["reason"] in reasons and any(f"{column.name}: " in row["detail"] for column in losses):
                track = "" if row["track_id"] is None else f"track {show_value(row['track_id'])}: "
                return f"{track}{row['detail']}"
    return None


def describe_reasons(reasons: Mapping[str, int]) -> str:
    """List reject reasons and their counts, sorted by reason."""
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))


def _by_suffix(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
