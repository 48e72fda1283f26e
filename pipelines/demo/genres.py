"""The demo's genres and moods as data: instruments, rhythms, tempo ranges and harmony.

Rhythms are written as drum grids: one character per sixteenth note, ``x`` a hit and ``.`` a rest. A pattern is one bar,
so 16 characters are four quarters and 12 are a waltz.
"""

import math
from dataclasses import dataclass
from typing import Literal

Role = Literal["chord", "power", "bass", "arpeggio", "melody"]
Progression = tuple[int, ...]


@dataclass(frozen=True)
class Timbre:
    """The sound of a pitched instrument.

    Attributes:
        slope: partial ``h`` has amplitude ``h ** -slope``: 1 is a saw, 3 nearly a sine.
        odd: only odd partials sound, as in a square wave.
        attack: seconds until the note reaches full level.
        decay: seconds in which a held note falls to 1/e.
        release: seconds from the end of the note to silence.
        damping: seconds in which the bright part of the sound falls to 1/e, as in a struck string.
        voices: detuned copies played together.
        detune: cents between the outermost copies.
        vibrato: depth of the vibrato in cents.
    """

    slope: float
    odd: bool = False
    attack: float = 0.005
    decay: float = math.inf
    release: float = 0.05
    damping: float = math.inf
    voices: int = 1
    detune: float = 0.0
    vibrato: float = 0.0


@dataclass(frozen=True)
class Part:
    """The part of one instrument.

    Attributes:
        role: its notes in the harmony.
        timbre: its sound.
        patterns: rhythms; a track uses one.
        octave: octave of the chord's root, relative to the song's root.
        level: loudness in the mix.
        gate: length of a note in sixteenths.
        drive: distortion; 0 is clean.
        chance: share of the tracks that have this part.
    """

    role: Role
    timbre: Timbre
    patterns: tuple[str, ...]
    octave: int
    level: float
    gate: float
    drive: float = 0.0
    chance: float = 1.0


Beat = tuple[tuple[str, str], ...]
"""Drums and their rhythms: pairs of a drum's name in ``synthesis.DRUMS`` and a pattern."""


@dataclass(frozen=True)
class Mood:
    """A mood's effect on a genre: scale, position in the tempo range (0 to 1), and factor on brightness."""

    name: str
    scale: Literal["major", "minor"]
    pace: float
    brightness: float


MOODS = {
    mood.name: mood
    for mood in (
        Mood("bright", "major", 0.70, 1.20),
        Mood("calm", "major", 0.15, 0.80),
        Mood("melancholic", "minor", 0.20, 0.85),
        Mood("driving", "minor", 0.80, 1.15),
        Mood("dark", "minor", 0.40, 0.70),
    )
}

SCALES: dict[str, tuple[int, ...]] = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}

POP: dict[str, tuple[Progression, ...]] = {
    "major": ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (3, 0, 4, 5)),
    "minor": ((0, 5, 2, 6), (0, 3, 5, 4), (0, 6, 5, 6), (0, 2, 6, 3)),
}
"""Chord roots as scale degrees, 0 the tonic."""

STILL: dict[str, tuple[Progression, ...]] = {"major": ((0, 3), (0, 1), (0, 5)), "minor": ((0, 5), (0, 3), (0, 0))}
JAZZ: dict[str, tuple[Progression, ...]] = {
    "major": ((1, 4, 0, 0), (0, 5, 1, 4), (2, 5, 1, 4)),
    "minor": ((1, 4, 0, 0), (0, 3, 6, 2), (0, 5, 1, 4)),
}


@dataclass(frozen=True)
class Genre:
    """A genre: all parameters for composing and playing its songs.

    Attributes:
        name: common name.
        moods: the two moods of its tracks.
        tempo: slowest and fastest, in quarter notes per minute.
        parts: pitched instruments.
        beats: drum grooves; a track uses one, or none in music without drums.
        drum_level: loudness of the drums in the mix.
        progressions: chord progressions by scale.
        chord_size: notes per chord, stacked in thirds.
        bars_per_chord: bars until the chord changes.
        tone: frequency in Hz above which the mix gets softer.
        room: seconds in which the room's echo falls to 1/e.
        wet: share of the room in the mix.
        swing: delay of every second sixteenth, as a share of a sixteenth.
        hiss: level of the noise floor.
        vocal: share of the tracks that are sung.
    """

    name: str
    moods: tuple[str, str]
    tempo: tuple[float, float]
    parts: tuple[Part, ...]
    beats: tuple[Beat, ...]
    drum_level: float
    progressions: dict[str, tuple[Progression, ...]]
    chord_size: int
    bars_per_chord: int
    tone: float
    room: float
    wet: float
    swing: float
    hiss: float
    vocal: float


