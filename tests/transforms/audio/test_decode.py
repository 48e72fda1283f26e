"""Windows of synthesised audio files."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio import AudioDecodeError, Span, Windows, read_windows

RATE = 22_050
SHORT = Windows(count=3, seconds=1.0, sample_rate=RATE)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: object) -> str:
    """Write in chunks: libsndfile crashes on a long Ogg in one call."""
    options.setdefault("format", None)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with sf.SoundFile(path, "w", rate, channels, **options) as sound:
        for start in range(0, len(samples), rate):
            sound.write(samples[start : start + rate])
    return str(path)


def chirp(seconds: float, rate: int = RATE) -> np.ndarray:
    """A rising tone, so that every moment of it is different."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * t + 40 * t**2))).astype(np.float32)


def pitch(signal: np.ndarray, rate: int = RATE) -> float:
    """Frequency in Hz of the loudest partial."""
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
    return float(np.argmax(spectrum) * rate / len(signal))


def decode_error(path: str, windows: Windows = SHORT) -> AudioDecodeError:
    with pytest.raises(AudioDecodeError) as caught:
        read_windows(path, windows)
    return caught.value


# Placement.


def test_three_windows_are_centred_at_one_sixth_three_sixths_and_five_sixths():
    assert Windows(3, 10.0).spans(frames=180 * 100, rate=100) == [Span(2500, 1000), Span(8500, 1000), Span(14500, 1000)]


def test_a_file_of_two_and_a_half_windows_gives_two():
    assert Windows(3, 10.0).spans(frames=2500, rate=100) == [Span(625 - 500, 1000), Span(1875 - 500, 1000)]


def test_a_file_of_exactly_three_windows_is_read_whole():
    assert Windows(3, 10.0).spans(frames=3000, rate=100) == [Span(0, 1000), Span(1000, 1000), Span(2000, 1000)]


def test_a_file_shorter_than_a_window_is_the_only_window():
    assert Windows(3, 10.0).spans(frames=999, rate=100) == [Span(0, 999)]


def test_an_empty_file_has_no_windows():
    assert Windows(3, 10.0).spans(frames=0, rate=100) == []


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_windows_never_overlap_nor_leave_the_file(count):
    for frames in range(1, 200):
        spans = Windows(count, 0.7).spans(frames, 10)
        ends = [0, *(span.start + span.length for span in spans)]
        assert all(span.start >= end for span, end in zip(spans, ends, strict=False))
        assert ends[-1] <= frames


@pytest.mark.parametrize("wrong", [{"count": 0}, {"seconds": 0.01}, {"seconds": float("nan")}, {"sample_rate": 0}])
def test_invalid_windows_are_refused(wrong):
    with pytest.raises(ValueError, match="windows need"):
        Windows(**wrong)


# Contents.


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_windows_equal_what_librosa_loads_at_their_offsets(tmp_path, name):
    import librosa

    stereo = np.stack([chirp(12, 44_100), 0.2 * chirp(12, 44_100)[::-1]], axis=1)
    path = write(tmp_path / name, stereo, 44_100)
    windows = read_windows(path, SHORT)
    frames = sf.info(path).frames
    for window, span in zip(windows, SHORT.spans(frames, 44_100), strict=True):
        expected, _ = librosa.load(path, sr=RATE, offset=span.start / 44_100, duration=1.0)
        np.testing.assert_allclose(window, expected, atol=1e-4)
        assert window.dtype == np.float32


def test_a_window_of_a_long_file_holds_the_sound_at_its_position(tmp_path):
    path = write(tmp_path / "a.flac", chirp(60))
    first, middle, last = read_windows(path, SHORT)
    assert [pitch(first), pitch(middle), pitch(last)] == pytest.approx([200 + 80 * t for t in (10, 30, 50)], rel=0.05)


