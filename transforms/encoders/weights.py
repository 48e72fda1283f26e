"""Weight files: hashed, compared with a model's shapes, and loaded once per process."""

import threading
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from tracktokens.schemas.errors import InvalidDataError

if TYPE_CHECKING:
    import torch

_READ_BYTES = 1 << 20

Model = TypeVar("Model")

Shapes = Mapping[str, tuple[int, ...]]
"""Name of each tensor to its shape."""


class Digest(Protocol):
    """An incremental hash, such as those of ``hashlib``."""

    def update(self, data: bytes, /) -> None:
        """Add data to the hash."""


def hash_file(digest: Digest, path: Path) -> None:
    """Add a file's contents to a hash."""
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)


def check_hash(actual: str, expected: str | None, subject: str) -> None:
    """Raise :class:`InvalidDataError` unless files on this machine have the hash that the job was started with."""
    if actual != expected:
        raise InvalidDataError(
            f"{subject} hashes to {actual}, but the job was started with {expected}."
            " Give every worker the same files, and do not change them while a job runs"
        )


def shapes(weights: Mapping[str, "torch.Tensor"]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def check_shapes(actual: Shapes, expected: Shapes, *, problem: str, remedy: str) -> None:
    """Raise :class:`InvalidDataError` unless weights have the names and shapes that a model expects.

    Args:
        actual: shapes of the weights.
        expected: shapes of the model.
        problem: beginning of the error message.
        remedy: end of the error message.
    """
    mismatches = [
        f"{name} is {actual.get(name, 'missing')}, not {expected.get(name, 'a part of it')}"
        for name in [*expected, *(name for name in actual if name not in expected)]
        if actual.get(name) != expected.get(name)
    ]
    if mismatches:
        more = f", and {len(mismatches) - 1} more" if len(mismatches) > 1 else ""
        raise InvalidDataError(f"{problem}: {mismatches[0]}{more}; {remedy}")


class SharedModels(Generic[Model]):
    """Models in this process's memory: one per key, kept as long as an encoder holds it."""

    def __init__(self) -> None:
        self._models: WeakValueDictionary[Hashable, Model] = WeakValueDictionary()
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: Callable[[], Model]) -> Model:
        """Return the model of this key; load it unless an encoder holds it already."""
        with self._lock:
            model = self._models.get(key)
            if model is None:
                model = self._models[key] = load()
            return model
