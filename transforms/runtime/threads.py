"""CPU threads per worker process, and a thread that reads ahead."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Item = TypeVar("Item")

ONE_PER_CORE = 0
"""Number of worker processes on a machine that has one per core, however many it has."""


def thread_share(workers: int) -> int:
    """Divide the cores of this machine by the number of worker processes on it, or by ``ONE_PER_CORE``; at least 1."""
    import joblib

    return max(1, int(joblib.cpu_count()) // workers) if workers != ONE_PER_CORE else 1


def read_ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Yield items, each made in another thread while the caller uses the one before.

    It saves time where both release the interpreter's lock, as Arrow and NumPy do, or where items come over a network.
    An error of the generator is raised here; if the caller stops early, the generator is closed.

    Example:
        >>> list(read_ahead(number * number for number in range(4)))
        [0, 1, 4, 9]
    """
    end = object()
    with closing(items), ThreadPoolExecutor(1, "read-ahead") as thread:
        following = thread.submit(next, items, end)
        while (item := following.result()) is not end:
            following = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
