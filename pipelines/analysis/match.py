"""Find the tracks of a release that match given tokens best."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tracktokens.codebooks.matching.token_index import Matches, Matching
from tracktokens.codebooks.numerics.arrays import RowIndices
from tracktokens.codebooks.tokens.parsing import parse_tokens
from tracktokens.codebooks.tokens.vocabulary import tuple_string
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import release_or_latest


@dataclass(frozen=True)
class MatchedTrack:
    """One matching track.

    Attributes:
        track_id: its id.
        title: its title; None where it is not known.
        artist: its artist; None where it is not known.
        tokens: its tokens.
        score: above 0, at most 1.
        similarities: column to the similarity of its token to the query's, over columns of the query with a weight
            above 0: 1 for equal codes; otherwise 0, or in graded mode the similarity of their centroids.
    """

    track_id: str
    title: str | None
    artist: str | None
    tokens: str
    score: float
    similarities: dict[str, float]


@dataclass(frozen=True)
class MatchResult:
    """Result of a search.

    Attributes:
        release_id: release that was searched.
        shares: column of the query to its share of the score; they sum to 1.
        tracks: matching tracks, the best first.
    """

    release_id: str
    shares: dict[str, float]
    tracks: tuple[MatchedTrack, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)


def find_tracks(
    root: str, text: str, release: str | None = None, matching: Matching | None = None, top: int = 10
) -> MatchResult:
    """Find the tracks that match tokens best.

    Args:
        root: the store.
        text: tokens of some modalities, in any order.
        release: id of a release, or of a bundle, for its newest release; None for the latest.
        matching: mode and weights; None for exact mode with the default weights.
        top: most tracks to return.

    Raises:
        UsageError: the store or release does not exist, or the text cannot be parsed.
        InvalidDataError: the release is damaged.
    """
    store = Store.open(root)
    manifest = release_or_latest(store, release)
    query = parse_tokens(text, manifest.token_format)
    index = ReleaseIndex.read(store, manifest)
    matches = index.index.match(query, top, matching)
    shares = _by_column(index, matches, matches.shares.tolist())
    return MatchResult(manifest.release_id, shares, tuple(_tracks(index, matches)))


def _tracks(index: ReleaseIndex, matches: Matches) -> Iterator[MatchedTrack]:
    ids = index.ids(matches.rows)
    names = index.names(ids)
    parts = zip(ids, _tokens(index, matches.rows), matches.scores.tolist(), matches.similarities.tolist(), strict=True)
    for track_id, tokens, score, similarities in parts:
        yield MatchedTrack(track_id, *names[track_id], tokens, score, _by_column(index, matches, similarities))


def _tokens(index: ReleaseIndex, rows: RowIndices) -> list[str]:
    names = index.table.token_format.names
    return [tuple_string(codes, names) for codes in index.index.codes(rows).tolist()]


def _by_column(index: ReleaseIndex, matches: Matches, values: list[float]) -> dict[str, float]:
    """Map the columns with a share above 0 to values, which are in token order."""
    triples = zip(index.table.token_format.names, values, matches.shares.tolist(), strict=True)
    return {name: value for name, value, share in triples if share}
