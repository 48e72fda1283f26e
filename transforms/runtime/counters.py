"""Named counts as elements of the pipeline, summed at the end: exact, while a Beam counter may count a retry twice."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import apache_beam as beam

from tracktokens.schemas.errors import TracktokensError
from tracktokens.transforms.runtime.gather import Gather
from tracktokens.transforms.store import files

COUNTS_TAG = "counts"
"""Output of a transform with its counts, as pairs of name and number."""


class OnTotals(beam.PTransform):
    """Add up named counts, and call a function with the totals, once.

    Args:
        function: receives name to total. What it returns is the only element of the output.
        kind: type of that element.
    """

    def __init__(self, function: Callable[[Mapping[str, int]], Any], kind: object) -> None:
        super().__init__()
        self._gather = Gather(partial(_call_with_totals, function), kind)

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        """Sum by name, and gather the sums."""
        return counts | beam.CombinePerKey(sum) | self._gather


def _call_with_totals(function: Callable[[Mapping[str, int]], Any], totals: list[tuple[str, int]]) -> Any:
    return function(dict(totals))


class WriteCounts(OnTotals):
    """Add up named counts, and write them as one JSON object."""

    def __init__(self, path: str) -> None:
        super().__init__(partial(files.write_json, path), type(None))


def require_balance(rows: str, read: int, kept: int, where: str, rejected: int) -> None:
    """Check that every row that was read was kept or rejected.

    Args:
        rows: name of the rows in the message.
        read: rows read.
        kept: rows kept.
        where: place of the kept rows in the message.
        rejected: rows in the rejects.

    Raises:
        TracktokensError: rows are unaccounted for, which is a bug.
    """
    if read != kept + rejected:
        raise TracktokensError(
            f"{read} {rows} read, but {kept} {where} and {rejected} rejected: "
            "this is a bug in tracktokens, please report it; nothing was published"
        )


def first_imbalance(balances: Mapping[str, tuple[int, int]], arrived: str) -> str | None:
    """Describe the first items that were lost in a job; None if none were lost.

    Args:
        balances: name of the items to the number expected and the number counted.
        arrived: verb of the counted items in the message, such as "arrived".
    """
    lost = ((name, expected, count) for name, (expected, count) in balances.items() if expected != count)
    return next((f"{name}: {expected} expected, {count} {arrived}" for name, expected, count in lost), None)


def read_counts(path: str) -> Counter[str]:
    """Read the counts that :class:`WriteCounts` wrote; a name that was never counted is 0."""
    return Counter(files.read_json(path))
