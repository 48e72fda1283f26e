"""Files that hold more than their first header claims."""

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.support.sound_files import FFMPEG, LIBSNDFILE, tone_file
from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio import AudioDecodeError, Windows, read_windows
from tracktokens.transforms.audio.extent import Extent, measure_extent

RATE = 22_050
SHORT = Windows(count=3, seconds=1.0, sample_rate=RATE)
KINDS = [*LIBSNDFILE, *FFMPEG]
TONES = (400.0, 700.0, 1000.0)


def pitches(folder: Path, *parts: bytes, windows: Windows = SHORT) -> list[float]:
    """Frequency in Hz of the loudest partial of each window of a file of these parts."""
    path = folder / "sound"
    path.write_bytes(b"".join(parts))
    return [pitch(window) for window in read_windows(str(path), windows)]


def pitch(window: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window))))
    return float(np.argmax(spectrum) * RATE / len(window))


def extent(folder: Path, data: bytes) -> Extent:
    path = folder / "sound"
    path.write_bytes(data)
    return measure_extent(str(path))


@pytest.mark.parametrize("kind", KINDS)
def test_an_ordinary_file_is_believed(tmp_path, kind):
    data = tone_file(kind, 440, 9, channels=2)
    measured = extent(tmp_path, data)
    assert not measured.parts
    assert measured.seconds == pytest.approx(9, abs=0.1) if kind == "aac" else not measured.seconds


@pytest.mark.parametrize("kind", KINDS)
def test_files_one_after_the_other_are_decoded_to_the_end(tmp_path, kind):
    parts = [tone_file(kind, hertz, 5) for hertz in TONES]
    assert pitches(tmp_path, *parts) == pytest.approx(TONES, abs=3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_file_before_a_long_one_is_not_the_whole(tmp_path, kind):
    assert pitches(tmp_path, tone_file(kind, 400, 2), tone_file(kind, 1000, 13)) == pytest.approx([1000] * 3, abs=3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_file_before_a_short_one_is_not_the_whole(tmp_path, kind):
    parts = tone_file(kind, 400, 10), tone_file(kind, 1000, 8)
    assert pitches(tmp_path, *parts) == pytest.approx([400, 400, 1000], abs=3)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_may_differ_in_sample_rate_and_channels(tmp_path, kind):
    rates = (48_000, 24_000, 16_000) if kind in ("opus", "webm") else (32_000, 44_100, 48_000)
    parts = [
        tone_file(kind, hertz, 5, rate, channels) for hertz, rate, channels in zip(TONES, rates, (1, 2, 1), strict=True)
    ]
    assert pitches(tmp_path, *parts) == pytest.approx(TONES, abs=3)


@pytest.mark.parametrize("kinds", [("ogg", "opus", "oga"), ("opus", "ogg", "opus")])
def test_links_of_a_chain_may_differ_in_codec(tmp_path, kinds):
    parts = [tone_file(kind, hertz, 5) for kind, hertz in zip(kinds, TONES, strict=True)]
    assert pitches(tmp_path, *parts) == pytest.approx(TONES, abs=3)


@pytest.mark.parametrize("kind", ["ogg", "wav", "flac"])
def test_a_window_across_two_parts_has_the_sound_of_both(tmp_path, kind):
    (tmp_path / "sound").write_bytes(tone_file(kind, 400, 5, 44_100) + tone_file(kind, 1000, 5, 44_100))
    [window] = read_windows(str(tmp_path / "sound"), Windows(1, 4.0, RATE))
    assert len(window) == 4 * RATE
    assert [pitch(window[: 2 * RATE - 500]), pitch(window[2 * RATE + 500 :])] == pytest.approx([400, 1000], abs=2)


def test_a_file_written_twice_is_a_chain_with_one_serial_number(tmp_path):
    data = tone_file("ogg", 440, 9)
    assert [part.start for part in extent(tmp_path, data + data).parts] == [0, len(data)]


def test_tags_before_and_between_mp3s_are_skipped(tmp_path):
    tag = b"ID3\x03\x00\x00\x00\x00\x08\x00" + bytes(1024)
    parts = [tag + tone_file("mp3", hertz, 5) for hertz in TONES]
    assert pitches(tmp_path, *parts) == pytest.approx(TONES, abs=3)


@pytest.mark.parametrize("kind", ["mp3", "lame.mp3", "wav", "flac", "ogg"])
@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), b"APETAGEX" + b"\xff\xd8art" * 9000, bytes(90_000), b"\r\n"])
def test_tags_and_padding_after_the_sound_are_no_sound(tmp_path, kind, tail):
    assert extent(tmp_path, tone_file(kind, 440, 9) + tail) == Extent()


