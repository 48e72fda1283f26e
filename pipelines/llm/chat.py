"""A conversation with a model that recommends tracks of a release: turns, and the names of the tracks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from tracktokens.codebooks.tokens.rendering import describe_track
from tracktokens.serving.generation.recommendation import Recommendation
from tracktokens.serving.generation.recommender import Recommender, ReplyOptions
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.token_tables import TokenTable


@dataclass(frozen=True)
class ShownTrack:
    """A recommended track with its name.

    Attributes:
        track_id: its id.
        title: its title; None where it is not known.
        artist: its artist; None where it is not known.
        score: see :class:`~tracktokens.serving.generation.recommendation.RecommendedTrack`.
        matched: token columns in which it has the token that the model wrote.
    """

    track_id: str
    title: str | None
    artist: str | None
    score: float
    matched: tuple[str, ...]


class TrackNames:
    """Titles and artists of the tracks of a release, read from its store when they are needed."""

    def __init__(self, root: str, release: str | None = None) -> None:
        """Open a release of a store, the latest by default.

        Raises:
            UsageError: the store or the release does not exist.
        """
        store = Store.open(root)
        self._table = TokenTable.of(store, release_or_latest(store, release))

    @property
    def folder(self) -> str:
        """Folder of the release."""
        return self._table.release.folder

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the token columns."""
        return self._table.token_format.names

    def name(self, reply: Recommendation) -> list[ShownTrack]:
        """Name the tracks of a reply."""
        names = self._table.names(reply.track_ids)
        return [ShownTrack(t.track_id, *names[t.track_id], t.score, t.matched) for t in reply.tracks]

    def describe(self, track_id: str) -> str:
        """Describe a track in words."""
        title, artist = self._table.names([track_id])[track_id]
        return describe_track({"track_id": track_id, "title": title, "artist": artist})


class Chat:
    """A conversation with its history. Tracks that were shown are not recommended again.

    Attributes:
        messages: the history, as lines of conversations have it.
    """

    def __init__(self, recommender: Recommender, options: ReplyOptions) -> None:
        self._recommender = recommender
        self._options = options
        self.messages: list[dict[str, Any]] = []

    def say(self, text: str) -> Iterator[str | Recommendation]:
        """Send a message, and yield the reply as pieces of text, and whole at the end.

        The history has both when the reply is complete; after an error it is as before.
        """
        asked = [*self.messages, {"role": "user", "content": text}]
        for piece in self._recommender.stream(asked, self._options):
            if isinstance(piece, Recommendation):
                self.messages = [*asked, piece.message()]
            yield piece

    def ask(self, text: str) -> Recommendation:
        """Send a message, and return the whole reply."""
        *_, reply = self.say(text)
        return cast("Recommendation", reply)

    def reset(self) -> None:
        """Forget the history."""
        self.messages = []
