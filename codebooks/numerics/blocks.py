"""Work on blocks of rows, in threads. The blocks do not depend on the number of threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def map_blocks(work: Callable[[slice], Result], rows: int, block_rows: int) -> list[Result]:
    """Call ``work`` on every block of ``block_rows`` rows, and return the results in order of the blocks.

    The number of threads is that of faiss in the calling thread. In each worker faiss runs on one thread: small blocks
    stay in the cache, and the result of a block does not depend on how faiss would divide it.

    Example:
        >>> map_blocks(lambda block: (block.start, block.stop), 5, 2)
        [(0, 2), (2, 4), (4, 5)]
    """
    import faiss

    blocks = [slice(start, min(start + block_rows, rows)) for start in range(0, rows, block_rows)]
    threads = faiss.omp_get_max_threads()
    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, blocks))
