"""The tracks that a reply may recommend: all of a release, or those of a set, without those that are excluded."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from tracktokens.codebooks.decoding.trie import Node, TupleTrie
from tracktokens.codebooks.numerics.arrays import Codes, RowIndices
from tracktokens.serving.catalog_tokens import CatalogTokens


@dataclass(frozen=True, eq=False)
class NearTrack:
    """A track whose tokens are near a tuple.

    Attributes:
        track_id: its id.
        similarity: score of the match, above 0, at most 1.
        matched: names of the columns with an equal token.
    """

    track_id: str
    similarity: float
    matched: tuple[str, ...]


class EligibleTracks:
    """The tracks of a release that a reply may recommend.

    Attributes:
        trie: their tuples, and perhaps more; :meth:`next_codes` skips those.
    """

    def __init__(
        self, catalog: CatalogTokens, exclude: Collection[str] = (), allowed: Collection[str] | None = None
    ) -> None:
        """Collect the tracks.

        Args:
            catalog: tokens of the release.
            exclude: ids of tracks that may not be recommended. Unknown ids are ignored.
            allowed: ids of the tracks that may be; all by default. Unknown ids are ignored.
        """
        self._catalog = catalog
        self._excluded = frozenset(exclude)
        self._allowed = None if allowed is None else frozenset(allowed) - self._excluded
        self.trie: TupleTrie = catalog.trie if self._allowed is None else catalog.trie_of(self._allowed)
        self._used: RowIndices = catalog.tuples_within(self._excluded if self._allowed is None else ())

    def __len__(self) -> int:
        """Number of their tuples."""
        return len(self.trie) - len(self._used)

    def next_codes(self, node: Node) -> Codes:
        """List the codes that may follow a prefix, int16 in ascending order."""
        return self.trie.next_codes(node, self._used)

    def of_tuple(self, codes: Sequence[int]) -> Iterator[str]:
        """List the tracks with exactly these codes, the most popular first."""
        return (track_id for track_id in self._catalog.lookup(codes) if self._admits(track_id))

    def near(self, codes: Sequence[int], count: int) -> list[NearTrack]:
        """List up to ``count`` tracks that match codes best, the best first; see :meth:`CatalogTokens.match`."""
        ignored = len(self._excluded) if self._allowed is None else 0
        found = self._catalog.match(codes, count + ignored, allowed=self._allowed)
        names = self._catalog.columns
        rows = zip(found.track_ids, found.matches.scores.tolist(), found.matches.similarities, strict=True)
        return [
            NearTrack(track_id, score, tuple(name for name, same in zip(names, equal == 1, strict=True) if same))
            for track_id, score, equal in rows
            if self._admits(track_id)
        ][:count]

    def _admits(self, track_id: str) -> bool:
        return track_id not in self._excluded if self._allowed is None else track_id in self._allowed
