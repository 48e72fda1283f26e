"""The demo's conversations: listeners ask for music in words, and an assistant recommends tracks that fit.

A listener has a track in mind, popular ones more often, and asks for its genre, mood, instruments, artist, occasion or
lyrics, or for similar tracks. All tracks that match the request fit, and the assistant picks one to three of
them, again popular ones more often.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tracktokens.pipelines.demo.chance import generator, pick
from tracktokens.pipelines.demo.phrases import ANSWERS, BARE_ANSWERS, LIKED, MORE, OCCASIONS, REQUESTS
from tracktokens.pipelines.demo.tracks import DemoTrack, draw_by_popularity
from tracktokens.pipelines.demo.words import GENRE_TAGS, INSTRUMENT_TAGS, MOOD_TAGS

MOST_TRACKS = 3
"""Maximum number of tracks in an answer."""

SECOND_TURN_SHARE = 0.4
"""Share of the conversations with a second request, if tracks are left that fit."""

BESIDE_SHARE = 0.4
"""Share of the answers that list their tracks in a field of the message; the others name them in the text."""

Message = dict[str, object]
Tracks = Sequence[DemoTrack]


@dataclass(frozen=True)
class DemoConversation:
    """A conversation as `tracktokens render conversations` reads it: messages with role, content and maybe tracks."""

    conversation_id: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Wish:
    """A listener's request.

    Attributes:
        message: the request.
        fitting: all tracks that fit; there is at least one.
    """

    message: Message
    fitting: Tracks


def invent_conversations(tracks: Tracks, count: int, seed: int) -> list[DemoConversation]:
    """Invent conversations of one or two turns about the tracks that have more than an id."""
    known = [track for track in tracks if len(track.row) > 1]
    return [_invent_conversation(number, known, seed) for number in range(count)]


def _invent_conversation(number: int, tracks: Tracks, seed: int) -> DemoConversation:
    chance = generator(seed, "conversation", number)
    first = _first_wish(tracks, chance)
    found = _recommend(first, chance)
    messages = [first.message, _answer(found, chance)]
    if chance.random() < SECOND_TURN_SHARE and (second := _second_wish(first, found, tracks, chance)):
        messages += [second.message, _answer(_recommend(second, chance), chance)]
    return DemoConversation(f"talk{number:05d}", tuple(messages))


def _recommend(wish: Wish, chance: np.random.Generator) -> list[DemoTrack]:
    return draw_by_popularity(wish.fitting, int(chance.integers(1, MOST_TRACKS + 1)), chance)


# Requests


def _first_wish(tracks: Tracks, chance: np.random.Generator) -> Wish:
    """Draw the track that the listener has in mind, and a kind of request that it allows."""
    [target] = draw_by_popularity(tracks, 1, chance)
    kinds = [kind for kind in WISHES if _can_ask(kind, target, tracks)]
    kind = pick(kinds, chance)
    words, fits = WISHES[kind](target, chance)
    content = pick(REQUESTS[kind], chance).format(**words)
    return Wish(_message("user", content[0].upper() + content[1:]), [track for track in tracks if fits(track)])


def _second_wish(first: Wish, found: Tracks, tracks: Tracks, chance: np.random.Generator) -> Wish | None:
    """Ask for more of the same, or for tracks similar to one in the answer; None if nothing is left."""
    liked = pick(found, chance)
    same = chance.random() < 0.5
    wide = first.fitting if same else [track for track in tracks if track.cluster == liked.cluster]
    left = [track for track in wide if track not in found]
    content = pick(MORE, chance) if same else pick(LIKED, chance).format(track=_mentions([liked]))
    return Wish(_message("user", content), left) if left else None


Fits = Callable[[DemoTrack], bool]
Asked = tuple[dict[str, str], Fits]
"""Words for a request, and the predicate of tracks that fit."""


def _by_genre(target: DemoTrack, chance: np.random.Generator) -> Asked:
    tag = pick(GENRE_TAGS[target.artist.genre], chance)
    return {"tag": tag}, lambda track: tag in GENRE_TAGS[track.artist.genre]


def _by_mood(target: DemoTrack, chance: np.random.Generator) -> Asked:
    words, of_genre = _by_genre(target, chance)
    return words | _mood_of(target, chance), lambda track: of_genre(track) and track.mood == target.mood


def _by_instrument(target: DemoTrack, chance: np.random.Generator) -> Asked:
    instrument = pick(INSTRUMENT_TAGS[target.artist.genre], chance)
    genres = {genre for genre, instruments in INSTRUMENT_TAGS.items() if instrument in instruments}
    words = {"instrument": instrument} | _mood_of(target, chance)
    return words, lambda track: track.artist.genre in genres and track.mood == target.mood


def _by_artist(target: DemoTrack, chance: np.random.Generator) -> Asked:
    return {"artist": target.artist.name}, lambda track: track.artist == target.artist


def _by_occasion(target: DemoTrack, chance: np.random.Generator) -> Asked:
    return {"occasion": pick(OCCASIONS[target.cluster], chance)}, lambda track: track.cluster == target.cluster


def _by_likeness(target: DemoTrack, chance: np.random.Generator) -> Asked:
    words = {"track": f'"{target.row["title"]}" by {target.artist.name}'}
    return words, lambda track: track.cluster == target.cluster and track != target


def _by_lyrics(target: DemoTrack, chance: np.random.Generator) -> Asked:
    line = pick(sorted(_lyric_lines(target)), chance)
    return {"line": line}, lambda track: line in _lyric_lines(track)


WISHES: dict[str, Callable[[DemoTrack, np.random.Generator], Asked]] = {
    "genre": _by_genre,
    "mood": _by_mood,
    "instrument": _by_instrument,
    "artist": _by_artist,
    "occasion": _by_occasion,
    "like": _by_likeness,
    "lyrics": _by_lyrics,
}


def _can_ask(kind: str, target: DemoTrack, tracks: Tracks) -> bool:
    """Return True if the target has the field that this kind of request needs, and some track fits."""
    if kind == "like":
        return "title" in target.row and sum(track.cluster == target.cluster for track in tracks) > 1
    return "lyrics" in target.row if kind == "lyrics" else True


def _mood_of(target: DemoTrack, chance: np.random.Generator) -> dict[str, str]:
    return {"mood": pick(MOOD_TAGS[target.mood], chance).lower()}


def _lyric_lines(track: DemoTrack) -> set[str]:
    """Lines of the lyrics, without time stamps, headers and section marks: all of these end with a bracket."""
    return {line.rpartition("]")[2] for line in str(track.row.get("lyrics", "")).splitlines()} - {""}


# Messages


def _answer(found: Tracks, chance: np.random.Generator) -> Message:
    if chance.random() < BESIDE_SHARE:
        return _message("assistant", pick(BARE_ANSWERS, chance), found)
    return _message("assistant", pick(ANSWERS, chance).format(tracks=_mentions(found)))


def _mentions(tracks: Tracks) -> str:
    *others, last = (f"[track:{track.track_id}]" for track in tracks)
    return f"{', '.join(others)} and {last}" if others else last


def _message(role: str, content: str, beside: Tracks = ()) -> Message:
    named = {"tracks": [track.track_id for track in beside]} if beside else {}
    return {"role": role, "content": content, **named}
