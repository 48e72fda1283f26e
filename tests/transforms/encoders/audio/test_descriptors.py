"""The default audio encoder on synthesised files."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile as sf

from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio import DecodedFile, WindowReader, Windows, read_windows
from tracktokens.transforms.encoders.audio.descriptor_features import DIM, LAYOUT, describe
from tracktokens.transforms.encoders.audio.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.base import Encoded, Failure, LoadedEncoder

RATE = 22_050


def pad(seed: int, seconds: float = 12.0) -> np.ndarray:
    """A sine chord whose volume varies at 70 beats per minute."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    root = 110 * 2 ** (rng.integers(12) / 12)
    chord = sum(np.sin(2 * np.pi * root * ratio * t) for ratio in (1, 5 / 4, 3 / 2, 2))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * (70 / 60 * t + rng.random()))
    return (0.2 * chord * swell).astype(np.float32)


def percussion(seed: int, seconds: float = 12.0) -> np.ndarray:
    """Noise bursts at 140 beats per minute."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    since_beat = ((t + rng.random()) * 140 / 60) % 1 * 60 / 140
    return (0.3 * rng.standard_normal(len(t)) * np.exp(-since_beat * rng.uniform(15, 40))).astype(np.float32)


@lru_cache
def loaded(root: Path, threads: int) -> LoadedEncoder:
    return DescriptorEncoder(str(root)).load(threads)


def encode(root: Path, names: list[str], threads: int = 1) -> Encoded:
    return loaded(root, threads).encode(pa.array(names, pa.string()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("audio")
    for seed in range(4):
        sf.write(root / f"pad{seed}.flac", pad(seed), RATE)
        sf.write(root / f"percussion{seed}.flac", percussion(seed), RATE)
    sf.write(root / "silence.wav", np.zeros(5 * RATE), RATE)
    sf.write(root / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    sf.write(root / "huge.wav", 1e30 * pad(0), RATE, subtype="FLOAT")
    sf.write(root / "empty.wav", np.zeros(0), RATE)
    sf.write(root / "blip.wav", pad(0, 0.1), RATE)
    (root / "text.mp3").write_text("liner notes")
    (root / "album (ü)").mkdir()
    sf.write(root / "album (ü)" / "song nº 1.wav", pad(0), RATE)
    return root


def test_a_vector_has_the_documented_layout():
    assert sum(block.size for block in LAYOUT) == DIM == 150


def test_each_file_gets_a_vector_or_a_failure_with_its_reason(folder):
    names = ["pad0.flac", "none.mp3", "text.mp3", "empty.wav", "nan.wav", "huge.wav", "silence.wav", "blip.wav"]
    result = encode(folder, names)
    assert result.vectors.shape == (8, DIM)
    assert result.vectors.dtype == np.float32
    assert {row: failure.reason for row, failure in result.failures.items()} == {
        1: rejects.AUDIO_MISSING,
        2: rejects.AUDIO_UNDECODABLE,
        3: rejects.AUDIO_EMPTY,
        4: rejects.NOT_FINITE,
        5: rejects.NOT_FINITE,
    }
    assert not result.vectors[list(result.failures)].any()
    assert np.isfinite(result.vectors.astype(np.float16)).all()


def test_the_time_of_its_decoders_is_summed_over_the_files(folder, monkeypatch):
    vector = np.ones(DIM, np.float32)
    readings = {
        "a": DecodedFile([vector, np.array([0.5], np.float32)], 0.75),
        "b": DecodedFile(Failure(rejects.AUDIO_TIMEOUT, ""), 60.0),
    }
    monkeypatch.setattr(WindowReader, "read", lambda reader, path: readings[Path(path).name])
    assert encode(folder, ["a", "b", "a"], threads=2).decoding_seconds == 61
    monkeypatch.undo()
    assert 0 < encode(folder, ["pad0.flac"]).decoding_seconds < 60


def test_a_vector_describes_the_windows_of_its_file(folder):
    expected = describe(read_windows(str(folder / "pad1.flac"), Windows()), RATE)
    np.testing.assert_array_equal(encode(folder, ["pad1.flac"]).vectors[0], expected)


def test_a_probe_distinguishes_a_working_encoder_from_a_broken_one(folder, monkeypatch):
    assert loaded(folder, 1).probe()
    broken = DecodedFile(Failure(rejects.AUDIO_CRASHED, "IndexError"))
    monkeypatch.setattr(WindowReader, "read", lambda reader, path: broken)
    with pytest.raises(TracktokensError, match="a second of noise cannot be described: IndexError"):
        loaded(folder, 1).probe()


def test_no_inputs_give_no_vectors(folder):
    assert encode(folder, []).vectors.shape == (0, DIM)


def test_paths_start_at_the_root_whether_or_not_it_ends_in_a_slash(folder):
    name = pa.array(["album (ü)/song nº 1.wav"])
    plain, slashed = (DescriptorEncoder(root).load(1).encode(name) for root in (str(folder), f"{folder}/"))
    assert not plain.failures
    np.testing.assert_array_equal(plain.vectors, slashed.vectors)


def test_a_file_has_the_same_vector_in_any_batch_and_with_any_threads(folder):
    names = sorted(path.name for path in folder.glob("*.flac"))
    together = encode(folder, names, threads=2).vectors
    for row, name in enumerate(names):
        np.testing.assert_array_equal(encode(folder, [name]).vectors[0], together[row])


def test_two_genres_are_much_further_apart_than_tracks_of_one(folder):
    pads = encode(folder, [f"pad{seed}.flac" for seed in range(4)]).vectors
    drums = encode(folder, [f"percussion{seed}.flac" for seed in range(4)]).vectors
    within = max(np.linalg.norm(group[i] - group[j]) for group in (pads, drums) for i in range(4) for j in range(i))
    between = min(np.linalg.norm(a - b) for a in pads for b in drums)
    assert between > 2 * within


def test_tempo_is_in_the_vector(folder):
    (pads, drums) = encode(folder, ["pad0.flac", "percussion0.flac"]).vectors[:, -2] * LAYOUT[-1].scale
    assert 120 * 2**pads == pytest.approx(70, rel=0.05)
    assert 120 * 2**drums == pytest.approx(140, rel=0.05)


def test_the_identity_includes_the_windows_and_excludes_the_root():
    encoder = DescriptorEncoder("gs://a")
    assert encoder.encoder_id == DescriptorEncoder("/b").encoder_id
    assert encoder.encoder_id != DescriptorEncoder("gs://a", Windows(seconds=5.0)).encoder_id


def test_windows_at_too_low_a_rate_are_refused_when_the_encoder_is_loaded():
    with pytest.raises(ValueError, match="sample rate of at least"):
        DescriptorEncoder("a", Windows(sample_rate=8_000)).load(1)
