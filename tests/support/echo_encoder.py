"""Encoders for tests of plugins: one that is valid, and two that break in transit."""

from collections.abc import Mapping

from tracktokens.transforms.encoders.base import Encoder, LoadedEncoder


class Echo(Encoder):
    """An encoder whose identity is its arguments."""

    def __init__(self, modality: str, root: str | None, options: dict[str, str]) -> None:
        self._identity = {"modality": modality, "root": root, "options": options}

    def identity(self) -> Mapping[str, object]:
        return self._identity

    def load(self, threads: int) -> LoadedEncoder:
        raise NotImplementedError


class Fickle(Echo):
    """An encoder that changes when it is pickled."""

    def __reduce__(self) -> tuple[type, tuple[str, None, dict[str, str]]]:
        return Fickle, ("sent", None, {})


class Local(Echo):
    """An encoder that cannot be pickled."""

    def __reduce__(self) -> tuple[type, tuple[str, None, dict[str, str]]]:
        raise TypeError("no copy of a device")
