"""Named counts that travel beside the data and are summed at the end: exact where a runner may count a retry twice."""

from collections import Counter
from collections.abc import Mapping
from functools import partial

import apache_beam as beam

from tracktokens.schemas.errors import TracktokensError
from tracktokens.transforms.store import files

COUNTS_TAG = "counts"
"""Output of a transform on which its counts go, as pairs of name and number."""


class Totals(beam.PTransform):
    """Adds up named counts to one dictionary."""

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        """Sum by name, and gather."""
        return counts | beam.CombinePerKey(sum) | beam.combiners.ToDict()


class WriteCounts(beam.PTransform):
    """Adds up named counts and writes them as one JSON object."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        """Sum by name, gather, write."""
        return counts | Totals() | beam.Map(partial(files.write_json, self._path))


def require_balance(rows: str, read: int, kept: int, where: str, rejected: int) -> None:
    """Check that all rows read were kept or rejected: nothing is lost without a trace.

    Args:
        rows: what they are called, for the message.
        read: rows read.
        kept: rows that stayed.
        where: what became of these, for the message.
        rejected: rows in the rejects.

    Raises:
        TracktokensError: when rows are unaccounted for, which is a fault of ours.
    """
    if read != kept + rejected:
        raise TracktokensError(
            f"{read} {rows} read, but {kept} {where} and {rejected} rejected: "
            "this is a fault of tracktokens, please report it; nothing was published"
        )


def first_imbalance(balances: Mapping[str, tuple[int, int]], became: str) -> str | None:
    """Say what did not all come through a job; None where everything did.

    Args:
        balances: what it is to how many there were, and how many there are.
        became: what there are of them, for the message.
    """
    return next((f"of {n} {what} {left} {became}" for what, (n, left) in balances.items() if n != left), None)


def read_counts(path: str) -> Counter[str]:
    """Read what :class:`WriteCounts` wrote; a name that was never counted is 0."""
    return Counter(files.read_json(path))
