"""Find the tracks of a release that fit written tokens best."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tracktokens.codebooks.matching.token_index import Matches, Matching
from tracktokens.codebooks.numerics.arrays import RowIndices
from tracktokens.codebooks.tokens.parsing import parse_tokens
from tracktokens.codebooks.tokens.vocabulary import tuple_string
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import release_or_latest


@dataclass(frozen=True)
class FoundTrack:
    """A track that fits.

    Attributes:
        track_id: its id.
        title: None where it is not known.
        artist: None where it is not known.
        tokens: its own five tokens.
        score: above 0, at most 1.
        similarities: for each modality that was written, and weighs something, what its token is to the written one: 1
            where they are equal, and else 0, or in graded mode the similarity of their centroids.
    """

    track_id: str
    title: str | None
    artist: str | None
    tokens: str
    score: float
    similarities: dict[str, float]


@dataclass(frozen=True)
class MatchResult:
    """What a search came to.

    Attributes:
        release_id: the release that was searched.
        shares: what each modality counts for in the score, those that were written; they sum to 1.
        tracks: the best first.
    """

    release_id: str
    shares: dict[str, float]
    tracks: tuple[FoundTrack, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return asdict(self)


def find_tracks(
    root: str, text: str, release: str | None = None, how: Matching | None = None, top: int = 10
) -> MatchResult:
    """Find the tracks that fit tokens best.

    Args:
        root: the store.
        text: tokens of some modalities, in any order.
        release: id of a release, or of a bundle whose newest is meant; the latest where it is None.
        how: exact, with the usual weights, where it is None.
        top: most tracks to find.

    Raises:
        UsageError: there is no such store or release, or the text cannot be read.
        InvalidDataError: the release is damaged.
    """
    store = Store.open(root)
    manifest = release_or_latest(store, release)
    query = parse_tokens(text, manifest.codebook_size)
    index = ReleaseIndex.read(store, manifest)
    matches = index.index.match(query, top, how)
    shares = _by_modality(matches, matches.shares.tolist())
    return MatchResult(manifest.release_id, shares, tuple(_tracks(index, matches)))


def _tracks(index: ReleaseIndex, matches: Matches) -> Iterator[FoundTrack]:
    ids = index.ids(matches.rows)
    names = index.names(ids)
    parts = zip(ids, _tokens(index, matches.rows), matches.scores.tolist(), matches.similarities.tolist(), strict=True)
    for track_id, tokens, score, similarities in parts:
        yield FoundTrack(track_id, *names[track_id], tokens, score, _by_modality(matches, similarities))


def _tokens(index: ReleaseIndex, rows: RowIndices) -> list[str]:
    return [tuple_string(codes) for codes in index.index.codes(rows).tolist()]


def _by_modality(matches: Matches, values: list[float]) -> dict[str, float]:
    """Values of the modalities that count."""
    pairs = zip(MODALITIES, values, matches.shares.tolist(), strict=True)
    return {modality: value for modality, value, share in pairs if share}
