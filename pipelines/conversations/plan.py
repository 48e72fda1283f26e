"""The plan of a conversation: a listener's goal, and turns with a request, tracks and reasons; and its check.

A plan holds no words. It can be checked: each condition on a track is read from the track's own data.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tracktokens.pipelines.conversations.track_card import SAME_LIST, Condition, TrackCard, holds

# Acts of the listener.
ASK, MORE, REFINE, REJECT, WHY, NEAR, THANKS = "ask", "more", "refine", "reject", "why", "near", "thanks"

RECOMMENDING = (ASK, MORE, REFINE, REJECT, NEAR)
"""Acts that the assistant answers with tracks."""


@dataclass(frozen=True)
class Recommended:
    """A recommended track, with a condition that it meets as the reason; None without a reason."""

    track_id: str
    reason: Condition | None


@dataclass(frozen=True)
class Turn:
    """One turn: what the listener does, and what the assistant answers.

    Attributes:
        act: one of the acts above.
        request: condition that is asked for; with :data:`REJECT`, the condition that is not wanted.
        about: track that the listener names: liked, refused, or asked about.
        tracks: recommended tracks, the best first.
        reasons: with :data:`WHY`, what is true of the track.
    """

    act: str
    request: Condition | None = None
    about: str | None = None
    tracks: tuple[Recommended, ...] = ()
    reasons: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A conversation before it is worded.

    Attributes:
        conversation_id: its id.
        playlist_id: playlist of all its tracks.
        language: language of the listener and the assistant.
        register: manner of the listener's words.
        turns: its turns; the request of the first is the goal.
    """

    conversation_id: str
    playlist_id: str
    language: str
    register: str
    turns: tuple[Turn, ...]

    @property
    def goal(self) -> Condition:
        """The condition of the first turn."""
        request = self.turns[0].request
        assert request is not None  # noqa: S101 - checked by faults_of
        return request

    @property
    def recommended(self) -> list[str]:
        """Ids of all recommended tracks, in order."""
        return [track.track_id for turn in self.turns for track in turn.tracks]


def faults_of(plan: Plan, cards: Mapping[str, TrackCard]) -> list[str]:
    """Check a plan against the data of its tracks; return what is wrong, nothing for a good plan.

    Args:
        plan: the plan.
        cards: tracks of the playlist by id.
    """
    return list(_faults(plan, cards))


def _faults(plan: Plan, cards: Mapping[str, TrackCard]) -> Iterator[str]:
    if not plan.turns or plan.turns[0].act != ASK or plan.turns[0].request is None:
        yield "does not begin with a request"
    if any(turn.act == THANKS for turn in plan.turns[:-1]):
        yield "continues after the listener thanked"
    named = [
        track_id for turn in plan.turns for track_id in (turn.about, *(t.track_id for t in turn.tracks)) if track_id
    ]
    yield from (f"{track_id} is not in the playlist" for track_id in named if track_id not in cards)
    if all(track_id in cards for track_id in named):
        yield from _turn_faults(plan, cards)


def _turn_faults(plan: Plan, cards: Mapping[str, TrackCard]) -> Iterator[str]:
    shown: list[str] = []
    unwanted: list[Condition] = []
    wanted: tuple[Condition, ...] = ()
    for number, turn in enumerate(plan.turns, 1):
        wanted = _wanted(turn, wanted)
        if turn.act in (REJECT, WHY, NEAR) and turn.about not in shown:
            yield f"turn {number} is about {turn.about}, which was not recommended"
        if turn.act == REJECT and turn.request is not None:
            unwanted.append(turn.request)
            if not holds(turn.request, cards[turn.about or ""]):
                yield f"turn {number} refuses {turn.about} for {turn.request.value}, which it does not have"
        if (turn.act in RECOMMENDING) != bool(turn.tracks):
            yield f"turn {number} ({turn.act}) has {len(turn.tracks)} tracks"
        if turn.act == ASK and turn.about:
            shown.append(turn.about)  # a track that the listener knows is not recommended
        yield from _card_faults(number, turn, cards, wanted, unwanted)
        for track in turn.tracks:
            if track.track_id in shown:
                yield f"turn {number} recommends {track.track_id} again"
            shown.append(track.track_id)


def _card_faults(
    number: int,
    turn: Turn,
    cards: Mapping[str, TrackCard],
    wanted: tuple[Condition, ...],
    unwanted: list[Condition],
) -> Iterator[str]:
    for track in turn.tracks:
        card = cards[track.track_id]
        yield from (
            f"turn {number} recommends {track.track_id}, which is not {wish.value}"
            for wish in wanted
            if not holds(wish, card)
        )
        yield from (
            f"turn {number} recommends {track.track_id}, which is {refused.value}"
            for refused in unwanted
            if holds(refused, card)
        )
        if track.reason is not None and not _is_true(track.reason, card, cards):
            yield f"turn {number} gives {track.reason.value} as the reason for {track.track_id}"
    if turn.act == WHY:
        about = cards[turn.about or ""]
        yield from (
            f"turn {number} explains {turn.about} by {reason.value}"
            for reason in turn.reasons
            if not _is_true(reason, about, cards)
        )


def _is_true(reason: Condition, card: TrackCard, cards: Mapping[str, TrackCard]) -> bool:
    return reason.value in cards if reason.kind == SAME_LIST else holds(reason, card)


def _wanted(turn: Turn, before: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Return the conditions that tracks have to meet after a turn."""
    if turn.act in (ASK, NEAR):
        return () if turn.request is None else (turn.request,)
    return (*before, turn.request) if turn.act == REFINE and turn.request is not None else before
