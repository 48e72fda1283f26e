"""Lists that are too long for the graph of a pipeline: written to a file, and pickled as its path.

A service that runs pipelines limits the size of a graph, Dataflow to 10 MB. The paths of an export of 10,000 files are
300 kB, in each step that has them.
"""

import json
import socket
from collections.abc import Iterable
from dataclasses import astuple
from functools import lru_cache
from typing import Any, TypeVar

import apache_beam as beam

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store import files

Item = TypeVar("Item")


class SpilledList(list[Item]):
    """A list of dataclasses with plain fields. A process that unpickles it reads the file, once."""

    def __init__(self, items: Iterable[Item], path: str) -> None:
        super().__init__(items)
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path and the class of the items."""
        return _read, (self._path, type(self[0]) if self else tuple)


def spill(items: Iterable[Any], path: str) -> SpilledList[Any]:
    """Write a list to a file, in a folder that workers can read and that outlives the pipeline."""
    spilled = SpilledList(items, path)
    # Escapes of JSON keep the lone surrogates of a path that is not UTF-8, which orjson refuses.
    files.write_bytes(path, json.dumps([astuple(item) for item in spilled]).encode())
    return spilled


@lru_cache(maxsize=16)
def _read(path: str, kind: type[Any]) -> SpilledList[Any]:
    """Read a list in a worker.

    Raises:
        UsageError: the worker has no such file, so it does not share the filesystem of the store.
    """
    if not files.exists(path):
        raise UsageError(
            f"{path} is missing on worker {socket.gethostname()}: give a store, and inputs, on a filesystem that the "
            "workers share with this machine, under the same path"
        )
    return SpilledList((kind(*values) for values in json.loads(files.read_bytes(path))), path)


class CreateSpilled(beam.PTransform):
    """Create the elements of a :class:`SpilledList`, spread over the workers."""

    def __init__(self, items: SpilledList[Any]) -> None:
        super().__init__()
        self._items = items

    def expand(self, start: beam.pvalue.PBegin) -> beam.PCollection:
        """Read the list in one process and spread its elements."""
        items = self._items
        return start | beam.Impulse() | beam.FlatMap(lambda _: items) | beam.Reshuffle()
