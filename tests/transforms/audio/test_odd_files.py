"""Odd and damaged files of a shared collection, if present: a vector for each file that decodes, else a reason."""

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

pytestmark = pytest.mark.skipif(not (SHARED / "audio_odd").is_dir(), reason="the odd files are not present")


@pytest.fixture(scope="module")
def seconds() -> dict[str, float]:
    """Seconds of each file that libsndfile or FFmpeg decodes, the larger of the two; -1 if neither opens it."""
    with (SHARED / "audio_odd" / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return {
            row["file"]: max(float(row["soundfile_seconds"] or -1), float(row["ffmpeg_seconds"] or -1))
            for row in csv.DictReader(lines)
        }


def check(outcomes: dict[str, str], seconds: dict[str, float]) -> None:
    """Check the outcome of each file, ``vector`` or a reason, against the seconds that decode."""
    assert {name for name, outcome in outcomes.items() if outcome == "vector"} == {
        name for name, decoded in seconds.items() if decoded >= 0.1
    }
    counts = Counter(outcomes.values())
    assert set(counts) == {"vector", rejects.AUDIO_EMPTY, rejects.AUDIO_UNDECODABLE}
    assert counts["vector"] == 237


def test_files_with_a_tenth_of_a_second_of_sound_have_descriptors(seconds):
    result = DescriptorEncoder(str(SHARED)).load(2).encode(pa.array(list(seconds)))
    assert np.isfinite(result.vectors.astype(np.float16)).all()
    failed = {name: result.failures.get(row) for row, name in enumerate(seconds)}
    check({name: failure.reason if failure else "vector" for name, failure in failed.items()}, seconds)


def test_files_with_a_tenth_of_a_second_of_sound_have_inputs_for_clap(seconds):
    outcomes = {}
    with WindowReader(WINDOWS, 2) as reader:
        for name, decoded in zip(seconds, reader.read_all(f"{SHARED}/{name}" for name in seconds), strict=True):
            outcomes[name] = decoded.windows.reason if isinstance(decoded.windows, Failure) else "vector"
            for window in [] if isinstance(decoded.windows, Failure) else map(clap_input, decoded.windows):
                assert window.shape == (SAMPLES,)
                assert np.abs(window).max() <= 1  # false of NaN
    check(outcomes, seconds)
