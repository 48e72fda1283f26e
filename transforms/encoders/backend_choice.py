"""Choose the library that runs a model on this machine's CPU: the fastest that gives torch's vectors.

The installed backends encode the same inputs, once per model and machine. A backend is chosen if it is clearly faster
than torch, and if nearly all inputs get the code that torch's vectors give them. The choice is kept in the cache
folder, so that later runs, and the processes of one run, use the same library.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.encoders.onnx_graphs import ONNX, OPENVINO, TORCH, cache_folder, require_packages

_logger = logging.getLogger(__name__)

CHOICE = 2
"""Version of the measurement. Raise it to measure all models again."""

MIN_SPEEDUP = 1.1
"""Speed relative to torch from which a backend is chosen."""

MIN_EQUAL_CODES = 0.995
"""Least share of inputs with torch's code."""

SECONDS = 1.0
"""Time that one backend is measured, after a first pass that is not counted."""

MIN_PASSES, MAX_PASSES = 2, 16

Inputs = TypeVar("Inputs")
Vectors = npt.NDArray[np.float32]


class Timed(NamedTuple):
    """Passes in one backend: the time of the fastest, in seconds, and the unit vectors of all."""

    seconds: float
    vectors: Vectors


@dataclass(frozen=True)
class Measured:
    """The measurement of one backend.

    Attributes:
        seconds: time of its fastest pass.
        equal_codes: share of inputs, 0 to 1, with the same nearest vector as in torch.
    """

    seconds: float
    equal_codes: float


@dataclass(frozen=True)
class BackendChoice:
    """A model whose backend is to be chosen.

    Attributes:
        subject: what messages call it, such as ``the text model``.
        weights: hash of its files.
        time_backend: runs passes in a backend, and leaves the model as it was. It may raise any error where the backend
            cannot run the model.
    """

    subject: str
    weights: str
    time_backend: Callable[[str], Timed]

    def fastest(self) -> str:
        """Return ``torch``, ``onnx`` or ``openvino``: measured, unless the cache has the choice."""
        candidates = installed_backends()
        if not candidates:
            return TORCH
        path = cache_folder() / "backends" / f"{_choice_name(self.weights)}.json"
        chosen = _read_choice(path)
        if chosen is None:
            measured = self._measure(candidates)
            chosen = write_choice(path, choose(measured), measured)
            speeds = ", ".join(f"{name} {found.seconds:.2f} s" for name, found in measured.items())
            _logger.info("%s runs in %s on this machine (the same inputs took %s)", self.subject, chosen, speeds)
        return chosen if chosen in candidates else TORCH

    def _measure(self, candidates: Sequence[str]) -> dict[str, Measured]:
        """Run the same inputs in torch and in each candidate; one that cannot run the model is left out."""
        seconds, expected = self.time_backend(TORCH)
        measured = {TORCH: Measured(seconds, 1.0)}
        for backend in candidates:
            try:
                seconds, vectors = self.time_backend(backend)
            except Exception as error:  # the runtimes' errors have no common type
                _logger.info("%s does not run in %s: %s", self.subject, backend, error)
                continue
            measured[backend] = Measured(seconds, equal_codes(vectors, expected))
        return measured


def time_passes(run: Callable[[Inputs], Vectors], passes: Iterable[Inputs]) -> Timed:
    """Run pass after pass, at least ``MIN_PASSES`` after the first, until they took ``SECONDS``."""
    seconds: list[float] = []
    vectors: list[Vectors] = []
    start = time.perf_counter()
    for inputs in passes:
        begun = time.perf_counter()
        vectors.append(run(inputs))
        seconds.append(time.perf_counter() - begun)
        if len(seconds) > MIN_PASSES and begun - start > SECONDS:
            break
    return Timed(min(seconds[1:]), np.concatenate(vectors).astype(np.float32))


def choose(measured: Mapping[str, Measured]) -> str:
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


def installed_backends() -> list[str]:
    """List the backends, other than torch, whose packages are installed."""
    found = []
    for backend in (ONNX, OPENVINO):
        try:
            require_packages(backend)
        except UsageError:
            continue
        found.append(backend)
    return found


def equal_codes(vectors: Vectors, expected: Vectors) -> float:
    """Return the share of vectors that get the expected code, if half of the expected vectors are the centroids.

    Args:
        vectors: unit vectors of shape (inputs, dim).
        expected: the same inputs' unit vectors in torch; one side may have more inputs, from the same start.
    """
    inputs = min(len(vectors), len(expected))
    centroids, rows = expected[:inputs:2], slice(1, inputs, 2)
    codes, wanted = ((side[rows] @ centroids.T).argmax(axis=1) for side in (vectors, expected))
    return float((codes == wanted).mean())


def write_choice(path: Path, backend: str, measured: Mapping[str, Measured]) -> str:
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


def _read_choice(path: Path) -> str | None:
    try:
        choice = json.loads(path.read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):  # not measured yet, or damaged
        return None
    return str(choice)


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
