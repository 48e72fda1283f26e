"""Compare the decoding of a track's windows with FFmpeg's bare seeking and decoding, by format, in one thread.

    python benchmarks/bench_decoding.py [--files 6] [--rounds 5]

Synthesised songs of three minutes in stereo at 44.1 kHz. Ours measures the file's extent, decodes three windows of
10 s, mixes them down and resamples them; the bare loop opens the file with PyAV, seeks to each start, and decodes
packets until its end. Both sides take turns over the same files, in processor time; the share is the bare loop's time
over ours.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from bench_audio import SECONDS, write_song
from result_table import Result, record

from tracktokens.transforms.audio.decode import read_windows
from tracktokens.transforms.audio.windows import Windows

RATE = 44_100
WINDOWS = Windows()
SUFFIXES = {"MP3": ".mp3", "FLAC": ".flac", "OGG": ".ogg", "AAC": ".m4a"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, suffix in SUFFIXES.items():
            paths = [write(Path(folder) / f"{number}{suffix}", number) for number in range(arguments.files)]
            ours, bare = measure(paths, arguments.rounds)
            record(Result("audio", f"windows of {name}", ours, bare, "s of processor a file", "FFmpeg's bare decoding"))


def write(path: Path, seed: int) -> str:
    """Write a song; AAC from a WAVE file, since libsndfile does not write it."""
    if path.suffix != ".m4a":
        write_song(path, np.random.default_rng(seed))
        return str(path)
    wave = path.with_suffix(".wav")
    write_song(wave, np.random.default_rng(seed))
    with av.open(str(wave)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=RATE, layout="stereo")
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    wave.unlink()
    return str(path)


def measure(paths: list[str], rounds: int) -> tuple[float, float]:
    """Return processor seconds per file, of the median round, of both sides."""
    sides: dict[str, Callable[[str], object]] = {
        "ours": lambda path: read_windows(path, WINDOWS),
        "bare": bare_decoding,
    }
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 1):
        for side, decode in sides.items():
            start = time.process_time()
            for path in paths:
                decode(path)
            if number:  # the first imports and compiles
                taken[side].append((time.process_time() - start) / len(paths))
    return statistics.median(taken["ours"]), statistics.median(taken["bare"])


def bare_decoding(path: str) -> int:
    """Decode the samples of the windows; return their number."""
    samples = 0
    with av.open(path) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for part in (1, 3, 5):
            start = part / 6 * SECONDS - WINDOWS.seconds / 2
            container.seek(int(start / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                samples += frame.samples
                if frame.time >= start + WINDOWS.seconds:
                    break
    return samples


if __name__ == "__main__":
    main()
