"""What encoders with weights share: files hashed, and one copy of a model in a process."""

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

_READ_BYTES = 1 << 20

Model = TypeVar("Model")


class Digest(Protocol):
    """A hash that is fed piece by piece, as ``hashlib`` makes them."""

    def update(self, data: bytes, /) -> None:
        """Feed the next piece."""


def feed_file(digest: Digest, path: Path) -> None:
    """Feed a file's contents to a hash."""
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)


class SharedModels(Generic[Model]):
    """The models in this process's memory: one a key, kept as long as somebody holds it."""

    def __init__(self) -> None:
        self._models: WeakValueDictionary[Hashable, Model] = WeakValueDictionary()
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: Callable[[], Model]) -> Model:
        """Return the model of this key, loaded now unless somebody holds it."""
        with self._lock:
            model = self._models.get(key)
            if model is None:
                model = self._models[key] = load()
            return model
