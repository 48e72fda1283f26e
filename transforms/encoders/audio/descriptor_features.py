"""Descriptors of a few windows of sound: one vector of timbre, harmony and rhythm statistics, ordered by ``LAYOUT``.

All descriptors are computed from one spectrogram per window. The definitions are librosa's, and the tests compare them
with its functions. The formulas here are several times faster, because they share the spectrogram, keep time on the
outer axis (where an FFT writes it) and call no function that numba compiles first. Large products avoid BLAS, whose own
threads, in addition to those of the encoder, made two encoder threads slower than one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.numerics.arrays import Floats

if TYPE_CHECKING:
    import scipy.sparse

N_FFT = 2048
HOP = 512
N_MELS = 64
MIN_SAMPLE_RATE = 16_000
"""Hz. At lower rates the highest octave of the spectral contrast is empty."""


class Block(NamedTuple):
    """Consecutive values of the vector: their name, their number, and the constant that they are divided by."""

    name: str
    size: int
    scale: float


LAYOUT = (
    # Timbre: cepstrum of the mel spectrum in dB (Davis & Mermelstein 1980), over time and from frame to frame.
    Block("mfcc_mean", 20, 10.0),
    Block("mfcc_std", 20, 5.0),
    Block("mfcc_delta_std", 20, 2.0),
    Block("contrast_mean", 7, 5.0),  # dB between peaks and valleys of each octave (Jiang et al. 2002)
    # Brightness and noisiness, mean and standard deviation each. Hz are converted to log2(1 + Hz / 200).
    Block("centroid", 2, 0.5),
    Block("bandwidth", 2, 0.5),
    Block("rolloff", 2, 0.5),
    Block("flatness", 2, 1.0),  # log10 of geometric over arithmetic mean power
    Block("zero_crossings", 2, 0.05),  # per sample
    # Harmony: energy of the 12 pitch classes from C up, scaled to a maximum of 1; tonal centroid (Harte et al. 2006).
    Block("chroma_mean", 12, 0.2),
    Block("chroma_std", 12, 0.1),
    Block("tonnetz_mean", 6, 0.05),
    # Loudness in dB below full scale: mean, standard deviation, and range from the 10th to the 95th percentile.
    Block("level", 3, 10.0),
    # Rhythm, from the onset strength: its mean and standard deviation in dB, and onsets per second.
    Block("onsets", 3, 1.0),
    Block("tempo_profile", 18, 0.2),  # autocorrelation at 30 to 240 bpm, 6 bands per octave
    Block("tempo_cycle", 8, 0.15),  # autocorrelation with octaves folded (cyclic tempogram, Grosche et al. 2010)
    Block("beat_ratios", 9, 0.2),  # autocorrelation at BEAT_RATIOS of the beat (Peeters 2005)
    Block("tempo", 2, 0.25),  # log2(bpm / 120), and how periodic the onsets are, 0 to 1
)
"""Blocks of the vector in their order. On mixed music the scales give each block a spread of about one unit, so that
distances weigh all blocks, and keep every value well inside the range of float16."""

DIM = sum(block.size for block in LAYOUT)

LAYOUT_VERSION = 1
"""Raise it whenever the descriptors of any sound change."""

BEAT_RATIOS = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3, 4)
TEMPI = 30.0 * 2.0 ** (np.arange(3 * 48) / 48)
"""Candidate tempi in beats per minute: three octaves from 30, 48 steps each."""
COMB_TEETH = 4
MAX_LAG_SECONDS = COMB_TEETH * 60.0 / 30.0

_FIFTHS, _MINOR_THIRDS, _MAJOR_THIRDS = (2 * np.pi * np.arange(12) * step / 12 for step in (7, 9, 4))
TONAL_SPACE = np.stack(
    [
        *(np.sin(_FIFTHS), np.cos(_FIFTHS)),
        *(np.sin(_MINOR_THIRDS), np.cos(_MINOR_THIRDS)),
        *(np.sin(_MAJOR_THIRDS) / 2, np.cos(_MAJOR_THIRDS) / 2),
    ],
    axis=1,
)
"""Position of each pitch class on the circles of fifths, minor and major thirds, shape (12, 6) (Harte et al. 2006)."""

_TINY = np.finfo(np.float32).tiny
_POWER_FLOOR = 1e-10
_SILENCE = -100.0


def describe(windows: Sequence[Floats], sample_rate: int) -> Floats:
    """Compute the descriptors of a recording from windows of it.

    Args:
        windows: at least one mono signal, float32 of shape (samples,), full scale 1. Samples are finite and below 1e10,
            where powers begin to overflow.
        sample_rate: of the signals, in Hz; at least ``MIN_SAMPLE_RATE``.

    Returns:
        float32 of shape ``(DIM,)``. Statistics are means over the windows. Tempo is estimated once, from the mean
        autocorrelation, because the mean of 70 and 140 bpm is not a meaningful tempo.
    """
    return describe_with(filter_banks(sample_rate), windows)


def describe_with(banks: "FilterBanks", windows: Sequence[Floats]) -> Floats:
    """Compute the descriptors like :func:`describe`, with precomputed filter banks and without importing librosa."""
    statistics = [_describe_window(window, banks) for window in windows]
    means = {name: np.mean([window[name] for window in statistics], axis=0) for name in statistics[0]}
    blocks = {**means, **_describe_rhythm(means["autocorrelation"], banks.frame_rate)}
    vector: Floats = np.concatenate([blocks[block.name] / block.scale for block in LAYOUT]).astype(np.float32)
    return vector


@dataclass(frozen=True)
class FilterBanks:
    """Constants that depend only on the sample rate.

    Attributes:
        frame_rate: spectra per second.
        taper: Hann window, shape (N_FFT,).
        frequencies: of the spectrum's bins in kHz, shape (bins,).
        moments: powers 0, 1 and 2 of the frequencies, shape (3, bins).
        mel: mel filters, sparse, shape (N_MELS, bins).
        chroma: pitch class filters for A = 440 Hz, shape (12, bins).
        octaves: first and last (exclusive) bin of each octave band of the spectral contrast.
        tails: number of a band's quietest bins that form its valley, and of its loudest bins that form its peak.
    """

    frame_rate: float
    taper: Floats
    frequencies: Floats
    moments: Floats
    mel: "scipy.sparse.csr_matrix"
    chroma: Floats
    octaves: tuple[tuple[int, int], ...]
    tails: tuple[int, ...]


@lru_cache(maxsize=4)
def filter_banks(sample_rate: int) -> FilterBanks:
    """Compute the filter banks of a sample rate in Hz; the first call imports librosa.

    Raises:
        ValueError: the sample rate is below ``MIN_SAMPLE_RATE``.
    """
    import librosa
    import scipy.sparse

    if sample_rate < MIN_SAMPLE_RATE:
        raise ValueError(f"descriptors need a sample rate of at least {MIN_SAMPLE_RATE:,} Hz, not {sample_rate:,}")
    octaves, tails = _contrast_bands(sample_rate)
    mel = librosa.filters.mel(sr=sample_rate, n_fft=N_FFT, n_mels=N_MELS)
    chroma = librosa.filters.chroma(sr=sample_rate, n_fft=N_FFT, tuning=0.0)
    frequencies = (np.fft.rfftfreq(N_FFT, 1 / sample_rate) / 1000).astype(np.float32)
    return FilterBanks(
        frame_rate=sample_rate / HOP,
        taper=librosa.filters.get_window("hann", N_FFT).astype(np.float32),
        frequencies=frequencies,
        moments=np.stack([np.ones_like(frequencies), frequencies, frequencies**2]),
        mel=scipy.sparse.csr_matrix(mel.astype(np.float32)),
        chroma=chroma.astype(np.float32),
        octaves=octaves,
        tails=tails,
    )


def _contrast_bands(sample_rate: int) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Split spectra at 200, 400 .. 6,400 Hz, as ``librosa.feature.spectral_contrast`` does; tails are 2 % of a band."""
    edges = [0.0, *(200.0 * 2.0 ** np.arange(6)), np.inf]
    frequencies = np.fft.rfftfreq(N_FFT, 1 / sample_rate)
    octaves, tails = [], []
    for low, high in pairwise(edges):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        first, last = max(inside[0] - 1, 0), inside[-1]  # librosa starts and ends each band one bin early
        tails.append(max(round(0.02 * (last - first + 1)), 1))
        octaves.append((int(first), int(last) + (high == np.inf)))
    return tuple(octaves), tuple(tails)