@pytest.mark.parametrize("rate", [8_000, 11_025, 48_000, 96_000, 192_000])
def test_any_sample_rate_is_resampled_to_the_requested_one(tmp_path, rate):
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate * 2) / rate)).astype(np.float32)
    window = read_windows(write(tmp_path / "a.wav", tone, rate), Windows(1, 1.0, RATE))[0]
    assert len(window) == RATE
    assert pitch(window) == pytest.approx(1000, abs=2)
    assert np.abs(window[500:-500]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("levels", [[0.5, -0.1], [0.6, 0, 0, -0.3, 0, 0.9], [0.8, 0.8, 0, 0, 0, 0, -0.4, 0.4]])
def test_channels_are_mixed_down_to_their_mean(tmp_path, levels):
    path = write(tmp_path / "a.wav", np.tile(np.array(levels, np.float32), (RATE, 1)), subtype="FLOAT")
    assert read_windows(path, SHORT)[0] == pytest.approx(np.full(RATE, 0.2), abs=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "ALAW", "IMA_ADPCM", "DOUBLE"])
def test_any_encoding_of_samples_is_read(tmp_path, subtype):
    window = read_windows(write(tmp_path / "a.wav", chirp(2), subtype=subtype), Windows(1, 3.0, RATE))[0]
    assert np.abs(window[: 2 * RATE] - chirp(2)).mean() < 0.03


def test_silence_is_sound(tmp_path):
    windows = read_windows(write(tmp_path / "a.flac", np.zeros(5 * RATE, np.float32)), SHORT)
    assert [len(window) for window in windows] == [RATE] * 3
    assert not np.any(windows)


def test_a_window_with_a_nan_is_left_out_and_the_others_stay(tmp_path):
    samples = chirp(12)
    samples[6 * RATE] = np.nan
    assert len(read_windows(write(tmp_path / "a.wav", samples, subtype="FLOAT"), SHORT)) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_a_file_without_finite_windows_is_refused(tmp_path, value):
    path = write(tmp_path / "a.wav", np.full(5 * RATE, value, np.float32), subtype="FLOAT")
    assert decode_error(path).reason == rejects.NOT_FINITE


# Files that hold less than they claim.


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_windows_of_a_truncated_file_are_placed_on_the_rest(tmp_path, name):
    whole = Path(write(tmp_path / name, chirp(60)))
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    windows = read_windows(str(cut), SHORT)
    assert [len(window) for window in windows] == [RATE] * 3
    pitches = [pitch(window) for window in windows]
    assert pitches == sorted(pitches)
    assert pitches[-1] < 200 + 80 * 45  # in compressed files bytes are not proportional to time


def test_windows_of_a_variable_rate_mp3_without_a_header_are_placed_on_its_real_length(tmp_path):
    noise = 0.3 * np.random.default_rng(0).standard_normal(30 * RATE).astype(np.float32)
    samples = np.concatenate([np.zeros(10 * RATE, np.float32), noise])
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE", "compression_level": 0.2}
    data = Path(write(tmp_path / "a.mp3", samples, **options)).read_bytes()
    sync = data[data.index(b"\xff") :][:2]
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(data[data.index(sync, data.index(b"Xing")) :])
    assert sf.info(bare).duration > 60, "libsndfile was not misled about the length"
    silent, *loud = read_windows(str(bare), SHORT)
    assert np.abs(silent).max() < 0.01
    assert [np.abs(window).mean() > 0.1 for window in loud] == [True, True]


def test_a_fifth_of_a_second_of_a_damaged_file_is_enough(tmp_path):
    whole = Path(write(tmp_path / "a.wav", chirp(60)))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: 44 + 2 * RATE // 5])
    assert [len(window) for window in read_windows(str(cut), SHORT)] == [RATE // 5]


# Files without a usable window.


def test_a_missing_file_is_missing(tmp_path):
    assert decode_error(str(tmp_path / "none.mp3")).reason == rejects.AUDIO_MISSING


def test_a_link_that_leads_to_itself_is_missing(tmp_path):
    (tmp_path / "a.mp3").symlink_to("a.mp3")
    assert decode_error(str(tmp_path / "a.mp3")).reason == rejects.AUDIO_MISSING


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM, errno.ETIMEDOUT])
def test_a_file_that_cannot_be_opened_now_is_unreadable(tmp_path, monkeypatch, code):
    path = write(tmp_path / "a.m4a", chirp(1), format="RAW", subtype="PCM_16")
    monkeypatch.setattr(Path, "open", raises(OSError(code, "any text")))
    error = decode_error(path)
    assert (error.reason, error.detail) == (rejects.AUDIO_UNREADABLE, os.strerror(code))


