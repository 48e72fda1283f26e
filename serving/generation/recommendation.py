"""A recommendation: tracks with scores, and the text around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RecommendedTrack:
    """A track that a reply recommends.

    Attributes:
        track_id: its id.
        score: mean log-probability of the tokens of its tuple, each among all tokens of the model, at most 0. Tracks of
            the same tuple have the same score. A track that is only near the best tuple has the score of the last
            tuple, plus the logarithm of its similarity in matching. Scores are comparable within a reply.
        matched: names of the token columns in which the track has the token that the model wrote.
    """

    track_id: str
    score: float
    matched: tuple[str, ...]


@dataclass(frozen=True)
class Recommendation:
    """A reply of the model.

    Attributes:
        text: what it wrote, with ``[track:ID]`` in place of the first track's tokens.
        tracks: the tracks, the best first, each once.
        unknown: ids that the conversation names and the release does not have. Their mentions were left out.
        dropped: number of messages that were left out, oldest first, because the conversation was too long.
    """

    text: str
    tracks: tuple[RecommendedTrack, ...]
    unknown: tuple[str, ...] = ()
    dropped: int = 0

    @property
    def track_ids(self) -> list[str]:
        """Ids of the tracks, the best first."""
        return [track.track_id for track in self.tracks]

    def message(self) -> dict[str, Any]:
        """Return the reply as a message to append to the conversation."""
        return {"role": "assistant", "content": self.text, "tracks": self.track_ids}
