"""Distinct inputs of a release with their codes, distances and margins, and the tracks that have them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import Codes, Counts, Floats, Mask, RowIndices, Words
from tracktokens.schemas.tables.catalog import TRACK_KEYS
from tracktokens.schemas.tables.records import CODE_RECORDS
from tracktokens.schemas.token_format import modality_of
from tracktokens.transforms.quantization.code_join import record_rows
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import key_words
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.token_tables import TokenTable


@dataclass(frozen=True, eq=False)
class CodedInputs:
    """Distinct inputs of a column that tracks of the catalog have.

    Attributes:
        keys: uint64 (n, 2), content keys.
        codes: int16 (n,).
        distances: float32 (n,), squared distance to the centroid.
        margins: float32 (n,), squared distance to the second nearest centroid minus ``distances``; NaN without one.
        tracks: uint64 (n,), number of one track with the input.
        weights: int64 (n,), tracks with the input.
    """

    keys: Words
    codes: Codes
    distances: Floats
    margins: Floats
    tracks: Words
    weights: Counts

    def take(self, rows: RowIndices | Mask) -> CodedInputs:
        """Select inputs by index or mask."""
        return CodedInputs(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def concatenate(cls, parts: Iterable[CodedInputs]) -> CodedInputs:
        """Join the inputs of several buckets, at least one."""
        joined = list(parts)
        return cls(*(np.concatenate([getattr(part, field.name) for part in joined]) for field in fields(cls)))

    def nearest(self, most: int) -> CodedInputs:
        """Keep the inputs nearest to their centroid, at most ``most`` per code, by code and distance.

        Inputs at the same distance are in the order of their keys.
        """
        order = np.lexsort((self.keys[:, 1], self.keys[:, 0], self.distances, self.codes))
        codes = self.codes[order]
        rank = np.arange(len(codes)) - np.searchsorted(codes, codes)
        return self.take(order[rank < most])


class NearestInputs:
    """Accumulator of the inputs nearest to each centroid, bucket by bucket."""

    def __init__(self, codes: int, most: int) -> None:
        """Start without inputs; of each of ``codes`` codes, ``most`` are kept."""
        self._most = most
        self._kept: list[CodedInputs] = []
        self._limits = np.full(codes, np.inf, np.float32)  # inputs further away are not among the nearest

    @property
    def inputs(self) -> CodedInputs:
        """The nearest of the buckets so far, at least one, by code and distance."""
        return self._kept[0]

    def update(self, inputs: CodedInputs) -> None:
        """Add a bucket."""
        candidates = inputs.take(inputs.distances <= self._limits[inputs.codes])
        kept = CodedInputs.concatenate([*self._kept, candidates]).nearest(self._most)
        before_last = self._most - 1
        complete = np.flatnonzero(kept.codes[before_last:] == kept.codes[: max(len(kept.codes) - before_last, 0)])
        self._limits[kept.codes[complete]] = kept.distances[complete + before_last]
        self._kept = [kept]


def read_coded_inputs(store: Store, table: TokenTable, column: str, bucket: int) -> CodedInputs:
    """Read one bucket of the inputs of a column: those that the catalog has and that have a code."""
    records = files.read_table(store.codes(table.bundle_id, column, bucket), CODE_RECORDS)
    keys = files.read_table(table.catalog.keys(modality_of(column), bucket), TRACK_KEYS)
    rows = record_rows(keys, records)
    tracks = keys["track"].filter(rows.is_valid()).to_numpy()
    used, first, weights = np.unique(rows.drop_null().to_numpy(), return_index=True, return_counts=True)
    chosen = records.take(used)
    return CodedInputs(
        keys=key_words(chosen["key"].combine_chunks()),
        codes=chosen["code"].to_numpy(),
        distances=chosen["distance"].to_numpy(),
        margins=pc.fill_null(chosen["margin"], np.nan).to_numpy(),
        tracks=tracks[first],
        weights=weights,
    )
