"""Tokens of a release, for a service: tracks of a tuple, tokens of a track, matching, and the constraint of decoding.

A serving table is memory-mapped: it opens in milliseconds, and processes share its pages.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint
from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.matching.code_similarity import CodeSimilarity, code_similarities
from tracktokens.codebooks.matching.token_index import Matches, Matching, TokenIndex
from tracktokens.codebooks.numerics.arrays import CodeTuple, Mask, Query, RowIndices
from tracktokens.codebooks.tokens.code_matrix import NONE, WILDCARD
from tracktokens.codebooks.tokens.parsing import parse_tokens
from tracktokens.codebooks.tokens.vocabulary import tuple_string
from tracktokens.schemas.errors import UnknownTrackError, UsageError
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.serving import layout
from tracktokens.serving.mapped_table import MappedTable

Tokens = str | Sequence[int | None]
"""Tokens as text, or a code per column in token order: None or -1 for ``none``, -2 if not written."""


class Tokenizer(Protocol):
    """A tokenizer of transformers, or any object with its vocabulary."""

    def get_vocab(self) -> Mapping[str, int]:
        """Return token to id."""


@dataclass(frozen=True, eq=False)
class TrackMatches:
    """The tracks that match tokens best, the best first.

    Attributes:
        track_ids: their ids.
        matches: their rows, scores and similarities.
    """

    track_ids: tuple[str, ...]
    matches: Matches = field(repr=False)


class CatalogTokens:
    """Tokens of the tracks of one release.

    Immutable, so threads may share it. A pickle has only the folder: another process maps the same files.
    """

    def __init__(self, table: MappedTable) -> None:
        """Wrap a table; see :meth:`open`."""
        self._table = table
        self._format = table.token_format
        self._index = TokenIndex.of_lists(table.codes, table.postings, token_format=self._format)

    @classmethod
    def open(cls, path: str | Path) -> "CatalogTokens":
        """Open the serving table of a release.

        Args:
            path: local folder of a release, or of a store for its latest release, or of a copied serving table.

        Raises:
            UsageError: the folder is not local, or has no serving table.
            InvalidDataError: a file of the table is missing, corrupt, or of a different table.
        """
        return cls(MappedTable.open(_serving_folder(path)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the folder."""
        return CatalogTokens.open, (str(self._table.folder),)

    def __len__(self) -> int:
        """Number of tracks."""
        return self._table.manifest.tracks

    def __contains__(self, track_id: object) -> bool:
        """Return whether the release has a track."""
        return isinstance(track_id, str) and self._row(track_id) is not None

    @property
    def release_id(self) -> str:
        """Id of the release."""
        return self._table.manifest.release_id

    @property
    def bundle_id(self) -> str:
        """Id of the bundle of its codes."""
        return self._table.manifest.bundle_id

    @property
    def token_format(self) -> TokenFormat:
        """Token columns and their numbers of codes."""
        return self._format

    @property
    def trie(self) -> TupleTrie:
        """All token tuples of the release."""
        return self._table.trie

    @property
    def folder(self) -> Path:
        """Folder of the serving table."""
        return self._table.folder

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the token columns, in token order."""
        return self._format.names

    def lookup(self, tokens: Tokens) -> list[str]:
        """Return the ids of the tracks with exactly these tokens, the most popular first; none for an unknown tuple.

        Raises:
            UsageError: a token is missing or not in the vocabulary. For some of the tokens, use :meth:`match`.
        """
        query = self._query(tokens)
        if (query == WILDCARD).any():
            missing = [name for name, code in zip(self.columns, query, strict=True) if code == WILDCARD]
            raise UsageError(f"tokens of {', '.join(missing)} are missing: write all of them, or use match()")
        node = self._table.trie.find(query.tolist())
        return [] if node is None else self._ids(self._tuple_rows(node.first))

    def tokens_of(self, track_id: str) -> str:
        """Return the tokens of a track, in order and without a separator.

        Raises:
            UnknownTrackError: the release does not have the track.
        """
        return tuple_string(self.codes_of(track_id).tolist(), self.columns)

    def codes_of(self, track_id: str) -> CodeTuple:
        """Return the codes of a track, int16 (columns,), -1 for none.

        Raises:
            UnknownTrackError: the release does not have the track.
        """
        row = self._row(track_id)
        if row is None:
            raise UnknownTrackError(f"release {self.release_id} has no track {track_id!r}: give the id of one it has")
        return self._table.codes[:, row].copy()

    def match(
        self,
        tokens: Tokens,
        k: int = 100,
        weights: Sequence[float] | None = None,
        *,
        graded: bool = False,
        none_is_a_token: bool = True,
        allowed: Collection[str] | None = None,
    ) -> TrackMatches:
        """Find the ``k`` tracks that match tokens best; see :mod:`tracktokens.codebooks.matching.token_index`.

        Args:
            tokens: some tokens of a track, or all.
            k: number of tracks, at least 1.
            weights: one per column in token order; by default those of the release.
            graded: whether codes score by the similarity of their centroids.
            none_is_a_token: whether a written ``none`` matches tracks without the modality.
            allowed: ids of the tracks that may be found; all by default. Unknown ids are ignored.

        Raises:
            UsageError: a token is not in the vocabulary, or graded mode lacks the centroids.
            ValueError: ``k`` or the weights are invalid.
        """
        chosen = self._table.manifest.weights if weights is None else weights
        matching = Matching(chosen, graded, none_is_a_token)
        index = self._graded_index if graded else self._index
        matches = index.match(self._query(tokens), k, matching, None if allowed is None else self._mask(allowed))
        return TrackMatches(tuple(self._ids(matches.rows)), matches)

    def constraint(self, tokenizer: Tokenizer | Mapping[str, int], **options: Any) -> CatalogConstraint:
        """Make a logits processor that keeps ``generate`` inside the catalog. It imports torch when it is called.

        Args:
            tokenizer: tokenizer with the tokens of the release, or its vocabulary.
            options: ``exclude``, ``repeats`` and ``codes_outside`` of
                :class:`~tracktokens.codebooks.decoding.catalog_constraint.CatalogConstraint`.

        Raises:
            UsageError: the tokenizer lacks tokens of the release, or the release has no tracks.
        """
        vocabulary = tokenizer if isinstance(tokenizer, Mapping) else tokenizer.get_vocab()
        return CatalogConstraint(self._table.trie, vocabulary, self._format, **options)

    def trie_of(self, track_ids: Collection[str]) -> TupleTrie:
        """Make a trie of the tuples of some tracks. Unknown ids are ignored."""
        return TupleTrie(np.ascontiguousarray(self._table.codes[:, self._rows(track_ids)].T))

    def tuples_within(self, track_ids: Collection[str]) -> RowIndices:
        """Return the numbers of those tuples of the :attr:`trie` all of whose tracks are given: int64, ascending.

        Unknown ids are ignored.
        """
        columns = self._table.codes[:, self._rows(track_ids)]
        nodes = (self._table.trie.find(codes) for codes in columns.T.tolist())
        numbers, counts = np.unique([node.first for node in nodes if node is not None], return_counts=True)
        numbers = numbers.astype(np.int64)
        sizes = self._table.tuple_starts[numbers + 1] - self._table.tuple_starts[numbers]
        within: RowIndices = numbers[counts == sizes]
        return within

    @cached_property
    def _graded_index(self) -> TokenIndex:
        return TokenIndex.of_lists(self._table.codes, self._table.postings, self._similarities(), self._format)

    def _similarities(self) -> list[CodeSimilarity]:
        """Read the centroids of the release's vocabulary."""
        from safetensors.numpy import load_file

        path = self._table.folder.parent / "vocabulary" / "centroids.safetensors"
        if not path.exists():
            raise UsageError(f"{path} is missing, which graded mode needs: copy the whole release, or use exact mode")
        centroids = load_file(path)
        return code_similarities(centroids, self._format)

    def _query(self, tokens: Tokens) -> Query:
        if isinstance(tokens, str):
            return parse_tokens(tokens, self._format)
        codes = [NONE if code is None else int(code) for code in tokens]
        sizes = [column.size for column in self._format.columns]
        if len(codes) != len(sizes) or any(not WILDCARD <= code < size for code, size in zip(codes, sizes)):  # noqa: B905
            raise UsageError(
                f"{codes} are not codes of {', '.join(self.columns)}: give one per column, below {max(sizes)}, "
                f"{NONE} for none, {WILDCARD} if not written"
            )
        return np.array(codes, np.int16)

    def _tuple_rows(self, number: int) -> RowIndices:
        first, last = self._table.tuple_starts[number : number + 2].tolist()
        return self._table.rows_by_tuple[first:last].astype(np.int64)

    def _ids(self, rows: RowIndices) -> list[str]:
        # pa.array() would import pandas where it is installed, which takes longer than to open the table.
        indices = pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])
        track_ids: list[str] = self._table.track_ids.take(indices).to_pylist()
        return track_ids

    def _row(self, track_id: str) -> int | None:
        rows, ids = self._table.rows_by_id, self._table.track_ids
        place = bisect_left(rows, track_id, key=lambda row: ids[int(row)].as_py())
        if place == len(rows) or ids[int(rows[place])].as_py() != track_id:
            return None
        return int(rows[place])

    def _mask(self, track_ids: Collection[str]) -> Mask:
        mask = np.zeros(len(self), bool)
        mask[self._rows(track_ids)] = True
        return mask

    def _rows(self, track_ids: Collection[str]) -> RowIndices:
        """Return the rows of distinct tracks; unknown ids are ignored."""
        return np.array([row for row in map(self._row, set(track_ids)) if row is not None], np.int64)


def _serving_folder(path: str | Path) -> Path:
    """Find the serving table of a release, of a store's latest release, or the folder itself."""
    if "://" in str(path):
        raise UsageError(f"{path} is not a local folder: copy the folder {layout.FOLDER} of the release, and open that")
    folder = Path(path)
    latest = folder / layout.LATEST
    if latest.exists():
        folder = folder / layout.RELEASES / latest.read_text(encoding="utf-8").strip()
    return folder if (folder / layout.HEADER).exists() else folder / layout.FOLDER