PAD = Timbre(slope=1.7, attack=0.9, release=1.2, voices=3, detune=18)
GLASS = Timbre(slope=2.6, attack=0.02, decay=1.4, release=0.8)
STAB = Timbre(slope=1.0, attack=0.004, decay=0.12, voices=2, detune=12)
ACID = Timbre(slope=1.1, decay=0.15, damping=0.06)
SUB = Timbre(slope=2.8, attack=0.01, release=0.06)
REESE = Timbre(slope=1.0, attack=0.02, voices=3, detune=38)
PULSE = Timbre(slope=1.0, odd=True, attack=0.001, release=0.01)
TRIANGLE = Timbre(slope=2.0, odd=True, attack=0.001, release=0.01)
PIANO = Timbre(slope=1.5, attack=0.003, decay=1.1, release=0.25, damping=0.25, voices=2, detune=3)
CELLO = Timbre(slope=1.15, attack=0.12, release=0.2, voices=2, detune=8, vibrato=9)
VIOLIN = Timbre(slope=1.0, attack=0.08, release=0.15, voices=2, detune=10, vibrato=16)
PIZZICATO = Timbre(slope=1.4, attack=0.002, decay=0.18, damping=0.08)
GUITAR = Timbre(slope=0.9, attack=0.003, decay=1.5, voices=2, detune=9)
BASS_GUITAR = Timbre(slope=1.6, attack=0.004, decay=0.6, damping=0.2)
NYLON = Timbre(slope=1.8, attack=0.003, decay=0.32, damping=0.12)
FLUTE = Timbre(slope=2.4, attack=0.06, release=0.1, vibrato=12)

EIGHTHS = "x.x.x.x.x.x.x.x."
SIXTEENTHS = "x" * 16

AMBIENT = Genre(
    name="ambient",
    moods=("calm", "dark"),
    tempo=(52, 76),
    parts=(
        Part("chord", PAD, ("x...............",), octave=0, level=1.0, gate=16),
        Part("bass", SUB, ("x...............",), octave=-2, level=0.5, gate=15),
        Part("melody", GLASS, ("x.....x.....x...", "....x.....x....."), octave=1, level=0.25, gate=4, chance=0.6),
    ),
    beats=(),
    drum_level=0.0,
    progressions=STILL,
    chord_size=4,
    bars_per_chord=1,
    tone=2200,
    room=0.9,
    wet=0.65,
    swing=0.0,
    hiss=0.004,
    vocal=0.15,
)

TECHNO = Genre(
    name="techno",
    moods=("driving", "dark"),
    tempo=(122, 140),
    parts=(
        Part("bass", ACID, (SIXTEENTHS, "..xx..xx..xx..xx", ".xxx.xxx.xxx.xxx"), octave=-2, level=0.6, gate=0.8),
        Part("chord", STAB, ("..x.....x.......", "......x......x..", "..x..x..x..x...."), octave=0, level=0.3, gate=1),
    ),
    beats=(
        (("kick", "x...x...x...x..."), ("hat", "..x...x...x...x."), ("clap", "....x.......x...")),
        (("kick", "x...x...x...x..."), ("hat", "..x...x...x...xx"), ("rim", "...x..x....x..x.")),
        (("kick", "x...x...x...x..."), ("hat", SIXTEENTHS), ("clap", "............x...")),
    ),
    drum_level=1.0,
    progressions=STILL,
    chord_size=3,
    bars_per_chord=2,
    tone=6000,
    room=0.25,
    wet=0.15,
    swing=0.0,
    hiss=0.002,
    vocal=0.3,
)

DRUM_AND_BASS = Genre(
    name="drum and bass",
    moods=("driving", "melancholic"),
    tempo=(164, 180),
    parts=(
        Part("bass", REESE, ("x.....x...x.....", "x..x......x..x.."), octave=-2, level=0.7, gate=4),
        Part("chord", PAD, ("x...............",), octave=0, level=0.3, gate=14, chance=0.7),
    ),
    beats=(
        (("thump", "x.........x....."), ("snare", "....x.......x..."), ("hat", EIGHTHS), ("ghost", ".......x.x.....x")),
        (("thump", "x..x......x....."), ("snare", "....x..x....x..."), ("hat", "x.xxx.x.x.x.x.xx")),
        (("thump", "x.x.......xx...."), ("snare", "....x..x.x..x..x"), ("ride", EIGHTHS)),
    ),
    drum_level=1.2,
    progressions=POP,
    chord_size=4,
    bars_per_chord=2,
    tone=8500,
    room=0.3,
    wet=0.12,
    swing=0.08,
    hiss=0.002,
    vocal=0.55,
)

CHIPTUNE = Genre(
    name="chiptune",
    moods=("bright", "driving"),
    tempo=(126, 168),
    parts=(
        Part("arpeggio", PULSE, (SIXTEENTHS, "x.xxx.xxx.xxx.xx"), octave=1, level=0.35, gate=0.7),
        Part(
            "melody", PULSE, ("x..x..x.x..x..x.", "x.x...x.x.x...x.", "x...x.x.x...xx.."), octave=1, level=0.5, gate=1.6
        ),
        Part("bass", TRIANGLE, (EIGHTHS, "x..xx..xx..xx..x"), octave=-1, level=0.7, gate=1.5),
    ),
    beats=(
        (("blip", "x...x...x...x..."), ("burst", "....x.......x...")),
        (("blip", "x..x..x.x..x..x."), ("burst", "....x..x....x..x")),
        (("burst", "..x...x...x...x."),),
    ),
    drum_level=0.5,
    progressions=POP,
    chord_size=3,
    bars_per_chord=1,
    tone=9500,
    room=0.05,
    wet=0.0,
    swing=0.0,
    hiss=0.0005,
    vocal=0.4,
)

