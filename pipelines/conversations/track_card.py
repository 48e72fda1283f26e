"""Tracks as people talk about them: spoken titles, and what can be asked of a track."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tracktokens.pipelines.conversations.grammar import read_data

# Kinds of conditions. Those of TAG_KINDS are met by a tag.
GENRE, MOOD, INSTRUMENT, OCCASION, DECADE, LABEL = "genre", "mood", "instrument", "occasion", "decade", "label"
ARTIST, ALBUM, TITLE, THEME, YEARS = "artist", "album", "title", "theme", "years"
SIMILAR, NAME, SAME_LIST = "similar", "name", "list"

TAG_KINDS = (GENRE, MOOD, INSTRUMENT, OCCASION, DECADE, LABEL)

OF_EVERY_TRACK = (SIMILAR, NAME)
"""Kinds that every track of the playlist meets: they are near to a track, or belong to the playlist's name."""

LANGUAGES = ("en", "de", "es", "fr")
"""Languages that conversations are worded in."""

LONGEST_SPOKEN = 48
"""Characters of the longest name that people use."""

_WORDS_OF_LABEL = 3
_MOST_ARTISTS = 3
_VERSION = re.compile(
    r"\s*[(\[][^()\[\]]*[)\]]|\s+-\s+.*(?:remaster|version|edit|mix|live|mono|stereo|acoustic|single|bonus).*$",
    re.IGNORECASE,
)
_DECADE = re.compile(r"(?:the |early |late )?(?:(19|20)?(\d)0'?s)(?: music| hits)?")
_BRACKET = re.compile(r"[\[［【]")  # it may begin a mention of a track
_TRAILING = re.compile(r"\s+(?:music|songs?|tracks?|tunes?|mood|vibes?)$")
_WORD = re.compile(r"(?<![^\W_])[^\W\d_]+(?:['’][^\W\d_]+)?(?![\w'’])")


@dataclass(frozen=True, order=True)
class Condition:
    """Something that is true of some tracks.

    Attributes:
        kind: one of the kinds above.
        value: a tag's concept, an artist, an album, a title word, a theme, a decade such as ``1980``, or a track's id.
    """

    kind: str
    value: str


@dataclass(frozen=True)
class TrackCard:
    """A track in words.

    Attributes:
        track_id: its id.
        title: title without ``(...)`` and ``- Remastered``; None if it is missing or has no letters.
        artist: artist as in the catalog.
        conditions: everything that can be asked of the track, and given as a reason for it.
    """

    track_id: str
    title: str | None
    artist: str | None
    conditions: frozenset[Condition]

    @property
    def reasons(self) -> list[Condition]:
        """The conditions, sorted: reasons for recommending it."""
        return sorted(self.conditions)


def holds(condition: Condition, card: TrackCard) -> bool:
    """Return whether a track meets a condition; with those of the whole playlist, each does."""
    return condition.kind in OF_EVERY_TRACK or condition in card.conditions


