"""Sound files of a tone, in memory, in the formats that libsndfile and FFmpeg write."""

import io

import av
import numpy as np
import soundfile as sf

LIBSNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
FFMPEG = {
    "aac": ("adts", "aac"),
    "m4a": ("ipod", "aac"),
    "webm": ("webm", "libopus"),
    "oga": ("ogg", "flac"),
    "lame.mp3": ("mp3", "libmp3lame"),
}


def tone_file(kind: str, hertz: float, seconds: float, rate: int = 48_000, channels: int = 1) -> bytes:
    """Encode a tone; ``kind`` is a key of ``LIBSNDFILE`` or ``FFMPEG``."""
    tone = (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)
    samples = np.repeat(tone[:, None], channels, axis=1)
    return _write_libsndfile(kind, samples, rate) if kind in LIBSNDFILE else _write_ffmpeg(kind, samples, rate)


def _write_libsndfile(kind: str, samples: np.ndarray, rate: int) -> bytes:
    form, subtype = LIBSNDFILE[kind]
    buffer = io.BytesIO()
    with sf.SoundFile(buffer, "w", rate, samples.shape[1], format=form, subtype=subtype) as sound:
        for start in range(0, len(samples), rate):  # libsndfile crashes on a long Ogg in one call
            sound.write(samples[start : start + rate])
    return buffer.getvalue()


def _write_ffmpeg(kind: str, samples: np.ndarray, rate: int) -> bytes:
    form, codec = FFMPEG[kind]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        layout = "mono" if samples.shape[1] == 1 else "stereo"
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", layout)
        frame.sample_rate, frame.pts = rate, 0
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return buffer.getvalue()
