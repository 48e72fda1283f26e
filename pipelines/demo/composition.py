"""Compose a song from a genre and a mood, and write out its notes and drum hits."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tracktokens.pipelines.demo.chance import pick
from tracktokens.pipelines.demo.genres import MOODS, SCALES, Beat, Genre, Part, Progression

SECONDS = (8.0, 10.0)
"""Shortest and longest song."""


@dataclass(frozen=True)
class Song:
    """All parameters of a track's sound.

    Attributes:
        genre: name of the genre.
        scale: ``major`` or ``minor``.
        tempo: quarter notes per minute.
        root: the tonic as a MIDI note.
        progression: chord roots as scale degrees.
        chord_size: notes per chord.
        bars_per_chord: bars until the chord changes.
        parts: the parts that play, each with one rhythm.
        beat: drums and their rhythms.
        drum_level: loudness of the drums.
        drum_tuning: factor on the drums' pitch.
        tone: frequency in Hz above which the mix gets softer.
        room: seconds in which the room's echo falls to 1/e.
        wet: share of the room.
        swing: delay of every second sixteenth, in sixteenths.
        hiss: level of the noise floor.
        seconds: length.
        channels: 1 or 2.
        take: seed of the variation from note to note.
    """

    genre: str
    scale: str
    tempo: float
    root: int
    progression: Progression
    chord_size: int
    bars_per_chord: int
    parts: tuple[Part, ...]
    beat: Beat
    drum_level: float
    drum_tuning: float
    tone: float
    room: float
    wet: float
    swing: float
    hiss: float
    seconds: float
    channels: int
    take: int

    @property
    def step(self) -> float:
        """Length of a sixteenth note in seconds."""
        return 15.0 / self.tempo


@dataclass(frozen=True)
class Note:
    """A note: start and length in seconds, MIDI pitch, velocity from 0 to 1."""

    start: float
    length: float
    pitch: int
    velocity: float

    @property
    def frequency(self) -> float:
        """Pitch in Hz, in equal temperament."""
        return float(440.0 * 2 ** ((self.pitch - 69) / 12))


def compose(genre: Genre, mood_name: str, artist_tone: float, chance: np.random.Generator) -> Song:
    """Draw a song of a genre in a mood.

    Args:
        genre: the genre.
        mood_name: one of ``genres.MOODS``.
        artist_tone: factor on the brightness that all songs of an artist share.
        chance: source of everything that varies between songs.
    """
    mood = MOODS[mood_name]
    slowest, fastest = genre.tempo
    place = float(np.clip(mood.pace + chance.normal(0, 0.15), 0, 1))
    return Song(
        genre=genre.name,
        scale=mood.scale,
        tempo=round(slowest + place * (fastest - slowest), 1),
        root=int(chance.integers(55, 67)),
        progression=pick(genre.progressions[mood.scale], chance),
        chord_size=genre.chord_size,
        bars_per_chord=genre.bars_per_chord,
        parts=tuple(_one_rhythm(part, chance) for part in _parts_that_play(genre, chance)),
        beat=pick(genre.beats, chance) if genre.beats else (),
        drum_level=round(genre.drum_level * chance.uniform(0.75, 1.25), 3),
        drum_tuning=round(chance.uniform(0.85, 1.2), 3),
        tone=round(genre.tone * mood.brightness * artist_tone * chance.uniform(0.85, 1.2), 1),
        room=genre.room,
        wet=round(genre.wet * chance.uniform(0.6, 1.3), 3),
        swing=genre.swing,
        hiss=round(genre.hiss * chance.uniform(0.3, 2.0), 5),
        seconds=round(chance.uniform(*SECONDS), 2),
        channels=2 if chance.random() < 0.2 else 1,
        take=int(chance.integers(2**32)),
    )


def notes(part: Part, song: Song) -> list[Note]:
    """Write out the notes of a part in a song, in order of time."""
    chance = np.random.default_rng((song.take, song.parts.index(part)))
    melody = _walk(chance)
    played = []
    for count, step in enumerate(hits(part.patterns[0], song)):
        degrees = _degrees(part, chord_root(song, step, len(part.patterns[0])), count, song.chord_size, melody)
        start, velocity = start_of(step, song) + abs(chance.normal(0, 0.004)), chance.uniform(0.75, 1.0)
        played += [Note(start, part.gate * song.step, pitch(song, d, part.octave), velocity) for d in degrees]
    return played


def hits(pattern: str, song: Song) -> list[int]:
    """Return the sixteenths, counted from the start of the song, at which a pattern has a hit."""
    steps = int(song.seconds / song.step)
    return [step for step in range(steps) if pattern[step % len(pattern)] == "x"]


def start_of(step: int, song: Song) -> float:
    """Return the start of a sixteenth in seconds; every second one is delayed by the song's swing."""
    return (step + song.swing * (step % 2)) * song.step


def chord_root(song: Song, step: int, steps_per_bar: int) -> int:
    """Return the scale degree of the chord that sounds at a sixteenth."""
    chord = step // (steps_per_bar * song.bars_per_chord)
    return song.progression[chord % len(song.progression)]


def pitch(song: Song, degree: int, octave: int) -> int:
    """Return the MIDI note of a scale degree, which may be outside 0 to 6, in an octave relative to the song's root."""
    scale = SCALES[song.scale]
    return song.root + 12 * (octave + degree // len(scale)) + scale[degree % len(scale)]


def _degrees(part: Part, root: int, count: int, chord_size: int, melody: Iterator[int]) -> list[int]:
    """Return the scale degrees that a part plays over a chord at its ``count``-th hit."""
    chord = [root + 2 * third for third in range(chord_size)]
    match part.role:
        case "chord":
            return chord
        case "power":
            return [root, root + 4, root + 7]
        case "bass":
            return [root]
        case "arpeggio":
            return [(*chord, root + 7)[count % (chord_size + 1)]]
        case "melody":
            return [next(melody)]


def _walk(chance: np.random.Generator) -> Iterator[int]:
    """Wander over the scale in small steps, about an octave wide."""
    degree = int(chance.choice((0, 2, 4)))
    while True:
        yield degree
        degree = int(np.clip(degree + chance.choice((-2, -1, -1, 0, 1, 1, 2)), -2, 8))


def _parts_that_play(genre: Genre, chance: np.random.Generator) -> list[Part]:
    return [part for part in genre.parts if chance.random() < part.chance]


def _one_rhythm(part: Part, chance: np.random.Generator) -> Part:
    """Choose a part's rhythm and vary its level."""
    level = round(part.level * chance.uniform(0.7, 1.3), 3)
    return replace(part, patterns=(pick(part.patterns, chance),), level=level)
