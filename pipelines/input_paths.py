"""Paths of inputs and of the store: an output must not be an input of the next job."""

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracktokens.schemas.display import printable
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.listing.local_files import LocalPattern
from tracktokens.transforms.listing.patterns import EVERYTHING, Pattern, split_wildcards
from tracktokens.transforms.store import files

STORE_FILES = (
    "store.json",
    "catalogs/id/catalog.json",
    "catalogs/id/rejects/part.parquet",
    "catalogs/id/tracks/bucket=0000/part.parquet",
    "vectors/audio/id/encoder.json",
    "vectors/audio/id/bucket=0000/part.parquet",
    "releases/id/manifest.json",
    "releases/id/tokens/part.parquet",
    "releases/id/tokens/bucket=0000/part.parquet",
    "releases/id/vocabulary/tokens.json",
)
"""Files as a store has them, by which a glob is tested."""


@dataclass(frozen=True)
class InputPath:
    """An input, as a folder and a pattern below it.

    Attributes:
        folder: its folder before any wildcard, without links; or the path of a single file.
        pattern: what it reads below the folder; None for a single file.
    """

    folder: str
    pattern: Pattern | None

    @classmethod
    def of(cls, path: str) -> "InputPath":
        """Parse a file, a folder or a glob, local or remote."""
        path = files.absolute(path)
        if not files.is_remote(path):
            return cls._of_local(path)
        if glob.has_magic(path):
            folder, rest = split_wildcards(path)
            return cls(folder, Pattern.of(rest))
        return cls(path.rstrip("/"), EVERYTHING)

    @classmethod
    def _of_local(cls, path: str) -> "InputPath":
        if os.path.lexists(path) or not glob.has_magic(path):
            is_file = os.path.isfile(path)  # noqa: PTH113  pathlib raises where the folder may not be read
            return cls(os.path.realpath(path), None if is_file else EVERYTHING)
        wanted = LocalPattern.of(path)
        return cls(os.path.realpath(wanted.folder), wanted.pattern)

    def reads(self, path: str) -> bool:
        """Return whether a file at a path, which may not exist yet, would be read."""
        if self.pattern is None or not files.is_below(path, self.folder):
            return path == self.folder
        return self.pattern.matches(path[len(self.folder.rstrip("/")) + 1 :])


def check_apart(store: str, inputs: Mapping[str, Any]) -> None:
    """Check that the store is not inside of an input, and that no input is inside of the store.

    Args:
        store: root of the store.
        inputs: option to path, or to modality to path; None for an input that is not given.

    Raises:
        UsageError: they overlap.
    """
    root = _real(store)
    for name, path in _flat(inputs):
        wanted = InputPath.of(path)
        if files.is_below(wanted.folder, root):
            raise UsageError(
                f"--{name} {printable(path)} is inside of --store {printable(store)}: give an input outside of it"
            )
        if any(wanted.reads(f"{root}/{file}") for file in STORE_FILES):
            raise UsageError(
                f"--store {printable(store)} is inside of --{name} {printable(path)}, so the next job would read the "
                "store as input: give a store outside of it"
            )


def check_reachable(paths: Mapping[str, Any], models: Mapping[str, Any], has_image: bool) -> None:
    """Check that workers on other machines can read all paths.

    Args:
        paths: as for :func:`check_apart`.
        models: option to the file or folder of a model, or to its name.
        has_image: whether the workers run an image of their own, which may have the models at the same paths.

    Raises:
        UsageError: a path is on this machine only.
    """
    for name, path in _flat(paths):
        if not files.is_remote(files.absolute(path)):
            raise UsageError(
                f"--{name} {printable(path)} is on this machine, where workers of Dataflow cannot read it: give a path "
                "on gs://"
            )
    for name, path in _flat(models):
        if not has_image and os.path.lexists(path):
            raise UsageError(
                f"--{name} {printable(path)} is on this machine, where workers of Dataflow cannot read it: build it "
                "into an image, at the same path, and give --sdk_container_image"
            )


def check_not_read(out: str, inputs: Mapping[str, Any]) -> None:
    """Check that an output is not in a table that the next job reads.

    Args:
        out: the file to write.
        inputs: as for :func:`check_apart`.

    Raises:
        UsageError: it is one of the files of an input.
    """
    for name, path in _flat(inputs):
        if InputPath.of(path).reads(_real(out)):
            raise UsageError(
                f"{printable(out)} is inside of --{name} {printable(path)} of the release, so the next job would read "
                "it as input: write outside of it"
            )


def _flat(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in inputs.items():
        if isinstance(value, Mapping):
            yield from ((f"{name} {modality}", path) for modality, path in value.items())
        elif value is not None:
            yield name, value


def _real(path: str) -> str:
    path = files.absolute(path)
    return path.rstrip("/") if files.is_remote(path) else os.path.realpath(path)
