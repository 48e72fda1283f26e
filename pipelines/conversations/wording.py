"""Words a plan by the grammar of its language: messages with the tracks as ``[track:ID]``.

Every text is a list of segments: words of the grammar, which may begin a sentence or have a typing error, and values of
the catalog, which stay as they are.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tracktokens.pipelines.conversations.grammar import ANY_REGISTER, SLOT, Grammar, grammar_of, read_data
from tracktokens.pipelines.conversations.plan import REJECT, THANKS, WHY, Plan, Recommended, Turn
from tracktokens.pipelines.conversations.track_card import (
    DECADE,
    SAME_LIST,
    SIMILAR,
    TAG_KINDS,
    THEME,
    YEARS,
    Condition,
    TrackCard,
    artist_names,
    concept_name,
)
from tracktokens.pipelines.conversations.typing_errors import mistype

TITLE_SHARE = 0.5
"""Share of the listener's mentions by title instead of ``[track:ID]``, if a track has one."""


_VOWELS = frozenset("aeiouhâàéèêîôû")


@dataclass(frozen=True)
class Segment:
    """A piece of a text; ``fixed`` for a value of the catalog."""

    text: str
    fixed: bool = False


Segments = tuple[Segment, ...]


@dataclass
class Wording:
    """Words one plan.

    Attributes:
        plan: the plan.
        cards: tracks of the playlist by id.
        chance: source of all draws.
        skeletons: skeletons that were used, each with its language.
    """

    plan: Plan
    cards: Mapping[str, TrackCard]
    chance: np.random.Generator
    skeletons: set[str] = field(default_factory=set)

    def messages(self) -> list[dict[str, str]]:
        """Word the plan as messages, listener and assistant in turn."""
        messages = []
        for turn in self.plan.turns:
            messages.append({"role": "user", "content": self._listener(turn)})
            messages.append({"role": "assistant", "content": self._assistant(turn)})
        return messages

    @property
    def _grammar(self) -> Grammar:
        return grammar_of(self.plan.language)

    # Texts of both sides.

    def _listener(self, turn: Turn) -> str:
        slots = self._slots(turn.request)
        if turn.about:
            slots["about"] = self._named_by_listener(turn.about)
        if turn.request and turn.act != REJECT:
            slots["wish"] = self._fill(f"wish.{turn.request.kind}", self.plan.register, slots)
        if turn.act == REJECT:
            slots["less"] = self._fill(
                f"less.{turn.request.kind if turn.request else 'none'}", self.plan.register, slots
            )
        own = (
            f"{turn.act}.{turn.request.kind}" if turn.request else turn.act
        )  # an act may have rules of its own for a kind
        segments = self._fill(own if self._grammar.has(own) else turn.act, self.plan.register, slots)
        segments = tuple(
            piece if piece.fixed else Segment(mistype(piece.text, self.plan.register, self.chance))
            for piece in segments
        )
        return _join(segments, capitals=self.plan.register != "terse")

    def _assistant(self, turn: Turn) -> str:
        if turn.act == THANKS:
            return _join(self._fill("bye", ANY_REGISTER, {}))
        if turn.act == WHY:
            clauses = [self._because("one", reason) for reason in turn.reasons]
            return _join(self._fill("explain", ANY_REGISTER, {"because": self._joined(clauses)}))
        return _join(self._answer(turn))

    def _answer(self, turn: Turn) -> Segments:
        """Word an answer: one reason for all its tracks, or each track with its own in brackets."""
        reasons = {track.reason for track in turn.tracks}
        [reason] = reasons if len(reasons) == 1 else [None]
        one = len(turn.tracks) == 1
        tracks = self._joined([self._mention(track, with_reason=reason is None) for track in turn.tracks])
        lead = self._fill("lead.reject" if turn.act == REJECT else "lead", ANY_REGISTER, {})
        slots = {"tracks": tracks, "opening": lead}
        if reason is None:
            return self._fill("answer.plain", ANY_REGISTER, slots)
        slots["because"] = self._because("one" if one else "all", reason)
        return self._fill("answer.one" if one else "answer.many", ANY_REGISTER, slots)

    def _mention(self, track: Recommended, with_reason: bool) -> Segments:
        mention = (Segment(f"[track:{track.track_id}]", fixed=True),)
        if not with_reason or track.reason is None:
            return mention
        return (*mention, Segment(" ("), *self._because("one", track.reason), Segment(")"))

    def _because(self, number: str, reason: Condition) -> Segments:
        """Word a reason: ``one`` or ``all`` of the tracks meet it."""
        slots = self._slots(reason)
        if reason.kind == SAME_LIST:
            other = self.cards[reason.value]  # in words: a mention would recommend it again
            slots["other"] = (Segment(f'"{other.title}"', fixed=True),)
        return self._fill(f"{number}.{reason.kind}", ANY_REGISTER, slots)

    def _named_by_listener(self, track_id: str) -> Segments:
        card = self.cards[track_id]
        if card.title is None or self.chance.random() >= TITLE_SHARE:
            return (Segment(f"[track:{track_id}]", fixed=True),)
        title = f'"{card.title}"' if self.plan.register == "formal" else card.title
        if card.artist and self.chance.random() < TITLE_SHARE:
            title += f" {read_data(self.plan.language)['by']} {artist_name(card.artist, self.plan.language)}"
        return (Segment(title, fixed=True),)

    # Skeletons and their slots.

    def _slots(self, condition: Condition | None) -> dict[str, Segments]:
        if condition is None or condition.kind in (SIMILAR, SAME_LIST):
            return {}
        return {"value": (Segment(value_name(condition, self.plan.language), fixed=True),)}

    def _fill(self, rule: str, register: str, slots: Mapping[str, Segments]) -> Segments:
        """Draw a skeleton, and fill its slots."""
        skeleton = self._grammar.expand(rule, register, self.chance)
        self.skeletons.add(f"{self.plan.language}:{skeleton}")
        segments: list[Segment] = []
        end = 0
        for slot in SLOT.finditer(skeleton):
            segments += [Segment(self._elided(skeleton[end : slot.start()], slots[slot[1]])), *slots[slot[1]]]
            end = slot.end()
        return tuple(segment for segment in (*segments, Segment(skeleton[end:])) if segment.text)

    def _elided(self, words: str, following: Segments) -> str:
        """Shorten a French ``de`` before a vowel."""
        elides = read_data(self.plan.language).get("elides") and following and following[0].text[:1].lower() in _VOWELS
        return f"{words[:-2]}'" if elides and re.search(r"\bde $", words) else words

    def _joined(self, parts: Sequence[Segments]) -> Segments:
        """Join a list: commas, and a conjunction before the last."""
        conjunction = read_data(self.plan.language)["conjunction"]
        segments: list[Segment] = []
        for number, part in enumerate(parts):
            between = "" if number == 0 else conjunction if number == len(parts) - 1 else ", "
            segments += [Segment(between), *part] if between else part
        return tuple(segments)


