"""Files that libsndfile cannot read, written with FFmpeg's own encoders."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio import AudioDecodeError, Windows, ffmpeg, read_windows

RATE = 44_100
SHORT = Windows(count=3, seconds=1.0, sample_rate=RATE)

CODECS = {
    "a.m4a": "aac",
    "lossless.m4a": "alac",
    "a.aac": "aac",
    "a.wma": "wmav2",
    "a.webm": "libopus",
    "a.mka": "aac",
    "a.mp4": "ac3",
    "a.ts": "mp2",
    "a.avi": "ac3",
}


def chirp(seconds: float, rate: int = RATE) -> np.ndarray:
    """A tone that rises by 80 Hz per second from 200 Hz."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * t + 40 * t**2))).astype(np.float32)


def write(path: Path, channels: np.ndarray, codec: str, rate: int = RATE, picture: bool = False) -> Path:
    """Encode sound of shape (channels, samples), after a video stream if ``picture`` is set."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(channels)]
    with av.open(str(path), "w", format="adts" if path.suffix == ".aac" else None) as container:
        video = container.add_stream("mpeg4", rate=5, width=64, height=64, pix_fmt="yuv420p") if picture else None
        audio = container.add_stream(codec, rate=rate, layout=layout)
        audio.bit_rate = 128_000
        for number in range(channels.shape[1] * 5 // rate if video else 0):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 256, np.uint8))
            frame.pts = number
            container.mux(video.encode(frame))
        if video:
            container.mux(video.encode(None))
        for frame in resampled_frames(channels, rate, layout, audio):
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def resampled_frames(channels, rate, layout, audio):
    resampler = av.AudioResampler(format=audio.format, layout=layout, rate=audio.rate)
    for start in range(0, channels.shape[1], 1024):
        part = np.ascontiguousarray(channels[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield from resampler.resample(frame)


def pitch(signal: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
    return float(np.argmax(spectrum) * RATE / len(signal))


def decode_error(path: Path) -> AudioDecodeError:
    with pytest.raises(AudioDecodeError) as caught:
        read_windows(str(path), SHORT)
    return caught.value


@pytest.mark.parametrize("name", CODECS)
def test_windows_hold_the_sound_at_their_position(tmp_path, name):
    codec = CODECS[name]
    rate = 48_000 if codec == "libopus" else RATE
    path = write(tmp_path / name, np.stack([chirp(30, rate)] * 2), codec, rate)
    with pytest.raises(sf.LibsndfileError):
        sf.info(path)
    windows = read_windows(str(path), SHORT)
    slip = 30 if name == "a.aac" else 10  # without a container, times are guessed by the bit rate
    assert [pitch(window) for window in windows] == pytest.approx([200 + 80 * t for t in (5, 15, 25)], abs=slip)
    for window in windows:
        assert (len(window), window.dtype) == (RATE, np.float32)
        assert np.sqrt(np.mean(window**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_a_window_is_exact_to_the_sample(tmp_path):
    path = write(tmp_path / "a.m4a", chirp(30)[None], "alac")
    middle = read_windows(str(path), SHORT)[1]
    np.testing.assert_allclose(middle, chirp(30)[int(14.5 * RATE) : int(15.5 * RATE)], atol=1e-4)


@pytest.mark.parametrize("name", ["a.m4a", "a.mka", "a.wma"])
def test_seeking_returns_the_same_samples_as_decoding_from_the_start(tmp_path, name):
    path = str(write(tmp_path / name, chirp(20)[None], CODECS[name]))
    with ffmpeg.open_sound(path) as sound:
        spans = SHORT.spans(sound.frames, sound.rate)
        windows = [sound.read_at(span) for span in spans]
    with ffmpeg.open_sound(path) as sound:
        whole = np.concatenate(list(sound.blocks()))
    for window, span in zip(windows, spans, strict=True):
        slip = 0.001 * RATE if name != "a.m4a" else 0  # these containers have times in milliseconds
        offsets = range(-int(slip), int(slip) + 1)
        errors = [np.abs(window - whole[span.start + offset :][: span.length]).max() for offset in offsets]
        assert min(errors) < 0.01


def test_the_audio_of_a_video_is_decoded(tmp_path):
    path = write(tmp_path / "a.mp4", chirp(12)[None], "aac", picture=True)
    windows = read_windows(str(path), SHORT)
    assert [pitch(window) for window in windows] == pytest.approx([200 + 80 * t for t in (2, 6, 10)], abs=10)


def test_a_video_without_sound_is_undecodable(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=5, width=64, height=64, pix_fmt="yuv420p")
        container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(video.encode(None))
    assert decode_error(path).detail.endswith("FFmpeg: no audio stream")


def test_six_channels_are_mix_down_to_their_mean(tmp_path):
    levels = np.array([0.6, 0, 0, -0.3, 0, 0.9], np.float32)
    path = write(tmp_path / "a.m4a", np.tile(levels[:, None], (1, 2 * RATE)), "alac")
    assert read_windows(str(path), SHORT)[0] == pytest.approx(np.full(RATE, 0.2), abs=1e-4)


@pytest.mark.parametrize("planar", ["", "p"])
@pytest.mark.parametrize(
    ("sample_format", "half", "quarter"),
    [
        ("u8", 128 + 64, 128 - 32),
        ("s16", 2**14, -(2**13)),
        ("s32", 2**30, -(2**29)),
        ("flt", 0.5, -0.25),
        ("dbl", 0.5, -0.25),
    ],
)
def test_full_scale_is_one_in_every_sample_format(sample_format, half, quarter, planar):
    dtype = np.dtype({"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4", "dbl": "f8"}[sample_format])
    channels = np.tile(np.array([[half], [quarter]], dtype), (1, 5))
    samples = channels if planar else np.ascontiguousarray(channels.T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, sample_format + planar, "stereo")
    mono = ffmpeg.mix_down([frame])
    assert mono.dtype == np.float32
    assert mono.tolist() == [0.125] * 5


def test_windows_of_a_truncated_file_are_placed_on_the_rest(tmp_path):
    whole = write(tmp_path / "a.mka", chirp(30)[None], "aac")
    cut = tmp_path / "cut.mka"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    windows = read_windows(str(cut), SHORT)
    assert [len(window) for window in windows] == [RATE] * 3
    assert [pitch(window) for window in windows] == pytest.approx([200 + 80 * t for t in (2.5, 7.5, 12.5)], abs=60)


def test_damage_in_the_middle_costs_only_the_damaged_part(tmp_path):
    path = write(tmp_path / "a.aac", chirp(30)[None], "aac")
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 2000] = bytes(2000)
    path.write_bytes(data)
    assert [len(window) for window in read_windows(str(path), SHORT)] == [RATE] * 3


@pytest.mark.parametrize(
    "playlist",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {}\n"],
)
@pytest.mark.parametrize("scheme", ["", "file:"])
def test_a_list_of_files_opens_none_of_them(tmp_path, monkeypatch, playlist, scheme):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.ts", chirp(3)[None], "mp2")
    (tmp_path / "list.mp3").write_text(playlist.format(f"{scheme}{tmp_path}/a.ts"))
    assert decode_error(tmp_path / "list.mp3").reason == rejects.AUDIO_UNDECODABLE


@pytest.mark.parametrize("name", ["notes.m4a", "notes.ul", "notes.sw", "notes.txt", "notes.g722", "notes%03d.png"])
def test_no_extension_turns_a_text_into_sound(tmp_path, name):
    (tmp_path / name).write_text("These are liner notes, not music. " * 1000)
    assert decode_error(tmp_path / name).reason == rejects.AUDIO_UNDECODABLE


def test_an_unknown_encoding_is_reported_in_one_line_without_the_path(tmp_path):
    path = write(tmp_path / "a.m4a", chirp(2)[None], "alac")
    path.write_bytes(path.read_bytes().replace(b"alac", b"zzzz"))
    detail = decode_error(path).detail
    assert detail.startswith("libsndfile: Format not recognised.; FFmpeg: ")
    assert "\n" not in detail
    assert str(tmp_path) not in detail
