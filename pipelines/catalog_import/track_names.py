"""Names of tracks in a form in which the same recording has the same name in different catalogs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_GUEST = r"(?:feat|ft|featuring)\b\.?"
_GUESTS = re.compile(rf"\s*[(\[]\s*(?:{_GUEST}|with)\s[^)\]]*[)\]]|\s+(?:-\s+)?{_GUEST}\s.*$", re.IGNORECASE)
_EDITION = (
    r"(?:\d{4}\s+)?(?:digital(?:ly)?\s+)?re-?master(?:ed)?\b.*"
    r"|(?:the\s+)?(?:original\s+)?(?:single|album|lp|mono|stereo|explicit|radio|standard)(?:\s+(?:version|edit|mix))"
    r"|mono|stereo|explicit|clean|bonus\s+track|deluxe(?:\s+(?:edition|version))?|(?:original\s+)?radio\s+edit"
    r"|original(?:\s+(?:version|mix))?|\d{4}(?:\s+(?:version|mix|digital\s+remaster))?"
)
_EDITIONS = re.compile(rf"\s+-\s+(?:{_EDITION})\s*$|\s*[(\[]\s*(?:{_EDITION})\s*[)\]]\s*$", re.IGNORECASE)
_VERSION = re.compile(
    r"\b(?:live|unplugged|acoustic|instrumental|karaoke|demo|remix|mix|dub|edit|rework|reprise|cover|tribute|medley"
    r"|interlude|intro|outro|skit|session|sped|slowed|orchestral|strings|piano|club|extended|recorded|version"
    r"|a cappella|acapella|part|pt|vol|no|i{2,3}|iv|vi{0,3}|\d+)\b"
)
_SPLIT = re.compile(rf"\s*[,;/]\s*|\s+(?:and|x|vs\.?|with|{_GUEST})\s+", re.IGNORECASE)
_NOT_WORD = re.compile(r"[\W_]+")
_APOSTROPHES = re.compile(r"(?<=\w)['\u2019\u02bc`\u00b4](?=\w|\b)")


def plain_name(text: str) -> str:
    """Convert a name to lower-case words without accents and punctuation; ``&`` is the word *and*.

    Example:
        >>> plain_name("Beyoncé & Jay-Z"), plain_name("Don't  Stop!"), plain_name("?")
        ('beyonce and jay z', 'dont stop', '?')
    """
    decomposed = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text).replace("&", " and "))
    letters = "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()
    words = " ".join(_NOT_WORD.sub(" ", letters).split())
    return words or " ".join(text.casefold().split())


@lru_cache(1 << 16)
def title_key(title: str) -> str:
    """Convert a title to a plain name without guests and without what only names the edition.

    Live recordings, remixes, covers and numbered parts keep their names, since they are different recordings.

    Example:
        >>> title_key("Love Me (feat. Ann) - Remastered 2011"), title_key("Help! - Live / Remastered")
        ('love me', 'help live remastered')
    """
    shorter = _GUESTS.sub("", title)
    while (without := _EDITIONS.sub("", shorter)) != shorter:
        shorter = without
    return plain_name(shorter if shorter.strip() else title)


@lru_cache(1 << 16)
def artist_keys(artist: str) -> tuple[str, ...]:
    """List the plain names of an artist field: all of it, and each artist; *the* before a name does not count.

    Example:
        >>> artist_keys("Simon & Garfunkel"), artist_keys("The Beatles")
        (('simon and garfunkel', 'simon', 'garfunkel'), ('beatles',))
    """
    return tuple(dict.fromkeys(_artist_keys(artist)))


def _artist_keys(artist: str) -> Iterator[str]:
    for name in (artist, *_SPLIT.split(artist.replace("&", " and "))):
        if name.strip():
            plain = plain_name(name)
            yield plain.removeprefix("the ")


def share_first_artist(artist: str, other: str) -> bool:
    """Return whether the first artist of each of two fields is an artist of the other.

    Example:
        >>> share_first_artist("Five, Queen", "Queen"), share_first_artist("Queen feat. David Bowie", "Queen")
        (False, True)
    """
    names, others = artist_keys(artist), artist_keys(other)
    if not names or not others:
        return False
    return names[0] == others[0] or (names[:2][-1] in others and others[:2][-1] in names)


def version_words(title: str) -> frozenset[str]:
    """Return the words of a title that distinguish recordings of one song: *live*, *remix*, numbers.

    Example:
        >>> sorted(version_words("symphony no 5 live"))
        ['5', 'live', 'no']
    """
    return frozenset(_VERSION.findall(title))
