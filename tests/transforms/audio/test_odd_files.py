"""Odd and damaged files from public collections, if present: each has a vector, or a reason that fits its decoders."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio import WindowReader
from tracktokens.transforms.encoders.audio.clap_checkpoint import SAMPLES, WINDOWS, clap_input
from tracktokens.transforms.encoders.audio.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.base import Failure

SHARED = Path(__file__).parents[4] / "shared" / "data"

pytestmark = pytest.mark.skipif(not (SHARED / "audio_odd").is_dir(), reason="the odd files are not at hand")


@pytest.fixture(scope="module")
def seconds() -> dict[str, float]:
    """Seconds of each file that libsndfile or FFmpeg decodes, the larger of both; -1 if neither opens it."""
    with (SHARED / "audio_odd" / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return {
            row["file"]: max(float(row["soundfile_seconds"] or -1), float(row["ffmpeg_seconds"] or -1))
            for row in csv.DictReader(lines)
        }


def check(outcomes: dict[str, str], seconds: dict[str, float]) -> None:
    """Compare the outcome of each file, ``vector`` or a reason, with its decodable seconds."""
    assert {name for name, outcome in outcomes.items() if outcome == "vector"} == {
        name for name, decoded in seconds.items() if decoded >= 0.1
    }
    counts = Counter(outcomes.values())
    assert set(counts) == {"vector", rejects.AUDIO_EMPTY, rejects.AUDIO_UNDECODABLE}
    assert counts["vector"] == 237


def test_a_tenth_of_a_second_that_either_library_decodes_gives_descriptors(seconds):
    result = DescriptorEncoder(str(SHARED)).load(2).encode(pa.array(list(seconds)))
    assert np.isfinite(result.vectors.astype(np.float16)).all()
    failed = {name: result.failures.get(row) for row, name in enumerate(seconds)}
    check({name: failure.reason if failure else "vector" for name, failure in failed.items()}, seconds)


def test_a_tenth_of_a_second_that_either_library_decodes_gives_inputs_of_clap(seconds):
    outcomes = {}
    with WindowReader(WINDOWS, 2) as reader:
        for name, read in zip(seconds, reader.read_all(f"{SHARED}/{name}" for name in seconds), strict=True):
            outcomes[name] = read.windows.reason if isinstance(read.windows, Failure) else "vector"
            for window in [] if isinstance(read.windows, Failure) else map(clap_input, read.windows):
                assert window.shape == (SAMPLES,)
                assert np.abs(window).max() <= 1  # false of NaN
    check(outcomes, seconds)
