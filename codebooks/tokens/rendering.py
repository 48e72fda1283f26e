"""Training texts: what people wrote, with tracks in it as their tokens. Only we can write a token.

A title may be ``<|audio_5|>``, by chance or by intent. Where a text is put beside tokens, everything in it that could
be read as one is taken apart first, so that the tokens in a rendered text are those of its tracks and no others.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START
from tracktokens.schemas.modalities import MODALITIES

TOKEN = re.compile(rf"<\|(?:/?track|(?:{'|'.join(MODALITIES)})_(?:none|[0-9]+))\|>")
"""Any token of any vocabulary size."""

MENTION = re.compile(r"\[track:([^\[\]]+)\]")
"""A track in a text: ``[track:ID]``."""

_APART = "< |"


@dataclass(frozen=True)
class Rendered:
    """A text with tokens in it.

    Attributes:
        text: what a model is trained on.
        unknown: ids that it names and the release does not have, in order; the text is not to be used then.
    """

    text: str
    unknown: tuple[str, ...]


def neutralised(text: str) -> str:
    """Take apart what could be read as a token: ``<|audio_5|>`` becomes ``< |audio_5|>``; all else stays as it is."""
    while TOKEN.search(text):
        text = TOKEN.sub(lambda found: found[0].replace("<|", _APART, 1), text)
    return text


def track_text(tokens: str) -> str:
    """A track as a model writes it: its five tokens between the two that stand around a track."""
    return f"{TRACK_START}{tokens}{TRACK_END}"


def render(text: str, tracks: Sequence[str], tokens_of: Callable[[str], str | None]) -> Rendered:
    """Write tokens for the tracks of a text.

    Each ``[track:ID]`` becomes the track's tokens. Tracks that are given beside the text and are not named in it follow
    it, a space before each.

    Args:
        text: what was written.
        tracks: ids of tracks that belong to it.
        tokens_of: a track's five tokens, by its id; None where the release does not have it.
    """
    pieces = MENTION.split(text)
    named = pieces[1::2]
    unknown = [track_id for track_id in (*named, *tracks) if tokens_of(track_id) is None]
    parts = [
        track_text(tokens_of(piece) or "") if number % 2 else neutralised(piece) for number, piece in enumerate(pieces)
    ]
    after = [track_text(tokens_of(track_id) or "") for track_id in tracks if track_id not in named]
    return Rendered(" ".join(filter(None, ["".join(parts), *after])), tuple(dict.fromkeys(unknown)))


def describe(track: Mapping[str, str | None]) -> str:
    """A track in words: its title and artist, as far as they are known, or else its id."""
    title, artist = track["title"], track["artist"]
    if title and artist:
        return f'"{title}" by {artist}'
    return f'"{title}"' if title else f"a song by {artist}" if artist else f"track {track['track_id']}"
