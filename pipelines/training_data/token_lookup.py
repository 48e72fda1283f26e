"""Tokens of a whole release by track id, at 8 bytes and two per token for each track."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.codebooks.numerics.arrays import CodeMatrix
from tracktokens.codebooks.tokens.rendering import track_text
from tracktokens.codebooks.tokens.vocabulary import tuple_string
from tracktokens.transforms.store.keys import content_keys, track_numbers
from tracktokens.transforms.store.token_tables import TokenTable, code_matrix

UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class TokenLookup:
    """Codes of all tracks, by the number of the track, which is a hash of its id and unique in a catalog.

    Attributes:
        names: columns of the token format, in order.
        numbers: uint64 (tracks,), ascending.
        codes: int16 (tracks, columns), -1 where a track lacks a modality.
    """

    names: tuple[str, ...]
    numbers: npt.NDArray[np.uint64] = field(repr=False)
    codes: CodeMatrix = field(repr=False)

    @classmethod
    def read(cls, table: TokenTable) -> "TokenLookup":
        """Read the token table of a release, bucket by bucket."""
        names = table.token_format.names
        numbers, codes = [], []
        for bucket in range(table.catalog.buckets):
            rows = table.read_codes(bucket)
            numbers.append(track_numbers(content_keys(rows["track_id"].combine_chunks())))
            codes.append(code_matrix(rows, names))
        joined = np.concatenate(numbers)
        order = np.argsort(joined)
        return cls(names, joined[order], np.concatenate(codes)[order])

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, track_ids: pa.StringArray) -> npt.NDArray[np.int64]:
        """Find the rows of tracks: int64 (ids,), ``UNKNOWN`` for an id that the release does not have, or null."""
        if not len(track_ids) or not len(self.numbers):
            return np.full(len(track_ids), UNKNOWN, np.int64)
        wanted = track_numbers(content_keys(track_ids.fill_null("")))
        found = np.minimum(np.searchsorted(self.numbers, wanted), len(self.numbers) - 1)
        return np.where(self.numbers[found] == wanted, found, UNKNOWN)

    def text(self, row: int) -> str:
        """Write a track as a model does; see :func:`.track_text`."""
        return track_text(self.tokens(row))

    def tokens(self, row: int) -> str:
        """Write the tokens of a track."""
        return tuple_string(self.codes[row].tolist(), self.names)

    def tokens_of(self, track_id: str) -> str | None:
        """Return the tokens of a track; None if the release does not have it."""
        [row] = self.rows(pa.array([track_id], pa.string()))
        return None if row == UNKNOWN else self.tokens(int(row))