SOLO_PIANO = Genre(
    name="solo piano",
    moods=("calm", "melancholic"),
    tempo=(58, 96),
    parts=(
        Part("arpeggio", PIANO, (EIGHTHS, "x..x..x.x..x..x.", "x.x.x...x.x.x..."), octave=-1, level=0.6, gate=3),
        Part(
            "melody", PIANO, ("x...x.x.....x...", "....x...x.x.....", "x.....x.x......."), octave=1, level=0.9, gate=5
        ),
        Part("bass", PIANO, ("x...............", "x.......x......."), octave=-2, level=0.7, gate=8),
    ),
    beats=(),
    drum_level=0.0,
    progressions=POP,
    chord_size=3,
    bars_per_chord=1,
    tone=4500,
    room=0.3,
    wet=0.25,
    swing=0.0,
    hiss=0.0015,
    vocal=0.35,
)

STRING_WALTZ = Genre(
    name="string waltz",
    moods=("bright", "melancholic"),
    tempo=(84, 156),
    parts=(
        Part("bass", CELLO, ("x...........",), octave=-2, level=0.7, gate=7),
        Part("chord", CELLO, ("....x...x...",), octave=-1, level=0.35, gate=2.5, chance=0.8),
        Part("chord", PIZZICATO, ("....x...x...",), octave=0, level=0.4, gate=2, chance=0.4),
        Part("melody", VIOLIN, ("x.......x...", "x...x...x...", "x.....x.x..."), octave=1, level=0.6, gate=5),
    ),
    beats=(),
    drum_level=0.0,
    progressions=POP,
    chord_size=3,
    bars_per_chord=1,
    tone=5500,
    room=0.45,
    wet=0.3,
    swing=0.0,
    hiss=0.002,
    vocal=0.45,
)

ROCK = Genre(
    name="rock",
    moods=("bright", "dark"),
    tempo=(98, 152),
    parts=(
        Part(
            "power",
            GUITAR,
            (EIGHTHS, "x..x..x.x..x..x.", "x.xxx.xxx.xxx.x."),
            octave=-1,
            level=0.8,
            gate=1.9,
            drive=9.0,
        ),
        Part("bass", BASS_GUITAR, (EIGHTHS, "x..x..x.x..x..x."), octave=-2, level=0.5, gate=2),
        Part(
            "melody",
            GUITAR,
            ("x...x.x.x.....x.", "....x.x.x...x..."),
            octave=1,
            level=0.3,
            gate=3,
            drive=5.0,
            chance=0.5,
        ),
    ),
    beats=(
        (("thump", "x.......x......."), ("snare", "....x.......x..."), ("hat", EIGHTHS)),
        (("thump", "x.....x.x......."), ("snare", "....x.......x..."), ("ride", EIGHTHS)),
        (("thump", "x..x....x.x....."), ("snare", "....x.......x.xx"), ("crash", "x..............."), ("hat", EIGHTHS)),
    ),
    drum_level=0.9,
    progressions=POP,
    chord_size=3,
    bars_per_chord=1,
    tone=5000,
    room=0.15,
    wet=0.12,
    swing=0.0,
    hiss=0.004,
    vocal=0.95,
)

BOSSA_NOVA = Genre(
    name="bossa nova",
    moods=("bright", "calm"),
    tempo=(112, 148),
    parts=(
        Part("chord", NYLON, ("x..x..x...x..x..", "..x..x..x..x..x.", "x..x..x..x..x..."), octave=0, level=0.6, gate=2),
        Part("bass", BASS_GUITAR, ("x.....x.x.....x.", "x.......x.....x."), octave=-2, level=0.6, gate=4),
        Part("melody", FLUTE, ("..x...x.x.....x.", "x..x....x..x...."), octave=1, level=0.35, gate=4, chance=0.6),
    ),
    beats=(
        (("shaker", SIXTEENTHS), ("rim", "x..x..x...x..x..")),
        (("shaker", EIGHTHS), ("rim", "x..x...x..x...x."), ("thump", "x......xx......x")),
        (("shaker", "x.xxx.xxx.xxx.xx"), ("rim", "..x...x...x..x..")),
    ),
    drum_level=0.4,
    progressions=JAZZ,
    chord_size=4,
    bars_per_chord=1,
    tone=4800,
    room=0.15,
    wet=0.15,
    swing=0.1,
    hiss=0.003,
    vocal=0.9,
)

GENRES = (AMBIENT, TECHNO, DRUM_AND_BASS, CHIPTUNE, SOLO_PIANO, STRING_WALTZ, ROCK, BOSSA_NOVA)
"""Every genre of the demo."""
