"""The demo's tracks: artists, titles, songs, and columns that some tracks lack."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from tracktokens.pipelines.demo.chance import draw, generator, pick
from tracktokens.pipelines.demo.composition import Song, compose
from tracktokens.pipelines.demo.genres import GENRES, Genre
from tracktokens.pipelines.demo.lyrics import with_time_stamps, write_lyrics, write_title
from tracktokens.pipelines.demo.words import (
    ARTISTS,
    CLUSTERS,
    GENRE_TAGS,
    INSTRUMENT_TAGS,
    MOOD_TAGS,
    NOISE_TAGS,
    YEARS,
    Artist,
)
from tracktokens.transforms.encoders.base import identity_hash

RENDERING = 1
"""Version of the synthesis. Raise it when the same song would sound different: audio versions change with it."""

FORMATS = {"ogg": 0.55, "flac": 0.34, "mp3": 0.06, "wav": 0.05}
"""Audio formats and their share of the files."""

LRC_SHARE = 0.25
"""Share of the sung tracks whose lyrics have time stamps."""

NOISE_TAG_SHARE = 0.35
"""Share of the tagged tracks with a tag that is unrelated to the music."""

SKEW = 0.8
"""A track is drawn in proportion to its popularity to this power."""

BARE = 17
"""Number of the track that has only an id. It is in no playlist either."""

UNLISTED = (29, 3)
"""Tracks in no playlist: those whose number has this modulus and remainder."""

GAPS = (
    ((25, 7), ("audio_path", "audio_version")),
    ((23, 5), ("tags",)),
    ((37, 2), ("title", "artist", "album", "year")),
)
"""Columns that some tracks lack, by modulus and remainder of their number."""


@dataclass(frozen=True)
class DemoTrack:
    """A track with its truth.

    Attributes:
        number: its index in the catalog, from 0.
        artist: its artist.
        mood: its true mood.
        song: its composition, even if the catalog has no audio for it.
        popularity: number of plays.
        listed: whether playlists may hold it.
        row: its row in the catalog, without the columns that it lacks.
    """

    number: int
    artist: Artist
    mood: str
    song: Song
    popularity: float
    listed: bool
    row: dict[str, object]

    @property
    def track_id(self) -> str:
        """Its id."""
        return track_id(self.number)

    @property
    def cluster(self) -> str:
        """The crowd that listens to it."""
        return CLUSTERS[self.artist.genre, self.mood]


@dataclass(frozen=True)
class Album:
    """An album and its release year."""

    title: str
    year: int


def track_id(number: int) -> str:
    """Return the id of the track with this number."""
    return f"trk{number:05d}"


def invent_tracks(count: int, seed: int) -> list[DemoTrack]:
    """Invent ``count`` tracks, genre by genre in turn.

    The last track is a rerelease of the first song that has lyrics and audio. Every other track depends only on its
    number and the seed, so a larger catalog begins with the tracks of a smaller one.
    """
    tracks = [_invent_track(number, seed) for number in range(count - 1)]
    original = next(track for track in tracks if "lyrics" in track.row and "audio_path" in track.row)
    return [*tracks, _rerelease(original, count - 1)]


def draw_by_popularity(tracks: Sequence[DemoTrack], count: int, chance: np.random.Generator) -> list[DemoTrack]:
    """Draw different tracks, popular ones more often; all if there are fewer than ``count``."""
    weight = np.array([track.popularity for track in tracks]) ** SKEW
    chosen = chance.choice(len(tracks), min(count, len(tracks)), replace=False, p=weight / weight.sum())
    return [tracks[int(index)] for index in chosen]


def _invent_track(number: int, seed: int) -> DemoTrack:
    genre, chance = GENRES[number % len(GENRES)], generator(seed, "track", number)
    artist, mood = _pick_artist(genre, chance), pick(genre.moods, chance)
    song = compose(genre, mood, _tone_of(artist, seed), generator(seed, "song", number))
    popularity = float(np.ceil(chance.lognormal(6.0, 1.0)))
    title = write_title(artist, mood, chance)
    row = {
        **_metadata(title, artist, genre, seed, chance),
        **_tags(genre, mood, chance),
        **_lyrics(title, artist, genre, mood, chance),
        **_audio(number, title, artist, song, chance),
        "popularity": popularity,
    }
    listed = number != BARE and not _falls_on(number, UNLISTED)
    return DemoTrack(number, artist, mood, song, popularity, listed, _with_gaps(row, number))


def _with_gaps(row: dict[str, object], number: int) -> dict[str, object]:
    """Add the id to a row and drop the columns that this track lacks."""
    gaps = {column for rule, columns in GAPS if _falls_on(number, rule) for column in columns}
    known = {} if number == BARE else {column: value for column, value in row.items() if column not in gaps}
    return {"track_id": track_id(number), **known}


def _rerelease(original: DemoTrack, number: int) -> DemoTrack:
    """Return the same song with a new id and album: lyrics and file are the same."""
    row = original.row | {"track_id": track_id(number), "album": "The Early Years (Deluxe Edition)"}
    return replace(original, number=number, row=row, listed=True)


def _pick_artist(genre: Genre, chance: np.random.Generator) -> Artist:
    """Draw one of the genre's artists: the first has most tracks."""
    artists = [artist for artist in ARTISTS if artist.genre == genre.name]
    weight = 1 / np.sqrt(1 + np.arange(len(artists)))
    return artists[int(chance.choice(len(artists), p=weight / weight.sum()))]