def make_card(
    track_id: str,
    title: str | None,
    artist: str | None,
    tags: list[str | None] | None,
    *,
    album: str | None = None,
    year: int | None = None,
    themes: tuple[str, ...] = (),
) -> TrackCard:
    """Make the card of a track from its data; the tag that repeats its artist is left out."""
    shown_artist = _sayable(artist)
    conditions = set(_tag_conditions(tags or [], shown_artist))
    conditions |= {Condition(TITLE, word) for word in title_words(title or "")}
    conditions |= {Condition(THEME, theme) for theme in themes}
    conditions |= {Condition(ARTIST, name) for name in artist_names(shown_artist or "")[:_MOST_ARTISTS] if name}
    conditions |= {Condition(ALBUM, name) for name in [spoken_title(album)] if name}
    if year is not None and 1900 <= year < 2100:
        conditions.add(Condition(YEARS, str(year // 10 * 10)))
    return TrackCard(track_id, spoken_title(title), shown_artist, frozenset(conditions))


def artist_names(artist: str) -> list[str]:
    """Divide a list of artists; a name with a comma of its own stays whole.

    >>> artist_names("Eminem, Nate Dogg"), artist_names("Tyler, The Creator"), artist_names("Earth, Wind & Fire")
    (['Eminem', 'Nate Dogg'], ['Tyler, The Creator'], ['Earth, Wind & Fire'])
    """
    names = [name for name in artist.split(", ") if name]
    is_one = "&" in artist or any(name.lower().startswith(("the ", "jr", "and ")) for name in names[1:])
    return [artist] if is_one or not names else names


def spoken_title(title: str | None) -> str | None:
    """Shorten a title to what a person calls the song; None without a letter or digit.

    >>> spoken_title("Heroes - 2017 Remaster"), spoken_title("Stay (feat. Mikky Ekko)"), spoken_title("???")
    ('Heroes', 'Stay', None)
    """
    short = _VERSION.sub("", title or "").strip() or (title or "").strip()
    return short if re.search(r"\w", short) and len(short) <= LONGEST_SPOKEN and not _BRACKET.search(short) else None


def spoken_name(name: str | None) -> str | None:
    """Shorten a playlist's name to what a person calls it; None for a key or a date.

    >>> spoken_name("Artists/Michael Jackson"), spoken_name("KGLK_2014061621"), spoken_name("road_trip")
    ('Michael Jackson', None, 'road trip')
    """
    short = " ".join(re.split(r"[/\\]", name or "")[-1].replace("_", " ").split())
    letters = sum(character.isalpha() for character in short)
    is_name = (
        3 <= len(short) <= LONGEST_SPOKEN
        and letters * 3 >= len(short) * 2
        and not re.search(r"\d{3}|\d\d\W\d\d", short)
    )
    return short if is_name and not _BRACKET.search(short) else None


def title_words(title: str) -> set[str]:
    """Return the content words of a title, in lower case."""
    words = (word.lower() for word in _WORD.findall(_VERSION.sub("", title)))
    return {word for word in words if len(word) > 3 and word not in _title_stop_words()}


def _tag_conditions(tags: list[str | None], artist: str | None) -> Iterator[Condition]:
    artists = {name.lower() for name in ((artist or ""), *artist_names(artist or ""))}
    for tag in tags:
        condition = tag_condition(tag) if tag else None
        if condition is not None and condition.value not in artists:
            yield condition


@lru_cache(maxsize=1 << 16)
def tag_condition(tag: str) -> Condition | None:
    """Return what a tag means in a conversation; None for a tag that is not words, or about the recording.

    A tag has the kind of its last word, so that ``acoustic guitar`` is an instrument. Other short tags are labels,
    which are quoted.

    >>> tag_condition("smooth_jazz"), tag_condition("acoustic guitar"), tag_condition("the 80s")
    (Condition(kind='genre', value='smooth jazz'), Condition(kind='instrument', value='acoustic guitar'), \
Condition(kind='decade', value='1980'))
    >>> tag_condition("ro_playlist1"), tag_condition("low quality"), tag_condition("hot love")
    (None, None, Condition(kind='label', value='hot love'))
    """
    text = " ".join(tag.replace("_", " ").lower().split())
    if decade := _DECADE.fullmatch(text):
        century, digit = decade.groups()
        return Condition(DECADE, f"{century or ('20' if digit in '01' else '19')}{digit}0")
    concepts, ignored = _concepts()
    if text in concepts:
        return concepts[text]
    short = _TRAILING.sub("", text)
    if short in concepts:
        return concepts[short]
    words = short.split()
    if not _is_label(short, words) or text in ignored or not ignored.isdisjoint(words):
        return None
    head = concepts.get(" ".join(words[-2:])) or concepts.get(words[-1])
    if head is not None and len(words) > 1 and head.kind in (GENRE, INSTRUMENT):
        return Condition(head.kind, short)
    return Condition(LABEL, text) if len(text) > 3 else None


def _is_label(text: str, words: list[str]) -> bool:
    plain = re.fullmatch(r"[^\W\d_][^\d\[\]{}()/\\|<>:;_]*", text) is not None
    return plain and 0 < len(words) <= _WORDS_OF_LABEL and len(text) <= LONGEST_SPOKEN // 2


def _sayable(name: str | None) -> str | None:
    text = " ".join((name or "").split())
    return text if re.search(r"\w", text) and len(text) <= LONGEST_SPOKEN and not _BRACKET.search(text) else None


@lru_cache(maxsize=1)
def _concepts() -> tuple[dict[str, Condition], frozenset[str]]:
    """Read the lexicon: word in any language to its concept, and the words of tags that nobody asks for."""
    lexicon = read_data("lexicon")
    concepts = {
        word.lower(): Condition(kind, concept)
        for kind in (GENRE, MOOD, INSTRUMENT, OCCASION)
        for concept, entry in lexicon[kind].items()
        for word in (concept, *entry.get("also", ()), *(entry.get(language, concept) for language in LANGUAGES))
    }
    return concepts, frozenset(lexicon["ignored"])


def concept_name(condition: Condition, language: str) -> str:
    """Name the value of a tag's condition in a language; the concept itself where the lexicon has no word."""
    entry = read_lexicon().get(condition.kind, {}).get(condition.value, {})
    name: str = entry.get(language, condition.value)
    return name


def is_translated(condition: Condition, language: str) -> bool:
    """Return whether a condition can be named in a language; genres are named alike in all."""
    if language == "en" or condition.kind not in (MOOD, INSTRUMENT, OCCASION, THEME):
        return True
    return language in read_lexicon().get(condition.kind, {}).get(condition.value, {})


@lru_cache(maxsize=1)
def read_lexicon() -> dict[str, dict[str, dict[str, str]]]:
    """Read the lexicon of tags and themes."""
    return read_data("lexicon")


@lru_cache(maxsize=1)
def _title_stop_words() -> frozenset[str]:
    return frozenset(word for language in LANGUAGES for word in read_data(language)["title_stop_words"])
