"""Choose the library that runs a text model on this machine's CPU: the fastest that gives torch's vectors.

The installed backends encode a few texts of the model's own words, once per model and machine. A backend is chosen if
it is clearly faster than torch, and if nearly all texts get the code that torch's vectors give them. The choice is kept
in the cache folder, so that later runs, and the processes of one run, use the same library.

This module imports torch.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.encoders.text.chunking import fast_tokenizer
from tracktokens.transforms.encoders.text.graph_backend import find_network, has_network, use_exported_graph
from tracktokens.transforms.encoders.text.onnx_graphs import ONNX, OPENVINO, TORCH, cache_folder, require_packages

_logger = logging.getLogger(__name__)

CHOICE = 1
"""Version of the measurement. Raise it to measure all models again."""

MIN_SPEEDUP = 1.1
"""Speed relative to torch from which a backend is chosen."""

MIN_EQUAL_CODES = 0.995
"""Least share of texts with torch's code."""

SECONDS = 1.0
"""Time that one backend is measured, after a first pass that is not counted."""

MIN_PASSES, MAX_PASSES = 2, 16

SHORT_TEXTS, SHORT_PIECES = 24, 10
LONG_TEXTS, LONG_PIECES = 1, 128
"""Texts of one pass, and their word pieces: about those of titles and of a part of some lyrics."""

_SEED = 20_210_913


@dataclass(frozen=True)
class Measured:
    """The measurement of one backend.

    Attributes:
        seconds: time of its fastest pass.
        equal_codes: share of texts, 0 to 1, with the same nearest vector as in torch.
    """

    seconds: float
    equal_codes: float


def use_fastest_backend(transformer: SentenceTransformer, *, weights: str, threads: int) -> None:
    """Run a model, in place, in the backend that is fastest on this machine.

    Args:
        transformer: the model, on the CPU in float32.
        weights: hash of the model's files.
        threads: CPU threads to run on.
    """
    backend = fastest_backend(transformer, weights=weights, threads=threads)
    if backend == TORCH:
        return
    try:
        use_exported_graph(transformer, weights=weights, backend=backend, precision="float32", threads=threads)
    except UsageError as error:
        _logger.warning("the text model runs in torch: %s", error)


def fastest_backend(transformer: SentenceTransformer, *, weights: str, threads: int) -> str:
    """Choose the backend of a model on this machine, by measuring it unless the cache has the choice.

    Args:
        transformer: the model, on the CPU in float32; unchanged afterwards.
        weights: hash of the model's files.
        threads: CPU threads to run on.

    Returns:
        ``torch``, ``onnx`` or ``openvino``.
    """
    candidates = _installed() if has_network(transformer) else []
    if not candidates:
        return TORCH
    path = cache_folder() / "backends" / f"{_choice_name(weights)}.json"
    chosen = _read_choice(path)
    if chosen is None:
        measured = _measure(transformer, candidates, weights, threads)
        chosen = _write_choice(path, choose(measured), measured)
        speeds = ", ".join(f"{name} {found.seconds:.2f} s" for name, found in measured.items())
        _logger.info("the text model runs in %s on this machine (the same texts took %s)", chosen, speeds)
    return chosen if chosen in candidates else TORCH


def choose(measured: dict[str, Measured]) -> str:
    """Return the fastest backend whose codes are those of torch.

    >>> choose({"torch": Measured(1.0, 1.0), "onnx": Measured(0.6, 1.0), "openvino": Measured(0.5, 0.9)})
    'onnx'
    >>> choose({"torch": Measured(1.0, 1.0), "onnx": Measured(0.95, 1.0)})
    'torch'
    """
    most = measured[TORCH].seconds / MIN_SPEEDUP
    good = {
        name: found.seconds
        for name, found in measured.items()
        if found.equal_codes >= MIN_EQUAL_CODES and found.seconds <= most
    }
    return min(good, key=lambda name: good[name], default=TORCH)


def _installed() -> list[str]:
    """List the backends, other than torch, whose packages are installed."""
    found = []
    for backend in (ONNX, OPENVINO):
        try:
            require_packages(backend)
        except UsageError:
            continue
        found.append(backend)
    return found