def _describe_window(signal: Floats, banks: FilterBanks) -> dict[str, Floats]:
    """Compute the statistics of one window by block name, and the ``autocorrelation`` of its onset strength."""
    frames = _frames(signal)
    power = _power(frames, banks)
    mel_db = _decibels((banks.mel @ power.T).T)
    onset = onset_strength(mel_db)
    return {
        **_describe_timbre(mel_db),
        **_describe_brightness(power, banks),
        "zero_crossings": _mean_std(zero_crossings(signal, len(power))),
        **_describe_harmony(np.einsum("tk,ck->tc", power, banks.chroma)),
        "level": _describe_level(power, banks),
        "onsets": _describe_onsets(onset, banks.frame_rate),
        "autocorrelation": autocorrelation(onset, int(MAX_LAG_SECONDS * banks.frame_rate) + 2),
    }


def _frames(signal: Floats) -> Floats:
    """Return whole frames, shape (frames, N_FFT), as a view; a signal shorter than one frame is padded with zeros."""
    if len(signal) < N_FFT:
        signal = np.pad(signal, (0, N_FFT - len(signal)))
    return np.lib.stride_tricks.sliding_window_view(signal, N_FFT)[::HOP]


def _power(frames: Floats, banks: FilterBanks) -> Floats:
    """Power spectra, shape (frames, bins): ``abs(librosa.stft(signal, center=False)) ** 2``, transposed."""
    import scipy.fft

    spectra = scipy.fft.rfft(frames * banks.taper, axis=1)
    power: Floats = spectra.real**2 + spectra.imag**2
    return power


