"""Work on blocks of rows, in threads. The blocks are the same however many threads there are."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def map_blocks(work: Callable[[slice], Result], rows: int, block_rows: int) -> list[Result]:
    """Call ``work`` on every ``block_rows`` rows of ``rows``; the results in order of the blocks.

    There are as many threads as faiss takes in the calling one. In each of them faiss runs on one thread: small blocks
    stay in the cache, and what a block gives does not depend on how faiss would divide it.
    """
    import faiss

    blocks = [slice(start, min(start + block_rows, rows)) for start in range(0, rows, block_rows)]
    threads = faiss.omp_get_max_threads()
    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, blocks))
