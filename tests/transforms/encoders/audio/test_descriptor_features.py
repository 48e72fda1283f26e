"""Descriptors compared with librosa's own functions, and on sounds of known tempo and pitch."""

import librosa
import numpy as np
import pytest

from tracktokens.transforms.encoders.audio import descriptor_features
from tracktokens.transforms.encoders.audio.descriptor_features import (
    DIM,
    HOP,
    LAYOUT,
    N_FFT,
    N_MELS,
    describe,
    filter_banks,
)

RATE = 22_050


def block(vector: np.ndarray, name: str) -> np.ndarray:
    """A block of the vector in its original unit."""
    start = sum(b.size for b in LAYOUT[: [b.name for b in LAYOUT].index(name)])
    layout = next(b for b in LAYOUT if b.name == name)
    return vector[start : start + layout.size] * layout.scale


def music() -> np.ndarray:
    """Three seconds of chord, noise bursts and a fade: no descriptor is zero."""
    t = np.arange(3 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220.0, 277.2, 329.6)) / 6
    noise = 0.3 * np.random.default_rng(1).standard_normal(len(t)) * np.exp(-20 * (t % 0.5))
    return ((chord + noise) * np.linspace(1, 0.2, len(t))).astype(np.float32)


def clicks(beats_per_minute: float, seconds: float = 10.0) -> np.ndarray:
    """Noise bursts of 30 ms at the tempo."""
    t = np.arange(round(seconds * RATE)) / RATE
    burst = (t * beats_per_minute / 60) % 1 * 60 / beats_per_minute < 0.03
    return (0.5 * burst * np.random.default_rng(2).standard_normal(len(t))).astype(np.float32)


@pytest.fixture(scope="module")
def signal():
    return music()


@pytest.fixture(scope="module")
def vector(signal):
    return describe([signal], RATE)


@pytest.fixture(scope="module")
def magnitude(signal):
    return np.abs(librosa.stft(signal, n_fft=N_FFT, hop_length=HOP, center=False))


@pytest.fixture(scope="module")
def mel_db(magnitude):
    return librosa.power_to_db(librosa.feature.melspectrogram(S=magnitude**2, sr=RATE, n_mels=N_MELS))


def close(actual, expected, rtol=1e-3, atol=1e-3):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def test_cepstral_statistics_equal_librosas_mfcc(vector, mel_db):
    mfcc = librosa.feature.mfcc(S=mel_db, n_mfcc=20)
    close(block(vector, "mfcc_mean"), mfcc.mean(axis=1))
    close(block(vector, "mfcc_std"), mfcc.std(axis=1))
    close(block(vector, "mfcc_delta_std"), np.diff(mfcc, axis=1).std(axis=1))


def test_contrast_equals_librosas(vector, magnitude):
    close(block(vector, "contrast_mean"), librosa.feature.spectral_contrast(S=magnitude, sr=RATE).mean(axis=1))


def test_brightness_equals_librosas_on_an_octave_scale(vector, magnitude):
    for name, hertz in (
        ("centroid", librosa.feature.spectral_centroid(S=magnitude, sr=RATE)),
        ("bandwidth", librosa.feature.spectral_bandwidth(S=magnitude, sr=RATE)),
        ("rolloff", librosa.feature.spectral_rolloff(S=magnitude, sr=RATE)),
    ):
        octaves = np.log2(1 + hertz / 200)
        close(block(vector, name), [octaves.mean(), octaves.std()])


def test_flatness_equals_librosas_as_logarithm(vector, magnitude):
    flatness = np.log10(librosa.feature.spectral_flatness(S=magnitude))
    close(block(vector, "flatness"), [flatness.mean(), flatness.std()])


def test_zero_crossings_equal_librosas(vector, signal):
    rate = librosa.feature.zero_crossing_rate(signal, frame_length=N_FFT, hop_length=HOP, center=False)
    close(block(vector, "zero_crossings"), [rate.mean(), rate.std()], atol=1e-5)


