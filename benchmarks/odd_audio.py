"""Check the outcome of odd and damaged audio files against libsndfile and FFmpeg.

    python benchmarks/odd_audio.py FOLDER

FOLDER holds the files and a ``manifest.csv``: ``file``, relative to the folder above, and ``soundfile_seconds`` and
``ffmpeg_seconds``, the seconds that each library decoded; empty if none. The files go through the descriptor
encoder, and through decoding and preprocessing for CLAP. Exits with 1 if a file breaks the rule: a file of
which either library decodes at least a second has a vector.

Then files of the same ending are written one after the other, two in one file. The seconds that are decoded should be
those of both, or the file rejected; the pairs that are cut are listed.
"""

import csv
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from tracktokens.transforms.audio import DecodedFile, WindowReader, Windows
from tracktokens.transforms.encoders.audio.clap_checkpoint import SAMPLES, WINDOWS, clap_input
from tracktokens.transforms.encoders.audio.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.base import Failure

PROCESSES = 2
VECTOR = "vector"
CUT = "cut"
WHOLE = Windows(count=1, seconds=3600.0)
AT_LEAST = {1.0: "1 s or more", 0.1: "0.1 s to 1 s", 1e-9: "under 0.1 s", 0.0: "0 s", -1.0: "nothing opens"}


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = [row["file"] for row in rows]
    seconds = [max(float(row[f"{library}_seconds"] or -1) for library in ("soundfile", "ffmpeg")) for row in rows]
    broken = [
        *report("descriptors", names, seconds, list(descriptors(str(folder.parent), names))),
        *report("CLAP", names, seconds, list(clap_inputs(str(folder.parent), names))),
    ]
    cut = report_pairs([folder.parent / name for name, length in zip(names, seconds, strict=True) if length >= 1])
    print(f"{len(cut)} pairs are cut" if cut else "no pair is cut")
    sys.exit(bool(broken))


def report_pairs(paths: list[Path]) -> list[str]:
    """Decode pairs of consecutive files of the same ending as one file each; return those that are cut."""
    endings = sorted({path.suffix for path in paths})
    pairs = [pair for ending in endings for pair in pairwise(path for path in paths if path.suffix == ending)]
    outcomes = Counter[tuple[str, str]]()
    cut = []
    with WindowReader(WHOLE, PROCESSES) as reader:
        for first, second in pairs:
            outcome = pair_outcome(reader, first, second)
            outcomes[first.suffix, outcome] += 1
            if outcome == CUT:
                cut.append(f"{first.name} + {second.name}")
    print("\nTwo files in one:")
    for (ending, outcome), count in sorted(outcomes.items()):
        print(f"{ending:8}{outcome:28}{count:6}")
    print(*(f"  {name}" for name in cut), sep="\n")
    return cut


def pair_outcome(reader: WindowReader, first: Path, second: Path) -> str:
    with tempfile.NamedTemporaryFile(suffix=first.suffix) as both:
        both.write(first.read_bytes() + second.read_bytes())
        both.flush()
        whole, *parts = (decoded_seconds(reader.read(str(path))) for path in (both.name, first, second))
    if isinstance(whole, Failure):
        return whole.reason
    lengths = [part for part in parts if not isinstance(part, Failure)]
    return VECTOR if whole >= 0.95 * sum(lengths) - 0.5 else CUT


def decoded_seconds(read: DecodedFile) -> float | Failure:
    return read.windows if isinstance(read.windows, Failure) else len(read.windows[0]) / WHOLE.sample_rate


def descriptors(root: str, names: list[str]) -> Iterator[str | Failure]:
    result = DescriptorEncoder(root).load(PROCESSES).encode(pa.array(names))
    for row, vector in enumerate(result.vectors.astype(np.float16)):
        assert np.isfinite(vector).all(), names[row]
        yield result.failures.get(row, VECTOR)


def clap_inputs(root: str, names: list[str]) -> Iterator[str | Failure]:
    with WindowReader(WINDOWS, PROCESSES) as reader:
        for name, read in zip(names, reader.read_all(f"{root}/{name}" for name in names), strict=True):
            yield clap_outcome(name, read)


def clap_outcome(name: str, read: DecodedFile) -> str | Failure:
    if isinstance(read.windows, Failure):
        return read.windows
    for window in map(clap_input, read.windows):
        assert window.shape == (SAMPLES,), name
        assert np.abs(window).max() <= 1, name  # false of NaN
    return VECTOR


def report(title: str, names: list[str], seconds: list[float], outcomes: list[str | Failure]) -> list[str]:
    """Print counts of outcomes by the libraries' results; return files that break the rule."""
    kinds = [outcome.reason if isinstance(outcome, Failure) else outcome for outcome in outcomes]
    lengths = [next(label for least, label in AT_LEAST.items() if decoded >= least) for decoded in seconds]
    counts = Counter(zip(lengths, kinds, strict=True))
    columns = sorted(set(kinds), key=lambda kind: (kind != VECTOR, kind))
    print(f"\n{title + ': decoded by either library':36}" + "".join(f"{column:>20}" for column in columns))
    for label in AT_LEAST.values():
        print(f"{label:36}" + "".join(f"{counts[label, column]:20}" for column in columns))
    broken = [row for row, kind in enumerate(kinds) if seconds[row] >= 1 and kind != VECTOR]
    for row in broken:
        print(f"  {names[row]}: {outcomes[row]}")
    return [names[row] for row in broken]


if __name__ == "__main__":
    main()
