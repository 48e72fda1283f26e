"""Forward passes on a CPU, several at a time, each on one thread: vectors do not depend on the number of threads.

On some processors a library divides the sums of a matrix product among its threads, so that their number changes the
rounding. One run would then give other tokens than another with more worker processes.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TypeVar

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def map_passes(
    run: Callable[[Batch], Result], batches: Sequence[Batch], threads: int, *, in_torch: bool = True
) -> list[Result]:
    """Call ``run``, which is thread-safe, on each batch; return the results in order.

    Args:
        run: runs a model on a batch.
        batches: the batches.
        threads: calls at a time.
        in_torch: whether the model runs in torch, which then computes on one thread in each call. What runs in another
            library has to do so itself, and torch is not imported.

    Example:
        >>> import torch
        >>> map_passes(lambda batch: (sum(batch), torch.get_num_threads()), [[1, 2], [3]], threads=2)
        [(3, 1), (3, 1)]
    """
    with one_thread_per_pass() if in_torch else nullcontext():
        if min(threads, len(batches)) < 2:
            return [run(batch) for batch in batches]
        with ThreadPoolExecutor(threads, "pass", initializer=_use_one_thread if in_torch else None) as pool:
            return list(pool.map(run, batches))


def _use_one_thread() -> None:
    """Set torch's number of threads, which applies to the thread that sets it, and to threads started later."""
    import torch

    torch.set_num_threads(1)


class _Setting:
    """torch's number of threads, which the process has once: the last block to end restores it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = 0
        self.before = 1


_setting = _Setting()


@contextmanager
def one_thread_per_pass() -> Iterator[None]:
    """Let torch compute on one thread during a block; blocks of several threads may overlap."""
    import torch

    with _setting.lock:
        if not _setting.blocks:
            _setting.before = torch.get_num_threads()
        _setting.blocks += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _setting.lock:
            _setting.blocks -= 1
            if not _setting.blocks:
                torch.set_num_threads(_setting.before)