def test_harmony_equals_librosas_chroma_and_tonnetz(vector, magnitude):
    chroma = librosa.feature.chroma_stft(S=magnitude**2, sr=RATE, tuning=0.0)
    close(block(vector, "chroma_mean"), chroma.mean(axis=1))
    close(block(vector, "chroma_std"), chroma.std(axis=1))
    close(block(vector, "tonnetz_mean"), librosa.feature.tonnetz(chroma=chroma, sr=RATE).mean(axis=1))


def test_onset_strength_equals_librosas(vector, mel_db):
    onset = librosa.onset.onset_strength(S=mel_db, sr=RATE, center=False)
    close(block(vector, "onsets")[:2], [onset.mean(), onset.std()])


def test_autocorrelation_equals_the_sum_of_lagged_products():
    onset = np.random.default_rng(0).random(50).astype(np.float32)
    centred = onset - onset.mean()
    expected = [sum(centred[i] * centred[i + lag] for i in range(50 - lag)) / (centred**2).sum() for lag in range(70)]
    close(descriptor_features.autocorrelation(onset, 70), expected, atol=1e-5)


def test_a_sine_of_full_scale_has_three_decibels_below_full_scale():
    sine = np.sin(2 * np.pi * 441 * np.arange(2 * RATE) / RATE).astype(np.float32)
    close(block(describe([sine], RATE), "level"), [-3.01, 0, 0], atol=0.01)


def test_the_note_a_is_the_tenth_pitch_class():
    sine = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    chroma = block(describe([sine], RATE), "chroma_mean")
    assert np.argmax(chroma) == 9
    assert chroma[9] == pytest.approx(1)


@pytest.mark.parametrize("beats_per_minute", [70, 85, 100, 120, 140, 170])
def test_tempo_is_the_tempo_of_the_clicks(beats_per_minute):
    octaves, periodicity = block(describe([clicks(beats_per_minute)], RATE), "tempo")
    assert 120 * 2**octaves == pytest.approx(beats_per_minute, rel=0.03)
    assert periodicity > 0.4


def test_onsets_are_counted_per_second():
    assert block(describe([clicks(120)], RATE), "onsets")[2] == pytest.approx(2, abs=0.2)


def test_octaves_of_a_tempo_share_a_cycle_and_other_tempi_do_not():
    cycle = {bpm: block(describe([clicks(bpm)], RATE), "tempo_cycle") for bpm in (70, 140, 100)}
    octave = np.linalg.norm(cycle[70] - cycle[140])
    other = np.linalg.norm(cycle[100] - cycle[140])
    assert octave < other / 2


def test_noise_without_a_beat_has_no_periodicity():
    noise = 0.1 * np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    assert block(describe([noise], RATE), "tempo")[1] < 0.2


def test_windows_have_equal_weight(signal):
    one, other = describe([signal], RATE), describe([signal[::-1]], RATE)
    both = describe([signal, signal[::-1]], RATE)
    close(block(both, "mfcc_mean"), (block(one, "mfcc_mean") + block(other, "mfcc_mean")) / 2)


@pytest.mark.parametrize("samples", [1, 100, N_FFT - 1, N_FFT, N_FFT + HOP, 2205, 22_050])
@pytest.mark.parametrize("level", [0.0, 1e-20, 1.0, 32_768.0, 1e9])
def test_any_length_and_level_gives_finite_values_inside_float16(samples, level):
    signal = (level * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)
    vector = describe([signal], RATE)
    assert vector.shape == (DIM,)
    assert vector.dtype == np.float32
    assert np.abs(vector).max() < 1000


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_contrast_bands_are_librosas_at_any_rate(rate):
    noise = np.random.default_rng(0).standard_normal(rate).astype(np.float32)
    spectrum = np.abs(librosa.stft(noise, n_fft=N_FFT, center=False))
    expected = librosa.feature.spectral_contrast(S=spectrum, sr=rate)
    close(descriptor_features.spectral_contrast(spectrum.T, filter_banks(rate)), expected.T)


def test_a_sample_rate_without_the_highest_octave_is_refused():
    with pytest.raises(ValueError, match="at least 16,000 Hz, not 8,000"):
        filter_banks(8_000)
