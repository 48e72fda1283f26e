"""Checks of the machine: installed packages, device, processor and memory, and whether each audio format is decoded."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from tracktokens.pipelines.doctor.check import ERROR, OK, WARNING, Finding

PACKAGE = "tracktokens"
PIPELINE = "pipeline"
"""Extra with the requirements of the jobs."""

FORMATS = {
    "WAV": ("wav", "pcm_s16le"),
    "FLAC": ("flac", "flac"),
    "MP3": ("mp3", "libmp3lame"),
    "Ogg Vorbis": ("ogg", "libvorbis"),
    "Opus": ("ogg", "libopus"),
    "AAC": ("ipod", "aac"),
}
"""Format to FFmpeg's names of its container and its encoder."""

RATE, SECONDS, HERTZ = 48_000, 4, 440
"""Sample rate in Hz, length and pitch of the sound that is encoded and decoded."""

GIB = 1 << 30


def packages() -> Finding:
    """Compare the installed packages with the requirements of the jobs."""
    missing = list(_missing_requirements())
    if missing:
        return ERROR, f"{', '.join(missing)}: install {PACKAGE}[{PIPELINE}]"
    names = ("apache-beam", "torch", "faiss-cpu", "pyarrow", "numpy", "sentence-transformers", "av")
    versions = [f"{name} {version(name)}" for name in (PACKAGE, *names)]
    return OK, ", ".join([*versions, f"Python {platform.python_version()}"])


def _missing_requirements() -> Iterator[str]:
    """Yield the requirements of the package and its extra that are not met, with what is installed."""
    from packaging.requirements import Requirement

    for text in requires(PACKAGE) or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": PIPELINE}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            yield f"{requirement.name} is not installed"
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            yield f"{requirement.name} {installed} is not {requirement.specifier}"


def device() -> str:
    """Describe the device that models run on by default, and the processor."""
    import torch

    from tracktokens.serving.generation.precision import has_bfloat16
    from tracktokens.transforms.encoders.devices import CPU, CUDA, device_kind, find_device

    found = find_device(None)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = f"{cores} cores, {_memory()}{'bfloat16' if has_bfloat16('cpu') else 'no bfloat16'}"
    if device_kind(found) != CUDA:
        return f"{found}, no GPU; {processor}" if found == CPU else f"{found}; {processor}"
    gpu = torch.cuda.get_device_properties(found)
    return f"{found}, {gpu.name} with {gpu.total_memory / GIB:.0f} GiB; {processor}"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GIB:.0f} GiB of memory, "
    except (ValueError, OSError):  # not on this system
        return ""


def decoders() -> Finding:
    """Encode a tone in each format, and decode it as a job does."""
    with tempfile.TemporaryDirectory() as folder:
        failed = {name: error for name in FORMATS if (error := _decoding_error(name, Path(folder, "tone")))}
    if failed:
        return WARNING, "; ".join(f"{name} is not decoded ({error})" for name, error in failed.items())
    return OK, f"{', '.join(FORMATS)} are decoded"


def _decoding_error(name: str, path: Path) -> str | None:
    """Return the error of decoding a format, or None. What this FFmpeg does not encode is not tested."""
    from tracktokens.transforms.audio.decode import read_windows
    from tracktokens.transforms.audio.errors import AudioDecodeError
    from tracktokens.transforms.audio.windows import Windows

    if not _write_tone(path, *FORMATS[name]):
        return None
    try:
        read_windows(str(path), Windows(count=1, seconds=1.0))
    except AudioDecodeError as error:
        return error.detail
    return None


def _write_tone(path: Path, container: str, codec: str) -> bool:
    """Write a tone; return whether FFmpeg has the encoder."""
    import av
    import numpy as np

    try:
        av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    tone = (0.3 * np.sin(2 * np.pi * HERTZ * np.arange(RATE * SECONDS) / RATE)).astype(np.float32)
    with av.open(str(path), "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        context = stream.codec_context
        resampler = av.AudioResampler(context.format.name, "mono", RATE, frame_size=context.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            file.mux(stream.encode(part))
    return True
