"""Render a song to samples and write them: wavetable instruments, noise drums, a room.

Signals are float arrays of shape (frames,) at :data:`SAMPLE_RATE` until the mix, which is (frames, channels).
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracktokens.pipelines.demo.composition import SECONDS, Song, hits, notes, start_of
from tracktokens.pipelines.demo.genres import Part, Timbre

SAMPLE_RATE = 22_050

Signal = npt.NDArray[np.float64]

_TABLE = 4096
_MOST_PARTIALS = 64
_FFT = 262_144
"""Frames of the mixing transform: a power of two that holds the longest song and its echo."""
_ECHO_FRAMES = _FFT - int(SECONDS[1] * SAMPLE_RATE)
_BLOCK_FRAMES = 8192
_PEAK = 0.8
_VIBRATO_HZ = 5.5


def render(song: Song) -> npt.NDArray[np.float32]:
    """Play a song: float32 of shape (frames, channels), at most 0.8 in size. The same song gives the same samples."""
    dry = sum((play(part, song) for part in song.parts), np.zeros(_frames(song.seconds)))
    dry += song.drum_level * drum(song)
    dry += song.hiss * np.random.default_rng((song.take, 1000)).standard_normal(len(dry))
    mix = np.stack([_in_room(dry, song, side) for side in range(song.channels)], axis=1)
    mix *= _fades(len(mix))[:, None]
    return np.asarray(mix * (_PEAK / np.abs(mix).max()), np.float32)


def write_audio(path: Path, samples: npt.NDArray[np.float32]) -> None:
    """Write samples in the format of the file's suffix (ogg, flac, wav, mp3).

    Samples are written in blocks: libsndfile overflows its stack on one long write of Vorbis.
    """
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(str(path), "w", SAMPLE_RATE, samples.shape[1], format=path.suffix[1:].upper()) as file:
        for start in range(0, len(samples), _BLOCK_FRAMES):
            file.write(samples[start : start + _BLOCK_FRAMES])


def play(part: Part, song: Song) -> Signal:
    """Play one part over the length of the song."""
    track = np.zeros(_frames(song.seconds))
    written = notes(part, song)
    tones = {key: tone(part.timbre, *key) for key in {(note.frequency, note.length) for note in written}}
    for note in written:
        _add(track, note.velocity * tones[note.frequency, note.length], note.start)
    if part.drive:
        track = np.tanh(part.drive * track)
    return part.level * track


def tone(timbre: Timbre, frequency: float, length: float) -> Signal:
    """Play one note of ``frequency`` Hz, held for ``length`` seconds, at full velocity."""
    time = np.arange(_frames(length + timbre.release)) / SAMPLE_RATE
    spread = np.linspace(-0.5, 0.5, timbre.voices) * timbre.detune if timbre.voices > 1 else np.zeros(1)
    bent = _bent(time, timbre.vibrato)
    sound = np.zeros(len(time))
    for voice, cents in enumerate(spread):
        cycles = frequency * _ratio(cents) * bent + 0.37 * voice  # voices in phase would sound hollow
        sound += _oscillate(timbre, frequency, cycles, time)
    return sound / timbre.voices * _envelope(timbre, time, length)


def drum(song: Song) -> Signal:
    """Play the song's beat."""
    track = np.zeros(_frames(song.seconds))
    chance = np.random.default_rng((song.take, 2000))
    for name, pattern in song.beat:
        sound = DRUMS[name](song.drum_tuning, chance)
        for step in hits(pattern, song):
            accent = 1.0 if step % 4 == 0 else 0.8
            _add(track, accent * chance.uniform(0.85, 1.0) * sound, start_of(step, song))
    return track


@lru_cache(maxsize=2048)
def wavetable(slope: float, odd: bool, partials: int) -> Signal:
    """Return one cycle, shape (4096,), with partials up to a limit: number ``h`` has amplitude ``h ** -slope``."""
    order = np.arange(1, partials + 1)
    amplitude = order**-slope * np.where(odd & (order % 2 == 0), 0.0, 1.0)
    spectrum = np.zeros(_TABLE // 2 + 1, np.complex128)
    spectrum[1 : partials + 1] = -1j * amplitude
    cycle = np.fft.irfft(spectrum)
    return np.asarray(cycle / np.abs(cycle).max())


def _bent(time: Signal, vibrato: float) -> Signal:
    """Bend time so that a wave read along it sways by ``vibrato`` cents: its rate is the frequency's ratio."""
    sway = 2 * np.pi * _VIBRATO_HZ
    return np.asarray(time + (_ratio(vibrato) - 1) * np.sin(sway * time) / sway)


def _ratio(cents: float) -> float:
    """Return the ratio of two frequencies from their distance in cents."""
    return float(2 ** (cents / 1200))


def _oscillate(timbre: Timbre, frequency: float, cycles: Signal, time: Signal) -> Signal:
    """Read the timbre's wave at positions in cycles; if it is damped, its bright part decays first."""
    partials = min(_MOST_PARTIALS, int(0.45 * SAMPLE_RATE / frequency))
    index = (cycles * _TABLE).astype(np.int64) & (_TABLE - 1)
    bright = wavetable(timbre.slope, timbre.odd, partials)[index]
    if np.isinf(timbre.damping):
        return np.asarray(bright)
    mellow = wavetable(timbre.slope + 1.5, timbre.odd, partials)[index]
    return np.asarray(mellow + (bright - mellow) * np.exp(-time / timbre.damping))


def _envelope(timbre: Timbre, time: Signal, length: float) -> Signal:
    rise = np.minimum(time / timbre.attack, 1.0)
    fall = np.exp(-time / timbre.decay)
    end = np.clip((length + timbre.release - time) / timbre.release, 0.0, 1.0)
    return np.asarray(rise * fall * end)


def _in_room(dry: Signal, song: Song, side: int) -> Signal:
    """Add the room's echo and soften the treble, in one pass through the frequency domain."""
    spectrum = np.fft.rfft(dry, _FFT)
    frequency = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)
    spectrum *= (1 - song.wet + song.wet * _room(song.room, side)) / (1 + (frequency / song.tone) ** 2)
    return np.asarray(np.fft.irfft(spectrum, _FFT)[: len(dry)])