def _tone_of(artist: Artist, seed: int) -> float:
    """Return the factor on the genre's brightness for an artist."""
    return float(generator(seed, "tone", artist.name).uniform(0.85, 1.2))


def _metadata(title: str, artist: Artist, genre: Genre, seed: int, chance: np.random.Generator) -> dict[str, object]:
    album = pick(_albums(artist, genre, seed), chance)
    return {"title": title, "artist": artist.name, "album": album.title, "year": album.year}


def _albums(artist: Artist, genre: Genre, seed: int) -> list[Album]:
    """Return the artist's one to three albums."""
    chance = generator(seed, "albums", artist.name)
    first, last = YEARS[genre.name]
    moods = [pick(genre.moods, chance) for _ in range(chance.integers(1, 4))]
    return [Album(write_title(artist, mood, chance), int(chance.integers(first, last + 1))) for mood in moods]


def _tags(genre: Genre, mood: str, chance: np.random.Generator) -> dict[str, object]:
    """Draw listeners' tags in random order: most are apt, some are noise."""
    tags = draw(GENRE_TAGS[genre.name], int(chance.integers(1, 4)), chance)
    tags += draw(MOOD_TAGS[mood], int(chance.integers(1, 3)), chance)
    tags += draw(INSTRUMENT_TAGS[genre.name], int(chance.integers(0, 3)), chance)
    tags += draw(NOISE_TAGS, int(chance.random() < NOISE_TAG_SHARE), chance)
    return {"tags": draw(tags, len(tags), chance)}


def _lyrics(title: str, artist: Artist, genre: Genre, mood: str, chance: np.random.Generator) -> dict[str, object]:
    """Write lyrics, unless the track is instrumental."""
    if chance.random() >= genre.vocal:
        return {}
    lyrics = write_lyrics(artist, mood, chance)
    return {"lyrics": with_time_stamps(lyrics, title, artist) if chance.random() < LRC_SHARE else lyrics}


def _audio(number: int, title: str, artist: Artist, song: Song, chance: np.random.Generator) -> dict[str, object]:
    """Name the audio file and its version: a hash of the song, so that the version does not depend on file times."""
    suffix = str(chance.choice(list(FORMATS), p=list(FORMATS.values())))
    version = identity_hash({"rendering": RENDERING, "song": asdict(song), "format": suffix})
    return {"audio_path": f"{artist.name}/{number:04d} {title}.{suffix}", "audio_version": version}


def _falls_on(number: int, rule: tuple[int, int]) -> bool:
    modulus, remainder = rule
    return number % modulus == remainder