def _choice_name(weights: str) -> str:
    """Hash what the speeds depend on: the model, the packages and the machine."""
    packages = {name: _version(name) for name in ("torch", "transformers", "onnx", "onnxruntime", "openvino")}
    machine = [platform.node(), platform.machine(), os.cpu_count()]
    return identity_hash({"weights": weights, "choice": CHOICE, "packages": packages, "machine": machine})


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _measure(
    transformer: SentenceTransformer, candidates: list[str], weights: str, threads: int
) -> dict[str, Measured]:
    """Encode the same texts in torch and in each candidate; one that cannot run the model is left out."""
    passes = _sample_passes(transformer)
    seconds, expected = _time_passes(transformer, passes)
    measured = {TORCH: Measured(seconds, 1.0)}
    for backend in candidates:
        try:
            with _graph_in_place(transformer, weights, backend, threads):
                seconds, vectors = _time_passes(transformer, passes)
        except Exception as error:  # the runtimes' errors have no common type
            _logger.info("the text model does not run in %s: %s", backend, error)
            continue
        measured[backend] = Measured(seconds, equal_codes(vectors, expected))
    return measured


@contextmanager
def _graph_in_place(transformer: SentenceTransformer, weights: str, backend: str, threads: int) -> Iterator[None]:
    """Run a model in a backend during a block."""
    module, name = find_network(transformer)
    network = getattr(module, name)
    use_exported_graph(transformer, weights=weights, backend=backend, precision="float32", threads=threads)
    try:
        yield
    finally:
        setattr(module, name, network)


def _sample_passes(transformer: SentenceTransformer) -> list[list[str]]:
    """Draw texts of the model's word pieces, other ones for each pass."""
    tokenizer = fast_tokenizer(transformer)
    words = tokenizer.get_vocab_size()
    draw = np.random.default_rng(_SEED)
    window = int(min(transformer.max_seq_length or LONG_PIECES, LONG_PIECES))

    def text(pieces: int) -> str:
        return str(tokenizer.decode(draw.integers(words, size=pieces).tolist()))

    lengths = [min(SHORT_PIECES, window)] * SHORT_TEXTS + [window] * LONG_TEXTS
    return [[text(pieces) for pieces in lengths] for _ in range(MAX_PASSES)]


def _time_passes(transformer: SentenceTransformer, passes: list[list[str]]) -> tuple[float, npt.NDArray[np.float32]]:
    """Encode pass after pass; return the time of the fastest, in seconds, and the unit vectors of all."""
    seconds: list[float] = []
    vectors: list[npt.NDArray[np.float32]] = []
    start = time.perf_counter()
    for texts in passes:
        begun = time.perf_counter()
        vectors.append(transformer.encode(texts, normalize_embeddings=True, show_progress_bar=False))
        seconds.append(time.perf_counter() - begun)
        if len(seconds) > MIN_PASSES and begun - start > SECONDS:
            break
    return min(seconds[1:]), np.concatenate(vectors).astype(np.float32)


def equal_codes(vectors: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Return the share of vectors that get the expected code, if half of the expected vectors are the centroids.

    Args:
        vectors: unit vectors of shape (texts, dim).
        expected: the same texts' unit vectors in torch; one side may have more texts, from the same start.
    """
    texts = min(len(vectors), len(expected))
    centroids, rows = expected[:texts:2], slice(1, texts, 2)
    codes, wanted = ((side[rows] @ centroids.T).argmax(axis=1) for side in (vectors, expected))
    return float((codes == wanted).mean())


def _read_choice(path: Path) -> str | None:
    try:
        choice = json.loads(path.read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):  # not measured yet, or damaged
        return None
    return str(choice)


def _write_choice(path: Path, backend: str, measured: dict[str, Measured]) -> str:
    """Keep a choice, unless another process was faster; return the choice that is kept."""
    content = {"backend": backend, "measured": {name: asdict(found) for name, found in measured.items()}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".json") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.link(file.name, path)
    except FileExistsError:
        return _read_choice(path) or backend
    except OSError as error:
        _logger.info("the choice of %s is not kept: %s", backend, error)
    return backend