@lru_cache(maxsize=32)
def _room(seconds: float, side: int) -> npt.NDArray[np.complex128]:
    """Return the spectrum of a room's echo: decaying noise of energy 1, different for each side."""
    time = np.arange(_ECHO_FRAMES) / SAMPLE_RATE
    response = np.random.default_rng(side).standard_normal(len(time)) * np.exp(-time / seconds)
    return np.asarray(np.fft.rfft(response / np.linalg.norm(response), _FFT))


def _fades(frames: int) -> Signal:
    """Fade in over 5 ms and out over half a second."""
    time = np.arange(frames) / SAMPLE_RATE
    return np.asarray(np.minimum(time / 0.005, 1.0) * np.minimum((time[-1] - time) / 0.5, 1.0))


def _add(track: Signal, sound: Signal, start: float) -> None:
    """Mix a sound into a track in place, cut off at the end."""
    first = _frames(start)
    room = min(len(sound), len(track) - first)
    if room > 0:
        track[first : first + room] += sound[:room]


def _frames(seconds: float) -> int:
    return int(seconds * SAMPLE_RATE)


def _time(seconds: float) -> Signal:
    return np.arange(_frames(seconds)) / SAMPLE_RATE


def _swept(start: float, end: float, glide: float, decay: float) -> Signal:
    """Sine that falls from ``start`` to ``end`` Hz in about ``glide`` seconds: the skin of a drum."""
    time = _time(5 * decay)
    cycles = end * time + (start - end) * glide * (1 - np.exp(-time / glide))
    return np.asarray(np.sin(2 * np.pi * cycles) * np.exp(-time / decay))


def _noise(decay: float, chance: np.random.Generator, treble: int = 0) -> Signal:
    """Noise burst. Each ``treble`` step removes bass by one differentiation."""
    time = _time(5 * decay)
    burst = chance.standard_normal(len(time) + treble) * 0.35
    return np.asarray(np.diff(burst, n=treble) / 2 ** (treble / 2) * np.exp(-time / decay))


def _kick(tuning: float, chance: np.random.Generator) -> Signal:
    return _swept(220 * tuning, 48 * tuning, 0.03, 0.13)


def _thump(tuning: float, chance: np.random.Generator) -> Signal:
    return 0.9 * _swept(160 * tuning, 62 * tuning, 0.015, 0.07)


def _snare(tuning: float, chance: np.random.Generator) -> Signal:
    body, wires = 0.6 * _swept(300 * tuning, 185 * tuning, 0.02, 0.06), _noise(0.09, chance, 1)
    wires[: len(body)] += body[: len(wires)]
    return wires


def _ghost(tuning: float, chance: np.random.Generator) -> Signal:
    return 0.3 * _snare(tuning, chance)


def _clap(tuning: float, chance: np.random.Generator) -> Signal:
    clap = _noise(0.07, chance, 1)
    for delay in (0.011, 0.023):
        _add(clap, _noise(0.012, chance, 1), delay)
    return 0.8 * clap


def _hat(tuning: float, chance: np.random.Generator) -> Signal:
    return 0.5 * _noise(0.03 / tuning, chance, 2)


def _ride(tuning: float, chance: np.random.Generator) -> Signal:
    return 0.35 * _noise(0.16, chance, 2)


def _crash(tuning: float, chance: np.random.Generator) -> Signal:
    return 0.5 * _noise(0.5, chance, 2)


def _shaker(tuning: float, chance: np.random.Generator) -> Signal:
    burst = _noise(0.025, chance, 2)
    return np.asarray(0.4 * burst * np.minimum(_time(0.125)[: len(burst)] / 0.015, 1.0))


def _rim(tuning: float, chance: np.random.Generator) -> Signal:
    return 0.6 * _swept(1900 * tuning, 1650 * tuning, 0.01, 0.012)


def _blip(tuning: float, chance: np.random.Generator) -> Signal:
    return np.asarray(0.7 * np.sign(_swept(320 * tuning, 70 * tuning, 0.03, 0.03)))


def _burst(tuning: float, chance: np.random.Generator) -> Signal:
    """Noise of early sound chips: two levels, held for a few samples."""
    coarse = np.repeat(chance.choice((-0.5, 0.5), 420), 4)
    return np.asarray(coarse * np.linspace(1, 0, len(coarse)))


DRUMS = {
    "kick": _kick,
    "thump": _thump,
    "snare": _snare,
    "ghost": _ghost,
    "clap": _clap,
    "hat": _hat,
    "ride": _ride,
    "crash": _crash,
    "shaker": _shaker,
    "rim": _rim,
    "blip": _blip,
    "burst": _burst,
}
"""Drums by name: functions of a tuning factor and a random stream, to one hit."""