def _decibels(power: Floats) -> Floats:
    """Convert power to dB, with a floor of 80 dB below the maximum."""
    decibels = 10 * np.log10(np.maximum(power, _POWER_FLOOR))
    floored: Floats = np.maximum(decibels, decibels.max() - 80)
    return floored


def _mean_std(values: Floats) -> Floats:
    return np.array([values.mean(), values.std()], np.float32)


def _describe_timbre(mel_db: Floats) -> dict[str, Floats]:
    """Statistics of the cepstrum, each of shape (20,), from the mel spectrum in dB, shape (frames, N_MELS)."""
    import scipy.fft

    mfcc = scipy.fft.dct(mel_db, axis=1, norm="ortho")[:, :20]
    steps = np.diff(mfcc, axis=0) if len(mfcc) > 1 else np.zeros_like(mfcc)
    return {"mfcc_mean": mfcc.mean(axis=0), "mfcc_std": mfcc.std(axis=0), "mfcc_delta_std": steps.std(axis=0)}


def _describe_brightness(power: Floats, banks: FilterBanks) -> dict[str, Floats]:
    """Shape of the spectrum, from powers of shape (frames, bins)."""
    magnitude = np.sqrt(power)
    centroid, bandwidth = centroid_bandwidth(magnitude, banks.moments)
    return {
        "contrast_mean": spectral_contrast(magnitude, banks).mean(axis=0),
        "centroid": _mean_std(_octaves(centroid)),
        "bandwidth": _mean_std(_octaves(bandwidth)),
        "rolloff": _mean_std(_octaves(rolloff(magnitude, banks.frequencies))),
        "flatness": _mean_std(log_flatness(power)),
    }


def _octaves(kilohertz: Floats) -> Floats:
    """Convert kHz to a perceptual scale: octaves far above 200 Hz, linear below, and 0 for the 0 Hz of silence."""
    octaves: Floats = np.log2(1 + 5 * kilohertz)
    return octaves