def value_name(condition: Condition, language: str) -> str:
    """Name the value of a condition: a decade as the language writes it, a tag by its word, and others as they are.

    >>> value_name(Condition(DECADE, "1980"), "en"), value_name(Condition(DECADE, "2010"), "de")
    ('80s', '2010er')
    """
    if condition.kind in (DECADE, YEARS):
        short = condition.value[2:] if condition.value.startswith("19") else condition.value
        return str(read_data(language)["decade"]).format(short)
    if condition.kind in (*TAG_KINDS, THEME):
        return concept_name(condition, language)
    return condition.value


def artist_name(artist: str, language: str) -> str:
    """Name artists in a list by a conjunction.

    >>> artist_name("Calvin Harris, Rihanna", "en"), artist_name("Earth, Wind & Fire", "en")
    ('Calvin Harris and Rihanna', 'Earth, Wind & Fire')
    """
    *names, last = artist_names(artist)
    return ", ".join(names) + str(read_data(language)["conjunction"]) + last if names else last


def _join(segments: Sequence[Segment], capitals: bool = True) -> str:
    """Join segments, and begin each sentence with a capital; values keep their case."""
    text = ""
    for segment in segments:
        piece = segment.text
        if capitals and not segment.fixed:
            piece = _capitalize(piece, begins=_ends_sentence(text))
        text += piece
    return _tidy(text)


def _ends_sentence(text: str) -> bool:
    return not text.strip() or re.search(r"[.!?]\s+$", text) is not None


def _capitalize(text: str, begins: bool) -> str:
    pattern = r"((?:^|[.!?]\s+)[\s¿¡]*)([^\W\d_])" if begins else r"([.!?]\s+[¿¡]*)([^\W\d_])"
    return re.sub(pattern, lambda match: match[1] + match[2].upper(), text)


def _tidy(text: str) -> str:
    """Remove the spaces of empty slots, and the second of two full stops, where a name ends with one."""
    return re.sub(r"(?<!\.)\.\.(?!\.)", ".", re.sub(r"\s+", " ", re.sub(r"\s+([.,](?:\s|$))", r"\1", text))).strip()
