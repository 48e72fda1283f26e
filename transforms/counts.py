"""Named counts that travel beside the data and are summed at the end: exact where a runner may count a retry twice."""

from collections import Counter
from functools import partial

import apache_beam as beam

from tracktokens.transforms import files

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


def read_counts(path: str) -> Counter[str]:
    """Read what :class:`WriteCounts` wrote; a name that was never counted is 0."""
    return Counter(files.read_json(path))
