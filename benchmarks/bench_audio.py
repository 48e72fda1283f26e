"""How many tracks a second the audio stage encodes, against a plain loop over the same files in the same run.

    python benchmarks/bench_audio.py            24 synthesised files of three minutes: FLAC, Ogg Vorbis and MP3
    python benchmarks/bench_audio.py FOLDER     every audio file under FOLDER

Contestants take turns over all the files, and each one's best round counts: on a shared machine that is the round
that was disturbed least.
"""

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import soundfile as sf

from tracktokens.transforms.audio_descriptors import HOP, N_FFT, N_MELS, describe
from tracktokens.transforms.encoders.descriptors import DescriptorEncoder

RATE = 22_050
FILES = 24
SECONDS = 180
ROUNDS = 2
SUFFIXES = (".flac", ".ogg", ".mp3")
AUDIO_SUFFIXES = {*SUFFIXES, ".wav", ".opus", ".aiff"}


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1], sorted(found(Path(sys.argv[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(folder, synthesise(Path(folder)))


def found(folder: Path) -> list[str]:
    """Name the audio files below a folder."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES]


def synthesise(folder: Path) -> list[str]:
    """Write files of chords and drums, in stereo at 44.1 kHz; return their names."""
    names = [f"track{number:02}{SUFFIXES[number % len(SUFFIXES)]}" for number in range(FILES)]
    for seed, name in enumerate(names):
        write_song(folder / name, np.random.default_rng(seed))
    return names


def write_song(path: Path, rng: np.random.Generator, rate: int = 44_100) -> None:
    """Write second by second: libsndfile crashes on an Ogg of minutes in one call."""
    beats_per_second, root = rng.uniform(1, 3), 110 * 2 ** rng.uniform(0, 1)
    with sf.SoundFile(path, "w", rate, 2) as sound:
        for second in range(SECONDS):
            t = second + np.arange(rate) / rate
            chord = sum(np.sin(2 * np.pi * root * ratio * t) for ratio in (1, 5 / 4, 3 / 2))
            drum = rng.standard_normal(rate) * np.exp(-20 * (t * beats_per_second % 1))
            sound.write(np.stack([0.1 * chord + 0.2 * drum, 0.1 * chord - 0.1 * drum], axis=1))


def plain_descriptors(y: npt.NDArray[np.float32], sr: int) -> npt.NDArray[np.float64]:
    """Compute the descriptors as one writes them with librosa, sharing one spectrogram."""
    magnitude = np.abs(librosa.stft(y, n_fft=N_FFT, hop_length=HOP))
    mel = librosa.power_to_db(librosa.feature.melspectrogram(S=magnitude**2, sr=sr, n_mels=N_MELS))
    mfcc = librosa.feature.mfcc(S=mel, n_mfcc=20)
    chroma = librosa.feature.chroma_stft(S=magnitude**2, sr=sr, tuning=0)
    onset = librosa.onset.onset_strength(S=mel, sr=sr)
    over_time = [
        mfcc,
        librosa.feature.delta(mfcc),
        librosa.feature.spectral_contrast(S=magnitude, sr=sr),
        librosa.feature.spectral_centroid(S=magnitude, sr=sr),
        librosa.feature.spectral_bandwidth(S=magnitude, sr=sr),
        librosa.feature.spectral_rolloff(S=magnitude, sr=sr),
        librosa.feature.spectral_flatness(S=magnitude),
        librosa.feature.zero_crossing_rate(y),
        librosa.feature.rms(S=magnitude),
        chroma,
        librosa.feature.tonnetz(chroma=chroma, sr=sr),
        librosa.feature.tempogram(onset_envelope=onset, sr=sr),
    ]
    tempo = librosa.feature.tempo(onset_envelope=onset, sr=sr)
    return np.concatenate(
        [tempo, *(part.mean(axis=1) for part in over_time), *(part.std(axis=1) for part in over_time)]
    )


def plain_loop(root: str, names: Sequence[str]) -> None:
    for name in names:
        y, sr = librosa.load(Path(root) / name, sr=RATE)
        plain_descriptors(y, int(sr))


def whole_files(root: str, names: Sequence[str]) -> None:
    for name in names:
        y, sr = librosa.load(Path(root) / name, sr=RATE)
        describe([y], int(sr))


def stage(threads: int) -> Callable[[str, Sequence[str]], None]:
    def encode(root: str, names: Sequence[str]) -> None:
        result = DescriptorEncoder(root).load(threads).encode(pa.array(names))
        if result.failures:
            raise SystemExit(f"could not encode {names[min(result.failures)]}: {next(iter(result.failures.values()))}")

    return encode


CONTESTANTS: dict[str, Callable[[str, Sequence[str]], None]] = {
    "plain loop: librosa.load, librosa's functions": plain_loop,
    "plain loop: librosa.load, this project's formulas": whole_files,
    "audio stage, 1 thread": stage(1),
    "audio stage, 2 threads": stage(2),
}


def measure(root: str, names: list[str]) -> None:
    for contestant in CONTESTANTS.values():  # imports, compilation and file cache are not what is measured
        contestant(root, names[:1])
    best = dict.fromkeys(CONTESTANTS, float("inf"))
    for _ in range(ROUNDS):
        for label, contestant in CONTESTANTS.items():
            start = time.perf_counter()
            contestant(root, names)
            best[label] = min(best[label], time.perf_counter() - start)
    report(root, names, best)


def report(root: str, names: list[str], best: dict[str, float]) -> None:
    minutes = sum(sf.info(Path(root) / name).duration for name in names) / 60
    print(f"{len(names)} files, {minutes:.0f} minutes of sound, best of {ROUNDS} alternating rounds")
    print(f"{os.cpu_count()} CPUs, Python {platform.python_version()}, librosa {version('librosa')}, "
          f"soundfile {sf.__version__} ({sf.__libsndfile_version__})")  # fmt: skip
    print(f"\n{'':50} tracks/s   ratio   ratio")
    plain, formulas = list(best.values())[:2]
    for label, seconds in best.items():
        print(f"{label:50} {len(names) / seconds:8.2f} {plain / seconds:7.2f} {formulas / seconds:7.2f}")
    print("\nRatios are to the first and to the second plain loop.")


if __name__ == "__main__":
    main()
