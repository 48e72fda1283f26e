"""Training texts: texts by people, in which tracks are written as tokens.

A title may be ``<|audio_5|>``, by chance or by intent. Anything in a text that looks like a token is escaped before the
text is combined with tokens. The tokens in a rendered text are those of its tracks and no others.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START
from tracktokens.schemas.modalities import MODALITIES

TOKEN = re.compile(rf"<\|(?:/?track|(?:{'|'.join(MODALITIES)})_(?:none|[0-9]+))\|>")
"""Any token of a vocabulary of any size."""

MENTION = re.compile(r"\[track:([^\[\]]+)\]")
"""A mention of a track in a text: ``[track:ID]``."""

_ESCAPED = "< |"


@dataclass(frozen=True)
class RenderedText:
    """A text with tokens in it.

    Attributes:
        text: the training text.
        unknown: mentioned ids that the release does not have, in order; if there are any, discard the text.
    """

    text: str
    unknown: tuple[str, ...]


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


def render(text: str, tracks: Sequence[str], tokens_of: Callable[[str], str | None]) -> RenderedText:
    """Replace the mentions of tracks in a text by tokens.

    Each ``[track:ID]`` becomes the track's tokens. Tracks of ``tracks`` that the text does not mention are appended,
    each after a space.

    Example:
        >>> render("Try [track:t1].", ["t2"], {"t1": "<|audio_7|>"}.get)
        RenderedText(text='Try <|track|><|audio_7|><|/track|>. <|track|><|/track|>', unknown=('t2',))

    Args:
        text: text by a person.
        tracks: ids of tracks that belong to the text.
        tokens_of: returns a track's tokens by its id; None if the release does not have the track.
    """
    parts = MENTION.split(text)  # texts and mentioned ids in turn
    mentioned = parts[1::2]
    unknown = [track_id for track_id in (*mentioned, *tracks) if tokens_of(track_id) is None]
    rendered = [
        track_text(tokens_of(part) or "") if number % 2 else escape_tokens(part) for number, part in enumerate(parts)
    ]
    appended = [track_text(tokens_of(track_id) or "") for track_id in tracks if track_id not in mentioned]
    return RenderedText(" ".join(filter(None, ["".join(rendered), *appended])), tuple(dict.fromkeys(unknown)))


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
