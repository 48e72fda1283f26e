"""Training texts: texts by people, in which tracks are written as tokens.

A title may be ``<|audio_5|>``, by chance or by intent. Anything in a text that looks like a token is escaped before the
text is combined with tokens. The tokens in a rendered text are those of its tracks and no others.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.tracks import MAX_ID_BYTES
from tracktokens.schemas.token_format import NUMBER

TOKEN = re.compile(rf"<\|(?:/?track|(?:{'|'.join(MODALITIES)})[0-9]*_(?:none|[0-9]+)|{NUMBER}_[0-9]+)\|>")
"""Any token of a vocabulary of any format and size."""

MENTION_START = "[track:"
"""Beginning of a mention of a track in a text: ``[track:ID]``."""

MENTION = re.compile(r"\[track:([^\[\]]+)\]")
"""A mention of a track whose id has no brackets, as most have; :func:`render` finds those of any id."""

_INTENDED_MENTION = re.compile(r"[\[\u3010]\s*track\s*:", re.IGNORECASE)
"""Beginning of what somebody meant as a mention, in a text of normal form NFKC, where brackets have one width."""

_SHOWN_CHARACTERS = 40

_ESCAPED = "< |"


@dataclass(frozen=True)
class RenderedText:
    """A text with tokens in it. If it has unknown or malformed mentions, discard it.

    Attributes:
        text: the training text.
        mentioned: ids that the text mentions, in order.
        unknown: mentioned and listed ids that the release does not have, in order.
        malformed: beginnings of mentions that name no id, such as ``[Track: t1]``, in order.
    """

    text: str
    mentioned: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()


def escape_tokens(text: str) -> str:
    """Escape whatever looks like a token: ``<|audio_5|>`` becomes ``< |audio_5|>``. The rest of the text is kept.

    Example:
        >>> escape_tokens("a song called <|audio_5|> <3")
        'a song called < |audio_5|> <3'
    """
    while TOKEN.search(text):
        text = TOKEN.sub(lambda match: match[0].replace("<|", _ESCAPED, 1), text)
    return text


def track_text(tokens: str) -> str:
    """Write a track as a model does: its tokens between ``<|track|>`` and ``<|/track|>``."""
    return f"{TRACK_START}{tokens}{TRACK_END}"


def possible_ids(text: str) -> set[str]:
    """Collect every id that the mentions in a text may name: an id may have brackets.

    Example:
        >>> sorted(possible_ids("Try [track:live[1]] or rest."))
        ['live[1', 'live[1]']
    """
    return {track_id for start in _mention_starts(text) for track_id in _ids_at(text, start)}


def render(text: str, tracks: Sequence[str], tokens_of: Callable[[str], str | None]) -> RenderedText:
    """Replace the mentions of tracks in a text by tokens.

    Each ``[track:ID]`` becomes the track's tokens. Of several ids that a mention may name, because they have brackets,
    the longest that the release has is chosen. Tracks of ``tracks`` that the text does not mention are appended once,
    each after a space.

    Example:
        >>> render("Try [track:t1].", ["t2"], {"t1": "<|audio_7|>"}.get).text
        'Try <|track|><|audio_7|><|/track|>. <|track|><|/track|>'

    Args:
        text: text by a person.
        tracks: ids of tracks that belong to the text.
        tokens_of: returns a track's tokens by its id; None if the release does not have the track.
    """
    literals, mentioned = split_mentions(text, tokens_of)
    unknown = [track_id for track_id in (*mentioned, *tracks) if tokens_of(track_id) is None]
    tokens = [track_text(tokens_of(track_id) or "") for track_id in mentioned]
    parts = [part for pair in zip(map(escape_tokens, literals), [*tokens, ""], strict=True) for part in pair]
    appended = [
        track_text(tokens_of(track_id) or "") for track_id in dict.fromkeys(tracks) if track_id not in mentioned
    ]
    return RenderedText(
        text=" ".join(filter(None, ["".join(parts), *appended])),
        mentioned=tuple(mentioned),
        unknown=tuple(dict.fromkeys(unknown)),
        malformed=tuple(filter(None, map(_intended_mention, literals))),
    )


def split_mentions(text: str, tokens_of: Callable[[str], str | None]) -> tuple[list[str], list[str]]:
    """Divide a text at its mentions: the texts around them, one more than mentions, and the ids that they name.

    Example:
        >>> split_mentions("Try [track:t1].", {"t1": "<|audio_7|>"}.get)
        (['Try ', '.'], ['t1'])
    """
    literals, mentioned = [], []
    end = 0
    for start in _mention_starts(text):
        track_id = _choose_id(_ids_at(text, start), tokens_of) if start >= end else None
        if track_id:
            literals.append(text[end:start])
            mentioned.append(track_id)
            end = start + len(MENTION_START) + len(track_id) + 1
    return [*literals, text[end:]], mentioned


def _mention_starts(text: str) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(MENTION_START), text)]


def _ids_at(text: str, start: int) -> list[str]:
    """List the ids that the mention at an index may name, shortest first: the texts up to each closing bracket."""
    begin = start + len(MENTION_START)
    longest = text[begin : begin + MAX_ID_BYTES + 1]
    return [longest[: match.start()] for match in re.finditer(r"\]", longest)]


def _choose_id(track_ids: Sequence[str], tokens_of: Callable[[str], str | None]) -> str | None:
    """Choose the longest known id; if none is known, the first with as many opening as closing brackets."""
    known = (track_id for track_id in reversed(track_ids) if tokens_of(track_id) is not None)
    balanced = (track_id for track_id in track_ids if track_id.count("[") == track_id.count("]"))
    return next(chain(known, balanced, track_ids), None)


def _intended_mention(literal: str) -> str | None:
    normal = unicodedata.normalize("NFKC", literal)
    found = _INTENDED_MENTION.search(normal)
    return normal[found.start() :][:_SHOWN_CHARACTERS] if found else None


def describe_track(track: Mapping[str, str | None]) -> str:
    """Describe a track in words: by title and artist, as far as they are known, else by its id.

    Example:
        >>> describe_track({"track_id": "t1", "title": "Blue", "artist": None})
        '"Blue"'
    """
    title, artist = track["title"], track["artist"]
    if title and artist:
        return f'"{title}" by {artist}'
    return f'"{title}"' if title else f"a song by {artist}" if artist else f"track {track['track_id']}"
