"""What encoders with weights share: files hashed and held against a model, and its one copy in a process."""

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


class Digest(Protocol):
    """A hash that is fed piece by piece, as ``hashlib`` makes them."""

    def update(self, data: bytes, /) -> None:
        """Feed the next piece."""


def feed_file(digest: Digest, path: Path) -> None:
    """Feed a file's contents to a hash."""
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)


def check_hash(found: str, wanted: str, what: str) -> None:
    """Raise :class:`InvalidDataError` unless what is on this machine has the hash that the job was started with."""
    if found != wanted:
        raise InvalidDataError(
            f"{what} hashes to {found}, and the job was started with {wanted}."
            " Give every worker the same, and do not change it while a job runs"
        )


def shapes(weights: Mapping[str, "torch.Tensor"]) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def check_fit(
    found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], problem: str, remedy: str
) -> None:
    """Raise :class:`InvalidDataError` unless shapes are the wanted ones, name by name.

    Args:
        found: shapes of the weights.
        wanted: shapes of the model.
        problem: how the error begins.
        remedy: how it ends.
    """
    faults = [
        f"{name} is {found.get(name, 'missing')}, not {wanted.get(name, 'a part of it')}"
        for name in [*wanted, *(name for name in found if name not in wanted)]
        if found.get(name) != wanted.get(name)
    ]
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise InvalidDataError(f"{problem}: {faults[0]}{more}; {remedy}")


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
