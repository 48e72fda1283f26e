"""Compare the audio stage with a plain loop over the same files: tracks per second.

    python benchmarks/bench_audio.py                 24 synthesised files of three minutes: FLAC, Ogg Vorbis and MP3
    python benchmarks/bench_audio.py --files 200     as many such files
    python benchmarks/bench_audio.py FOLDER          every audio file under FOLDER
    python benchmarks/bench_audio.py --clap          CLAP with random weights, HTSAT-tiny; without a plain loop

Each contestant is a process that is pinned, with its decoders, to a number of CPUs (on Linux). They take turns over all
files, and the best round of each counts: on a shared machine that is the least disturbed one. CPU time is that of the
process and its decoders: it shows the possible speed where other work takes the cores.
"""

import argparse
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import soundfile as sf
from result_table import Result, record

from tracktokens.transforms.encoders.audio.clap_checkpoint import build_network, clap_encoder
from tracktokens.transforms.encoders.audio.descriptor_features import HOP, N_FFT, N_MELS, describe
from tracktokens.transforms.encoders.audio.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.base import Encoder

RATE = 22_050
SECONDS = 180
SUFFIXES = (".flac", ".ogg", ".mp3")
AUDIO_SUFFIXES = {*SUFFIXES, ".wav", ".opus", ".aiff"}
CLAP_MODEL = "HTSAT-tiny"

Loop = Callable[[Sequence[str]], None]
"""Function that encodes the named files."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", help="measure on the audio files under it")
    parser.add_argument("--files", type=int, default=24, help="else synthesise so many")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clap", action="store_true", help="measure CLAP")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.folder or scratch
        names = sorted(found(Path(root))) if options.folder else synthesise(Path(root), options.files)
        contestants = clap_contestants(Path(scratch)) if options.clap else descriptor_contestants()
        report(root, names, options.rounds, measure(contestants, root, names, options.rounds))


def found(folder: Path) -> list[str]:
    """List the audio files below a folder."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES]


def synthesise(folder: Path, files: int) -> list[str]:
    """Write files of chords and drums, in stereo at 44.1 kHz; return their names."""
    names = [f"track{number:03}{SUFFIXES[number % len(SUFFIXES)]}" for number in range(files)]
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
    """Compute the descriptors with librosa calls that share one spectrogram."""
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


def describe_whole(y: npt.NDArray[np.float32], sr: int) -> npt.NDArray[np.float32]:
    return describe([y], sr)


def plain_loop(describe_file: Callable[[npt.NDArray[np.float32], int], object], root: str, cpus: int) -> Loop:
    """Load whole files with librosa, one by one."""

    def loop(names: Sequence[str]) -> None:
        for name in names:
            y, sr = librosa.load(Path(root) / name, sr=RATE)
            describe_file(y, int(sr))

    return loop


def stage(encoder: Callable[[str], Encoder], root: str, cpus: int) -> Loop:
    """Encode as a worker of the job does, with one thread per CPU."""
    loaded = encoder(root).load(cpus)

    def loop(names: Sequence[str]) -> None:
        result = loaded.encode(pa.array(names))
        if result.failures:
            raise SystemExit(f"could not encode {names[min(result.failures)]}: {result.failures}")

    return loop


def clap(checkpoint: str, root: str) -> Encoder:
    return clap_encoder(root, checkpoint=checkpoint, model=CLAP_MODEL, device="cpu")


@dataclass(frozen=True)
class Contestant:
    """A way to encode files, and its number of CPUs."""

    label: str
    start: Callable[[str, int], Loop]
    cpus: int

    def __str__(self) -> str:
        return f"{self.label}, {self.cpus} CPU{'s' * (self.cpus > 1)}"


def descriptor_contestants() -> list[Contestant]:
    cpus = os.cpu_count() or 1
    plain, formulas = partial(plain_loop, plain_descriptors), partial(plain_loop, describe_whole)
    return [
        Contestant("plain loop: librosa.load, librosa's functions", plain, 1),
        Contestant("plain loop: librosa.load, librosa's functions", plain, cpus),
        Contestant("plain loop: librosa.load, this project's formulas", formulas, 1),
        Contestant("audio stage", partial(stage, DescriptorEncoder), 1),
        Contestant("audio stage", partial(stage, DescriptorEncoder), cpus),
    ]


def clap_contestants(scratch: Path) -> list[Contestant]:
    import torch

    checkpoint = scratch / "random.pt"
    torch.save(build_network(CLAP_MODEL).state_dict(), checkpoint)
    encode = partial(stage, partial(clap, str(checkpoint)))
    return [Contestant(f"CLAP, {CLAP_MODEL}", encode, cpus) for cpus in (1, os.cpu_count() or 1)]


class Time(NamedTuple):
    """Seconds of a round: wall time and CPU time."""

    wall: float
    cpu: float


def measure(contestants: list[Contestant], root: str, names: list[str], rounds: int) -> dict[Contestant, Time]:
    """Let contestants take turns; return the best round of each."""
    connections = {contestant: started(contestant, root) for contestant in contestants}
    best = dict.fromkeys(contestants, Time(float("inf"), float("inf")))
    for round_names in [names[:2], *[names] * rounds]:  # imports, compilation and the start of decoders do not count
        for contestant, connection in connections.items():
            connection.send(round_names)
            took = connection.recv()
            if round_names is names:
                best[contestant] = Time(*map(min, best[contestant], took))
    return best


def started(contestant: Contestant, root: str) -> "Connection[list[str], Time]":
    """Start a contestant's process, which ends with this one; its threads and decoders inherit its CPUs."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, contestant, root), daemon=True)
    pin(contestant.cpus)
    process.start()
    pin(os.cpu_count() or 1)
    return ours


def pin(cpus: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(cpus))


def serve(connection: "Connection[Time, list[str]]", contestant: Contestant, root: str) -> None:
    loop = contestant.start(root, contestant.cpus)
    with suppress(EOFError):  # at the end
        while names := connection.recv():
            wall, cpu = time.perf_counter(), cpu_seconds()
            loop(names)
            connection.send(Time(time.perf_counter() - wall, cpu_seconds() - cpu))


def cpu_seconds() -> float:
    """CPU time of this process and its children, where the system reports it: Linux does, in /proc."""
    children = [pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in children]
    ticks = sum(int(user) + int(system) for user, system in (stat[11:13] for stat in fields))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def report(root: str, names: list[str], rounds: int, best: dict[Contestant, Time]) -> None:
    minutes = sum(sf.info(Path(root) / name).duration for name in names) / 60
    print(f"{len(names)} files, {minutes:.0f} minutes of sound, best of {rounds} alternating rounds")
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, librosa "
          f"{version('librosa')}, soundfile {sf.__version__} ({sf.__libsndfile_version__})")  # fmt: skip
    print(f"\n{'':58} tracks/s   ratio   CPU ms a track")
    first = next(iter(best.values()))
    for contestant, took in best.items():
        print(f"{contestant!s:58} {len(names) / took.wall:8.2f} {first.wall / took.wall:7.2f}"
              f" {1000 * took.cpu / len(names):16.1f}")  # fmt: skip
    one, last = list(best.values())[-2:]
    cpus = os.cpu_count() or 1
    clock, cpu = one.wall / last.wall, cpus * one.cpu / last.cpu
    costs = (1000 * took.cpu / len(names) for took in (one, first))
    against = next(iter(best)).label
    record(Result("audio", "encode, one CPU", *costs, "ms of processor a track", against))
    print(f"\nFrom one CPU to {cpus}: {clock:.2f} by the clock, {cpu:.2f} by CPU time")


if __name__ == "__main__":
    main()
