"""Run the trunk of a CLAP network, which has nearly all of its work, as a graph in ONNX Runtime or OpenVINO.

The spectrogram of a window is computed as before, by laion-clap or by transformers' feature extractor. So a graph's
vectors differ from torch's by the rounding of matrix products only. A graph takes one window at a time: an exported
network of laion-clap has the number of windows as a constant, and gives wrong vectors for another number.

This module imports torch.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.audio import Signal, Windows
from tracktokens.transforms.encoders.audio.clap_base import ClapNetwork, Trunk
from tracktokens.transforms.encoders.backend_choice import MAX_PASSES, BackendChoice, Timed, time_passes
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.encoders.forward_passes import one_thread_per_pass
from tracktokens.transforms.encoders.graph_export import export_graph
from tracktokens.transforms.encoders.onnx_graphs import (
    AUTO,
    TORCH,
    brief,
    cached_graph,
    exporter_versions,
    open_graph,
    require_packages,
)

_logger = logging.getLogger(__name__)

EXPORT = 1
"""Version of the export. Raise it to export all graphs again."""

MIN_COSINE = 0.99999
"""Smallest cosine between vectors of a graph and of torch; it is above 0.9999999 where the graph is right."""

WINDOWS_PER_PASS = 2
"""Windows that a backend embeds at a time when it is measured."""

SUBJECT = "the CLAP model"


def use_backend(network: ClapNetwork, *, weights: str, backend: str, threads: int) -> None:
    """Run the trunk of a network, which is in torch on the CPU, in a backend.

    Args:
        network: the network.
        weights: hash of the model's files.
        backend: ``auto`` for the fastest on this machine, ``torch``, ``onnx`` or ``openvino``.
        threads: forward passes at a time.

    Raises:
        UsageError: a backend that is named lacks a package, cannot run the model, or gives other vectors.
    """
    if backend == AUTO and network.trunk is None:
        return
    chosen = _fastest(network, weights) if backend == AUTO else backend
    if chosen == TORCH:
        return
    try:
        network.use_trunk(_graph_trunk(network, weights, chosen, threads))
    except UsageError as error:
        if backend != AUTO:
            raise
        _logger.warning("%s runs in torch: %s", SUBJECT, error)


def _fastest(network: ClapNetwork, weights: str) -> str:
    def time_backend(backend: str) -> Timed:
        seeds = np.arange(MAX_PASSES * WINDOWS_PER_PASS).reshape(MAX_PASSES, WINDOWS_PER_PASS).tolist()
        passes = ([sample_window(network.windows, seed) for seed in some] for some in seeds)
        with _in_backend(network, weights, backend), one_thread_per_pass():
            return time_passes(network.embed, passes)

    return BackendChoice(SUBJECT, weights, time_backend).fastest()


@contextmanager
def _in_backend(network: ClapNetwork, weights: str, backend: str) -> Iterator[None]:
    """Run a network in a backend during a block."""
    if backend != TORCH:
        network.use_trunk(_graph_trunk(network, weights, backend, threads=1))
    try:
        yield
    finally:
        network.use_trunk(None)


def sample_window(windows: Windows, seed: int) -> Signal:
    """Make a window of three tones that swell, and noise."""
    draw = np.random.default_rng(seed)
    seconds = np.arange(int(windows.seconds * windows.sample_rate)) / windows.sample_rate
    tones = sum(np.sin(2 * np.pi * draw.uniform(60, 6000) * seconds) for _ in range(3))
    swell = np.sin(2 * np.pi * draw.uniform(0.2, 2) * seconds) ** 2
    noise = draw.standard_normal(len(seconds))
    window: Signal = (0.2 * tones * swell + 0.1 * draw.random() * noise).astype(np.float32)
    return window


def _graph_trunk(network: ClapNetwork, weights: str, backend: str, threads: int) -> Trunk:
    """Export the trunk of a network, unless this machine has its graph already, open it, and check its output.

    Raises:
        UsageError: a package is missing, the trunk cannot be exported, or the graph does not run or is wrong.
    """
    require_packages(backend)
    trunk, remedy = network.trunk, "use --clap-backend torch"
    if trunk is None:
        raise UsageError(f"{SUBJECT} fuses windows, which runs in torch alone: {remedy}")
    example = _example(network, trunk)
    try:
        path = cached_graph(_graph_name(weights), partial(_export, trunk, example))
        graph = open_graph(path, backend, threads)
        [name] = graph.inputs

        def run(spectrograms: torch.Tensor) -> torch.Tensor:
            windows = (np.array(graph.run({name: window[None].numpy()})) for window in spectrograms)
            return torch.from_numpy(np.concatenate(list(windows)))

        with torch.inference_mode():
            cosine = torch.nn.functional.cosine_similarity(run(example), trunk(example)).min().item()
    except UsageError:  # of the cache
        raise
    except Exception as error:  # the runtimes' errors have no common type
        raise UsageError(f"{SUBJECT} does not run in {backend} ({brief(error)}): {remedy}") from error
    if not cosine >= MIN_COSINE:
        raise UsageError(f"{SUBJECT} in {backend} gives other vectors than torch (cosine {cosine:.6f}): {remedy}")
    return run


def _example(network: ClapNetwork, trunk: Trunk) -> torch.Tensor:
    """Return the input of the trunk for two windows."""
    recorded: list[torch.Tensor] = []

    def record(spectrograms: torch.Tensor) -> torch.Tensor:
        recorded.append(spectrograms.clone())
        return trunk(spectrograms)

    network.use_trunk(record)
    try:
        network.embed([sample_window(network.windows, seed) for seed in range(2)])
    finally:
        network.use_trunk(None)
    return recorded[0]


def _graph_name(weights: str) -> str:
    return identity_hash({"clap": weights, "export": EXPORT, "versions": exporter_versions()})


def _export(trunk: torch.nn.Module, example: torch.Tensor, target: Path) -> None:
    with _resizing_by_products():
        export_graph(trunk, {"spectrograms": example[:1]}, target, output="embeddings", axes={})


@contextmanager
def _resizing_by_products() -> Iterator[None]:
    """Resize images by products with matrices during a block, as resizing is linear in each axis.

    The runtimes' own bicubic resizing differs from torch's by 6e-5.
    """
    interpolate = torch.nn.functional.interpolate

    def matrix(old: int, new: int, options: dict[str, Any]) -> torch.Tensor:
        columns = torch.eye(int(old))[None, None]  # resized along their height alone
        return interpolate(columns, (int(new), int(old)), **options)[0, 0]

    def resize(image: torch.Tensor, size: tuple[int, int], **options: Any) -> torch.Tensor:
        height, width = (matrix(old, new, options) for old, new in zip(image.shape[-2:], size, strict=True))
        return height @ image @ width.T

    torch.nn.functional.interpolate = resize  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.nn.functional.interpolate = interpolate