def test_a_file_that_a_failing_disk_cuts_is_unreadable_and_not_taken_for_a_short_one(tmp_path, monkeypatch):
    whole = Path(write(tmp_path / "a.flac", chirp(60)))
    cut = tmp_path / "cut.flac"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    monkeypatch.setattr(Path, "open", raises(OSError(errno.EIO, "any text")))
    assert decode_error(str(cut)).reason == rejects.AUDIO_UNREADABLE


def raises(error: OSError) -> Callable[..., object]:
    def function(*arguments: object, **options: object) -> object:
        raise error

    return function


def test_a_folder_is_missing_whatever_its_name(tmp_path):
    (tmp_path / "a.mp3").mkdir()
    assert decode_error(str(tmp_path / "a.mp3")).reason == rejects.AUDIO_MISSING


def test_a_pipe_is_missing_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert decode_error(str(tmp_path / "pipe.wav")).reason == rejects.AUDIO_MISSING


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0byte", ""])
def test_a_path_that_cannot_exist_is_missing(tmp_path, name):
    assert decode_error(f"{tmp_path}/{name}").reason == rejects.AUDIO_MISSING


@pytest.mark.parametrize("name", ["text.mp3", "text.raw", "text.wav", "text.ogg", "text"])
def test_a_text_is_undecodable_whatever_its_name(tmp_path, name):
    (tmp_path / name).write_text("These are liner notes, not music. " * 100)
    assert decode_error(str(tmp_path / name)).reason == rejects.AUDIO_UNDECODABLE


@pytest.mark.parametrize("name", ["a.wav", "a.ogg"])
def test_a_file_of_no_frames_is_empty(tmp_path, name):
    assert decode_error(write(tmp_path / name, np.zeros(0, np.float32))).reason == rejects.AUDIO_EMPTY


def test_fewer_than_a_tenth_of_a_second_is_empty(tmp_path):
    error = decode_error(write(tmp_path / "a.wav", chirp(0.05)))
    assert (error.reason, error.detail) == (rejects.AUDIO_EMPTY, "0.050 s of sound, fewer than 0.1 s")


def test_a_file_of_no_bytes_is_empty(tmp_path):
    (tmp_path / "a.flac").touch()
    assert decode_error(str(tmp_path / "a.flac")).reason == rejects.AUDIO_EMPTY


def test_an_mp3_with_tags_and_no_frames_is_not_called_missing(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"ID3\x03\x00\x00\x00\x00\x01\x00" + bytes(128))
    error = decode_error(str(tmp_path / "a.mp3"))
    assert error.reason == rejects.AUDIO_UNDECODABLE
    assert error.detail.startswith("libsndfile: it holds no sound; FFmpeg: ")


def test_a_sample_rate_that_nothing_has_is_undecodable(tmp_path):
    path = write(tmp_path / "a.wav", chirp(1), rate=3)
    claim = "claims a sample rate of 3 Hz"
    assert decode_error(path).detail == f"libsndfile: {claim}; FFmpeg: {claim}"


def test_details_are_one_line_without_a_path(tmp_path):
    (tmp_path / "text.mp3").write_text("liner notes")
    (tmp_path / "empty.wav").touch()
    for name in ("none.mp3", "text.mp3", "empty.wav"):
        detail = decode_error(str(tmp_path / name)).detail
        assert detail
        assert "\n" not in detail
        assert str(tmp_path) not in detail
