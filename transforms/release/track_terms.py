"""Terms that describe tracks: tags, words of titles, artists; and those that distinguish the tracks of a code."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.metrics.log_odds import distinctiveness
from tracktokens.codebooks.numerics.arrays import Counts, RowIndices
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.transforms.store.token_tables import TokenTable

MOST_TERMS = 20_000
"""Most terms that are counted; bounds the table of groups and terms."""

COUNTED_TRACKS = 500_000
"""Most tracks that are read for the words of all codes, a random sample of a larger catalog: it bounds the memory."""

_NO_WORD = r"[^\p{L}\p{N}']+"

TRACK_TERMS = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("term", pa.string(), nullable=False)])
"""One row per track and term, without repeats: the row of the track and the term."""


def track_terms(tracks: pa.Table) -> pa.Table:
    """List the terms of tracks with ``title``, ``artist`` and ``tag_names``: a table of ``TRACK_TERMS``.

    Terms are lower-case. An artist's whole name is one term.
    """
    titles = pc.split_pattern_regex(pc.utf8_lower(tracks["title"].combine_chunks()), _NO_WORD)
    tags = tracks["tag_names"].combine_chunks()
    artists = pc.utf8_lower(tracks["artist"].combine_chunks())
    rows = [pc.list_parent_indices(titles), pc.list_parent_indices(tags), pa.array(np.arange(len(artists)))]
    terms = [pc.list_flatten(titles), pc.utf8_lower(pc.list_flatten(tags)), artists]
    table = pa.table([pa.chunked_array([part.cast(field.type) for part in parts]) for parts, field in zip(
        (rows, terms), TRACK_TERMS, strict=True)], names=TRACK_TERMS.names)  # fmt: skip
    present = table.filter(pc.greater(pc.binary_length(pc.fill_null(table["term"], "")), 0))
    return present.group_by(TRACK_TERMS.names, use_threads=False).aggregate([]).cast(TRACK_TERMS)


@dataclass(frozen=True, eq=False)
class CommonTerms:
    """The commonest terms of tracks, and the tracks that have each.

    Attributes:
        names: the terms, the commonest first: string (terms,).
        tracks: int64 (n,), row of a track, one for each of its terms.
        terms: int64 (n,), index of the term.
    """

    names: pa.Array = field(repr=False)
    tracks: RowIndices = field(repr=False)
    terms: RowIndices = field(repr=False)

    @classmethod
    def of(cls, terms: pa.Table) -> "CommonTerms":
        """Take the ``MOST_TERMS`` commonest of ``TRACK_TERMS``."""
        common = pc.value_counts(terms["term"]).flatten()
        order = pc.sort_indices(
            pa.table(common, names=["term", "tracks"]), [("tracks", "descending"), ("term", "ascending")]
        )
        names = common[0].take(order[:MOST_TERMS])
        found = pc.index_in(terms["term"].combine_chunks(), value_set=names)
        tracks = terms["row"].filter(found.is_valid()).to_numpy()
        return cls(names, tracks, found.drop_null().to_numpy().astype(np.int64))

    @cached_property
    def everywhere(self) -> Counts:
        """Tracks that have each term: int64 (terms,)."""
        return np.bincount(self.terms, minlength=len(self.names))

    def by_code(self, codes: Counts, number: int) -> "CodeTerms":
        """Count the tracks of each code that have each term.

        Args:
            codes: int64 (tracks,), the code of each track, ``number`` for none.
            number: number of codes.
        """
        width = max(len(self.names), 1)
        cells, counts = np.unique(codes[self.tracks] * width + self.terms, return_counts=True)
        starts = np.searchsorted(cells, np.arange(number + 1) * width)
        return CodeTerms(self, starts, cells % width, counts)


@dataclass(frozen=True, eq=False)
class CodeTerms:
    """Terms of the tracks that have each code of a column: a sparse table of codes and terms.

    Attributes:
        common: the terms.
        starts: int64 (codes + 1,), first cell of each code; cells from the last on are of tracks without a code.
        terms: int64 (cells,), index of the term, ascending within a code.
        counts: int64 (cells,), tracks with the code that have the term, at least 1.
    """

    common: CommonTerms
    starts: RowIndices = field(repr=False)
    terms: RowIndices = field(repr=False)
    counts: Counts = field(repr=False)

    def best(self, code: int, most: int) -> tuple[str, ...]:
        """Return the terms that distinguish the tracks of a code from all others, the best first; at most ``most``."""
        cells = slice(*self.starts[code : code + 2])
        inside, terms = self.counts[cells], self.terms[cells]
        everywhere = self.common.everywhere[terms]
        scores = distinctiveness(inside, everywhere, int(inside.sum()), len(self.common.terms))
        best = [row for row in np.argsort(-scores, kind="stable")[:most] if scores[row] > 0]
        return tuple(self.common.names[terms[row]].as_py() for row in best)


class CatalogTerms:
    """Terms of the tracks of a release, of a random sample of ``COUNTED_TRACKS`` of a larger catalog.

    Everything that names the words of a code counts them here, so that all agree.
    """

    def __init__(self, table: TokenTable) -> None:
        self._table = table
        self._buckets = sample_buckets(table, COUNTED_TRACKS)
        columns = ["title", "artist", "tag_names"]
        tracks = pa.concat_tables([table.tracks(bucket, columns) for bucket in self._buckets])
        self._terms = CommonTerms.of(track_terms(tracks))

    def by_code(self, column: str, codes: int) -> CodeTerms:
        """Count the terms per code of a column that has ``codes`` codes."""
        read = pa.concat_tables([self._table.read(bucket, [column]) for bucket in self._buckets])[column]
        coded = pc.fill_null(read, NONE).to_numpy().astype(np.int64)
        return self._terms.by_code(np.where(coded == NONE, codes, coded), codes)


def sample_buckets(table: TokenTable, most: int) -> Sequence[int]:
    """Choose the first buckets that hold ``most`` tracks, a random sample of a larger catalog; or all."""
    read = 0
    for bucket in range(table.catalog.buckets):
        read += table.read(bucket, ["track_id"]).num_rows
        if read >= most:
            return range(bucket + 1)
    return range(table.catalog.buckets)


def code_words(table: TokenTable, most: int) -> dict[str, list[tuple[str, ...]]]:
    """List the terms that distinguish the tracks of each code of a release: column to terms by code, the best first.

    A code without tracks, or whose tracks have no term more often than others, has none.

    Args:
        table: token table of the release.
        most: most terms per code.
    """
    catalog = CatalogTerms(table)
    words = {}
    for column in table.token_format.coded:
        terms = catalog.by_code(column.name, column.size)
        words[column.name] = [terms.best(code, most) for code in range(column.size)]
    return words