def test_an_mp3_without_a_header_whose_first_frames_are_large_is_decoded_whole(tmp_path):
    loud, quiet = (
        bare(tone_file("mp3", hertz, seconds, rate)) for hertz, seconds, rate in [(400, 3, 48_000), (1000, 30, 16_000)]
    )
    assert pitches(tmp_path, loud, quiet) == pytest.approx([1000] * 3, abs=3)


def bare(mp3: bytes) -> bytes:
    """Drop the frame with the Xing or Info header."""
    return mp3[mp3.index(mp3[:2], max(mp3.find(b"Xing"), mp3.find(b"Info"))) :]


def test_bytes_between_two_containers_are_skipped(tmp_path):
    parts = [tone_file("wav", hertz, 5) for hertz in TONES]
    assert pitches(tmp_path, parts[0], b"\0" * 4, parts[1], b"\0" * 4, parts[2]) == pytest.approx(TONES, abs=3)


# Headers of an earlier moment.


def patched(data: bytes, *patches: tuple[int, bytes]) -> bytes:
    result = bytearray(data)
    for at, new in patches:
        result[at : at + len(new)] = new
    return bytes(result)


RISING = tone_file("wav", 400, 5)[44:] + tone_file("wav", 700, 5)[44:] + tone_file("wav", 1000, 5)[44:]
WAV = patched(tone_file("wav", 400, 15)[:44] + RISING)


@pytest.mark.parametrize("claim", [0, 1000, 96_000, 0x7FFFFFFF, 0xFFFFFFFF, len(RISING), 3 * len(RISING)])
@pytest.mark.parametrize("riff", [0, 96_036, 0xFFFFFFFF, len(WAV) - 8])
def test_a_wav_is_decoded_whole_whatever_its_header_claims(tmp_path, claim, riff):
    data = patched(WAV, (4, struct.pack("<I", riff)), (40, struct.pack("<I", claim)))
    assert pitches(tmp_path, data) == pytest.approx(TONES, abs=3)


def test_an_aiff_is_decoded_whole_whatever_its_header_claims(tmp_path):
    data = tone_file("aiff", 440, 9)
    frames, sound = data.index(b"COMM") + 10, data.index(b"SSND") + 4
    short = patched(data, (frames, struct.pack(">I", 48_000)), (sound, struct.pack(">I", 96_008)))
    assert len(pitches(tmp_path, short)) == 3


def test_a_flac_is_decoded_whole_whatever_its_header_claims(tmp_path):
    data = patched(tone_file("flac", 440, 9), (22, struct.pack(">I", 48_000)))
    assert len(pitches(tmp_path, data)) == 3


def test_an_aac_stream_whose_length_is_estimated_too_short_is_decoded_whole(tmp_path):
    noise = np.random.default_rng(0)
    loud = b"".join(tone_file("aac", float(hertz), 0.5, channels=2) for hertz in noise.uniform(100, 9000, 8))
    assert pitches(tmp_path, loud, tone_file("aac", 1000, 60))[1:] == pytest.approx([1000, 1000], abs=3)


def test_a_part_that_cannot_be_decoded_is_named(tmp_path):
    whole = tone_file("wav", 440, 5)
    broken = patched(whole, (20, b"\x77\x77"))
    with pytest.raises(AudioDecodeError, match=r"part 2 of 2: ") as caught:
        pitches(tmp_path, whole, broken)
    assert caught.value.reason == rejects.AUDIO_UNDECODABLE
