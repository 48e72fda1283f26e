"""Terms that describe tracks: tags, words of titles, artists; and those that distinguish the tracks of a code."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.metrics.log_odds import distinctiveness
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


def term_counts(terms: pa.Table, groups: npt.NDArray[np.int64], number: int) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Count the tracks of each group that have each of the ``MOST_TERMS`` commonest terms.

    Args:
        terms: ``TRACK_TERMS``.
        groups: int64 (tracks,), the group of each track.
        number: number of groups.

    Returns:
        The distinct terms, the commonest first, and int64 (groups, terms) counts.
    """
    common = pc.value_counts(terms["term"]).flatten()
    order = pc.sort_indices(
        pa.table(common, names=["term", "tracks"]), [("tracks", "descending"), ("term", "ascending")]
    )
    names = common[0].take(order[:MOST_TERMS])
    codes = pc.index_in(terms["term"].combine_chunks(), value_set=names)
    owners = groups[terms["row"].filter(codes.is_valid()).to_numpy()]
    cells = owners * len(names) + codes.drop_null().to_numpy()
    return names, np.bincount(cells, minlength=number * len(names)).reshape(number, len(names))


@dataclass(frozen=True, eq=False)
class CodeTerms:
    """Terms of the tracks that have each code of a column.

    Attributes:
        terms: the commonest terms of all tracks, string (terms,).
        counts: int64 (codes + 1, terms), tracks with a code that have a term; the last row is of tracks without a code.
    """

    terms: pa.Array = field(repr=False)
    counts: npt.NDArray[np.int64] = field(repr=False)

    @cached_property
    def _everywhere(self) -> npt.NDArray[np.int64]:
        everywhere: npt.NDArray[np.int64] = self.counts.sum(axis=0)
        return everywhere

    def best(self, code: int, most: int) -> tuple[str, ...]:
        """Return the terms that distinguish the tracks of a code from all others, the best first; at most ``most``."""
        counts = self.counts[code]
        scores = distinctiveness(counts, self._everywhere)
        best = [row for row in np.argsort(-scores, kind="stable")[:most] if counts[row] and scores[row] > 0]
        return tuple(self.terms.take(pa.array(best, pa.int64())).to_pylist())


class CatalogTerms:
    """Terms of the tracks of a release, of a random sample of ``COUNTED_TRACKS`` of a larger catalog.

    Everything that names the words of a code counts them here, so that all agree.
    """

    def __init__(self, table: TokenTable) -> None:
        self._table = table
        self._buckets = sample_buckets(table, COUNTED_TRACKS)
        columns = ["title", "artist", "tag_names"]
        self._terms = track_terms(pa.concat_tables([table.tracks(bucket, columns) for bucket in self._buckets]))

    def by_code(self, column: str, codes: int) -> CodeTerms:
        """Count the terms per code of a column that has ``codes`` codes."""
        read = pa.concat_tables([self._table.read(bucket, [column]) for bucket in self._buckets])[column]
        coded = pc.fill_null(read, NONE).to_numpy().astype(np.int64)
        groups = np.where(coded == NONE, codes, coded)
        return CodeTerms(*term_counts(self._terms, groups, codes + 1))


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
