"""Draws plans: a listener's goal from a playlist, and turns that refine, refuse, ask why and turn to something near."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tracktokens.pipelines.conversations.plan import (
    ASK,
    MORE,
    NEAR,
    REFINE,
    REJECT,
    THANKS,
    WHY,
    Plan,
    Recommended,
    Turn,
)
from tracktokens.pipelines.conversations.track_card import (
    ALBUM,
    ARTIST,
    DECADE,
    GENRE,
    INSTRUMENT,
    LABEL,
    MOOD,
    NAME,
    OCCASION,
    SAME_LIST,
    SIMILAR,
    THEME,
    TITLE,
    YEARS,
    Condition,
    TrackCard,
    holds,
    is_translated,
)

REGISTERS = ("formal", "casual", "terse", "chatty")

LARGEST_POOL = 200
"""Tracks of a playlist that a conversation is planned from."""

MOST_TURNS = 7
MOST_TRACKS = 3
"""Tracks per answer."""

_GOAL_WEIGHTS = {
    GENRE: 5, MOOD: 5, THEME: 4, INSTRUMENT: 3, OCCASION: 3, DECADE: 3, YEARS: 3,
    ARTIST: 3, TITLE: 2, LABEL: 1, ALBUM: 1,
}  # fmt: skip
_SIMILAR_WEIGHT, _NAME_WEIGHT = 4, 2
"""Weights of the kinds of goals that every playlist allows, beside those of its conditions."""

_ACT_WEIGHTS = {MORE: 3, REFINE: 4, REJECT: 3, WHY: 2, NEAR: 4}
_THANKS_SHARE = 0.6
_TITLE_REASON_SHARE = 0.15
_SECOND_REASON_SHARE = 0.4
"""Share of the reasons that are something else than what was asked for, where the track has more."""


@dataclass
class Planner:
    """Plans one conversation.

    Attributes:
        playlist_id: id of the playlist.
        name: its name as people call it; None without one.
        cards: its tracks, in order.
        language: language of the conversation.
        chance: source of all draws.
    """

    playlist_id: str
    name: str | None
    cards: Sequence[TrackCard]
    language: str
    chance: np.random.Generator
    _turns: list[Turn] = field(default_factory=list)
    _left: list[TrackCard] = field(default_factory=list)
    _wanted: list[Condition] = field(default_factory=list)
    _unwanted: list[Condition] = field(default_factory=list)
    _asked: set[Condition] = field(default_factory=set)
    _shown: list[TrackCard] = field(default_factory=list)

    def plan(self, conversation_id: str) -> Plan:
        """Draw a plan; the playlist has at least two tracks."""
        register = REGISTERS[int(self.chance.integers(len(REGISTERS)))]
        self._left = self._draw_pool()
        self._ask()
        for _ in range(int(self.chance.integers(1, MOST_TURNS))):
            if not self._left or not self._continue():
                break
        if self.chance.random() < _THANKS_SHARE:
            self._turns.append(Turn(THANKS))
        return Plan(conversation_id, self.playlist_id, self.language, register, tuple(self._turns))

    def _draw_pool(self) -> list[TrackCard]:
        """Draw tracks of the playlist; of a song that it has under several ids, one."""
        rows = self.chance.permutation(len(self.cards))[:LARGEST_POOL]
        drawn = [self.cards[row] for row in sorted(rows.tolist())]
        return list({_song(card): card for card in reversed(drawn)}.values())[::-1]

    def _ask(self) -> None:
        goals = self._goals(self._left, at_least=2)
        weights = {kind: weight for kind, weight in _GOAL_WEIGHTS.items() if kind in goals}
        weights |= {SIMILAR: _SIMILAR_WEIGHT} | ({NAME: _NAME_WEIGHT} if self.name else {})
        kind = self._weighted(weights)
        if kind == SIMILAR:
            liked = self._pick(self._left)
            self._left.remove(liked)
            self._recommend(ASK, Condition(SIMILAR, liked.track_id), liked)
        elif kind == NAME:
            self._recommend(ASK, Condition(NAME, self.name or ""))
        else:
            self._recommend(ASK, self._draw_condition(goals[kind]))

    def _continue(self) -> bool:
        """Add a turn; return False if nothing fits."""
        weights = dict(_ACT_WEIGHTS)
        if self._turns[-1].act == WHY:
            del weights[WHY]
        while weights:
            act = self._weighted(weights)
            if getattr(self, f"_{act}")():
                return True
            del weights[act]
        return False

    # Turns. Each returns whether it is possible.

    def _more(self) -> bool:
        return self._recommend(MORE, None)

    def _refine(self) -> bool:
        fitting = self._fitting()
        found = self._goals(fitting, at_least=1)
        kinds = {kind: _GOAL_WEIGHTS[kind] for kind in found if kind not in {wish.kind for wish in self._wanted}}
        if not kinds:
            return False
        return self._recommend(REFINE, self._draw_condition(found[self._weighted(kinds)]))

    def _reject(self) -> bool:
        refused = self._last()
        reasons = [None, *(c for c in refused.reasons if self._can_refuse(c))]
        reason = reasons[int(self.chance.integers(len(reasons)))]
        self._unwanted += [] if reason is None else [reason]
        if self._recommend(REJECT, reason, refused):
            return True
        self._unwanted = self._unwanted[: len(self._unwanted) - (reason is not None)]
        return False

    def _can_refuse(self, condition: Condition) -> bool:
        is_wanted = condition in self._wanted or condition.kind in (TITLE, ALBUM, *(wish.kind for wish in self._wanted))
        return not is_wanted and is_translated(condition, self.language)

    def _why(self) -> bool:
        about = self._last()
        reasons = self._draw_reasons(about, 2)
        if not reasons or any(turn.act == WHY and turn.about == about.track_id for turn in self._turns):
            return False
        self._turns.append(Turn(WHY, about=about.track_id, reasons=reasons))
        return True

    def _near(self) -> bool:
        """Turn to something that the last track has too, or without that to tracks that are similar to it."""
        liked = self._last()
        before = self._wanted
        self._wanted = []
        found = self._goals(self._fitting(), at_least=1)
        shared = {kind: [c for c in conditions if holds(c, liked)] for kind, conditions in found.items()}
        shared = {kind: [c for c in conditions if c not in before] for kind, conditions in shared.items()}
        weights = {kind: _GOAL_WEIGHTS[kind] for kind, conditions in shared.items() if conditions}
        if weights:
            request = self._draw_condition(shared[self._weighted(weights)])
        else:
            request = Condition(SIMILAR, liked.track_id)
        if request not in self._asked and self._recommend(NEAR, request, liked):
            return True
        self._wanted = before
        return False

    def _recommend(self, act: str, request: Condition | None, about: TrackCard | None = None) -> bool:
        """Add a turn with one to three tracks that fit, the best first; return False if none fits."""
        if act in (ASK, NEAR):
            self._wanted = [request] if request else []
        elif act == REFINE and request:
            self._wanted.append(request)
        fitting = self._fitting()
        if not fitting:
            return False
        self._asked |= {request} if request else set()
        chosen = self._ranked(fitting, about)[: int(self.chance.integers(1, MOST_TRACKS + 1))]
        tracks = tuple(Recommended(card.track_id, self._draw_reason(card)) for card in chosen)
        self._turns.append(Turn(act, request, about.track_id if about else None, tracks))
        self._left = [card for card in self._left if card not in chosen]
        self._shown += chosen
        return True

    # Draws.

    def _fitting(self) -> list[TrackCard]:
        """List the tracks left that meet what is wanted, and nothing that is not."""
        return [
            card
            for card in self._left
            if all(holds(wish, card) for wish in self._wanted) and card.conditions.isdisjoint(self._unwanted)
        ]

    def _ranked(self, cards: list[TrackCard], about: TrackCard | None) -> list[TrackCard]:
        """Sort cards: those that share most with the tracks that the listener liked first, then as drawn."""
        liked = about if about and self._turns and about.conditions.isdisjoint(self._unwanted) else None
        near = liked or (about if not self._turns else None)
        drawn = [cards[row] for row in self.chance.permutation(len(cards))[: 4 * MOST_TRACKS]]
        return sorted(drawn, key=lambda card: -len(near.conditions & card.conditions)) if near else drawn

    def _goals(self, cards: Sequence[TrackCard], at_least: int) -> dict[str, list[Condition]]:
        """List the conditions that some cards meet, and that were not asked for yet, by kind."""
        counts: dict[Condition, int] = defaultdict(int)
        for card in cards:
            for condition in card.conditions:
                counts[condition] += 1
        excluded = self._asked.union(self._unwanted)
        goals: dict[str, list[Condition]] = defaultdict(list)
        for condition in sorted(counts):
            if counts[condition] >= at_least and condition not in excluded and is_translated(condition, self.language):
                goals[condition.kind].append(condition)
        return goals

    def _draw_reason(self, card: TrackCard) -> Condition | None:
        """Draw what is true of a track: what was asked for, or something else that it is."""
        asked = [wish for wish in self._wanted if wish in card.conditions and is_translated(wish, self.language)]
        kinds = {wish.kind for wish in self._wanted}
        others = [reason for reason in self._draw_reasons(card, 2) if reason.kind not in kinds]
        if others and (not asked or self.chance.random() < _SECOND_REASON_SHARE):
            return others[0]
        return asked[-1] if asked else None

    def _draw_reasons(self, card: TrackCard, count: int) -> tuple[Condition, ...]:
        """Draw different reasons for a track out of its data; without any, that it shares the list with another."""
        with_title = self.chance.random() < _TITLE_REASON_SHARE
        known = [
            reason
            for reason in card.reasons
            if is_translated(reason, self.language) and (with_title or reason.kind not in (TITLE, LABEL))
        ]
        if not known:
            others = [other for other in self._shown if other is not card and other.title]
            return (Condition(SAME_LIST, self._pick(others).track_id),) if others else ()
        drawn = (known[row] for row in self.chance.permutation(len(known)))
        return tuple({reason.kind: reason for reason in drawn}.values())[:count]

    def _draw_condition(self, conditions: Sequence[Condition]) -> Condition:
        return conditions[int(self.chance.integers(len(conditions)))]

    def _last(self) -> TrackCard:
        """Draw a track of the last answer that has tracks."""
        last = next(turn for turn in reversed(self._turns) if turn.tracks)
        chosen = {track.track_id for track in last.tracks}
        return self._pick([card for card in self._shown if card.track_id in chosen])

    def _pick(self, cards: Sequence[TrackCard]) -> TrackCard:
        return cards[int(self.chance.integers(len(cards)))]

    def _weighted(self, weights: dict[str, int]) -> str:
        kinds, shares = list(weights), np.fromiter(weights.values(), float)
        return kinds[int(self.chance.choice(len(kinds), p=shares / shares.sum()))]


def _song(card: TrackCard) -> tuple[str, ...]:
    """Identify a song by title and artist; by its id where one is missing."""
    return (card.title.lower(), card.artist.lower()) if card.title and card.artist else (card.track_id,)