def centroid_bandwidth(magnitude: Floats, powers: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each spectrum over frequency, both of shape (frames,).

    Args:
        magnitude: spectra, shape (frames, bins).
        powers: powers 0, 1 and 2 of the frequencies, shape (3, bins).
    """
    total, first, second = np.einsum("tk,pk->pt", magnitude, powers)
    total = np.maximum(total, _TINY)
    centroid = first / total
    bandwidth = np.sqrt(np.maximum(second / total - centroid**2, 0))
    return centroid, bandwidth


def rolloff(magnitude: Floats, frequencies: Floats) -> Floats:
    """Frequency below which each spectrum has 85 % of its magnitude, shape (frames,)."""
    cumulative = np.cumsum(magnitude, axis=1)
    bins = (cumulative < 0.85 * cumulative[:, -1:]).sum(axis=1)
    edges: Floats = frequencies[bins]
    return edges


def log_flatness(power: Floats) -> Floats:
    """Log10 of geometric over arithmetic mean of each spectrum, shape (frames,): 0 if flat, negative for tones."""
    floored = np.maximum(power, _POWER_FLOOR)
    flatness: Floats = np.log10(floored).mean(axis=1) - np.log10(floored.mean(axis=1))
    return flatness


def spectral_contrast(magnitude: Floats, banks: FilterBanks) -> Floats:
    """Difference in dB between the loudest and the quietest 2 % of each octave band, shape (frames, 7)."""
    peaks, valleys = np.empty((2, len(magnitude), len(banks.octaves)), np.float32)
    for band, ((first, stop), tail) in enumerate(zip(banks.octaves, banks.tails, strict=True)):
        ordered = np.sort(magnitude[:, first:stop], axis=1)
        peaks[:, band] = ordered[:, -tail:].mean(axis=1)
        valleys[:, band] = ordered[:, :tail].mean(axis=1)
    return _decibels(peaks) - _decibels(valleys)


def zero_crossings(signal: Floats, frames: int) -> Floats:
    """Share of the samples in each frame at which the sign changes, shape (frames,)."""
    negative = signal < -_POWER_FLOOR
    crossings = np.concatenate([[0], np.cumsum(negative[1:] != negative[:-1])])
    starts = np.arange(frames) * HOP
    ends = np.minimum(starts + N_FFT, len(signal)) - 1
    shares: Floats = ((crossings[ends] - crossings[starts]) / N_FFT).astype(np.float32)
    return shares


def _describe_harmony(pitch_power: Floats) -> dict[str, Floats]:
    """Pitch class statistics, from powers of shape (frames, 12)."""
    chroma = pitch_power / np.maximum(pitch_power.max(axis=1, keepdims=True), _TINY)
    shares = chroma / np.maximum(chroma.sum(axis=1, keepdims=True), _TINY)
    return {
        "chroma_mean": chroma.mean(axis=0),
        "chroma_std": chroma.std(axis=0),
        "tonnetz_mean": shares.mean(axis=0) @ TONAL_SPACE,
    }


def _describe_level(power: Floats, banks: FilterBanks) -> Floats:
    """Mean, standard deviation and range of the level in dB of full scale (a sine of amplitude 1 has -3 dB)."""
    mean_square = 2 * power.sum(axis=1) / (N_FFT * (banks.taper**2).sum())
    level = np.maximum(10 * np.log10(np.maximum(mean_square, _POWER_FLOOR)), _SILENCE)
    low, high = np.percentile(level, [10, 95])
    return np.array([level.mean(), level.std(), high - low], np.float32)


def onset_strength(mel_db: Floats) -> Floats:
    """Mean rise in dB of the mel spectrum from frame to frame (Böck & Widmer 2013), shape (frames,), the first 0."""
    rises = np.maximum(np.diff(mel_db, axis=0), 0).mean(axis=1)
    return np.concatenate([np.zeros(1, np.float32), rises])


def _describe_onsets(onset: Floats, frame_rate: float) -> Floats:
    """Mean and standard deviation of the onset strength, and peaks per second above the mean by one deviation."""
    inner = onset[1:-1]
    peaks = (inner > onset[:-2]) & (inner >= onset[2:]) & (inner > onset.mean() + onset.std())
    return np.array([onset.mean(), onset.std(), peaks.sum() * frame_rate / len(onset)], np.float32)


def autocorrelation(onset: Floats, lags: int) -> Floats:
    """Correlate the onset strength with itself at ``0 .. lags - 1`` frames: 1 at lag 0; all 0 if it is constant."""
    import scipy.fft

    centred = onset - onset.mean()
    spectrum = scipy.fft.rfft(centred, n=2 * max(len(onset), lags))
    correlation: Floats = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:lags]
    if correlation[0] <= np.finfo(np.float32).eps * len(onset):
        return np.zeros(lags, np.float32)
    correlation /= correlation[0]
    return correlation


def _describe_rhythm(correlation: Floats, frame_rate: float) -> dict[str, npt.NDArray[np.float64]]:
    """Compute the tempo blocks from the autocorrelation by lag in frames."""

    def at(beats_per_minute: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.interp(60 * frame_rate / beats_per_minute, np.arange(len(correlation)), correlation)

    curve = at(TEMPI)
    bpm, periodicity = _tempo(np.mean([at(TEMPI / tooth) for tooth in range(1, COMB_TEETH + 1)], axis=0))
    return {
        "tempo_profile": curve.reshape(18, 8).max(axis=1),
        "tempo_cycle": curve.reshape(3, 48).mean(axis=0).reshape(8, 6).max(axis=1),
        "beat_ratios": at(bpm / np.array(BEAT_RATIOS)),
        "tempo": np.array([np.log2(bpm / 120), periodicity]),
    }


def _tempo(comb: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Select the tempo from ``TEMPI`` by its comb score and a log-normal prior around 120 bpm (Ellis 2007)."""
    prior = np.exp(-0.5 * np.log2(TEMPI / 120) ** 2)
    best = np.argmax((np.maximum(comb, 0) + 1e-6) * prior)  # without any periodicity the prior decides
    return float(TEMPI[best]), float(comb[best])
