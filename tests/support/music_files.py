"""Small audio files with tags, which tests make."""

import struct
from pathlib import Path

import av
import numpy as np


def write_audio(path: Path, **tags: str) -> Path:
    """Write a tenth of a second of silence in the format of the path's ending, with tags by FFmpeg's names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codecs = {".mp3": "libmp3lame", ".flac": "flac", ".m4a": "aac", ".ogg": "libopus", ".wv": "wavpack"}
    with av.open(str(path), "w") as container:
        container.metadata.update(tags)
        stream = container.add_stream(codecs[path.suffix], rate=48000, layout="mono")
        if path.suffix == ".ogg":
            stream.metadata.update(tags)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), format="fltp", layout="mono")
        frame.rate = 48000
        resampler = av.AudioResampler(
            format=stream.format.name, layout="mono", rate=48000, frame_size=stream.frame_size
        )
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))
    return path


def with_id3_frame(path: Path, name: str, content: bytes) -> Path:
    """Put an ID3v2.3 tag with one frame before the sound of an MP3 file, in place of its own tag."""
    sound = path.read_bytes()
    if sound.startswith(b"ID3"):
        size = sum(byte << shift for byte, shift in zip(sound[6:10], (21, 14, 7, 0), strict=True))
        sound = sound[10 + size :]
    frame = name.encode() + struct.pack(">IH", len(content), 0) + content
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\x00\x00" + size + frame + sound)
    return path
