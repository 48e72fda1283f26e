"""Blocks of rows are processed in threads."""

import threading

import faiss
import pytest

from tracktokens.codebooks.numerics.blocks import map_blocks


@pytest.mark.parametrize(("rows", "expected"), [(0, []), (3, [(0, 3)]), (4, [(0, 4)]), (9, [(0, 4), (4, 8), (8, 9)])])
def test_blocks_are_of_one_size_but_for_the_last_and_come_back_in_order(rows, expected):
    assert map_blocks(lambda block: (block.start, block.stop), rows, 4) == expected


def test_there_are_as_many_threads_as_faiss_takes_and_in_each_faiss_takes_one():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        meeting = threading.Barrier(3, timeout=30)  # breaks unless three are here at once

        def work(block):
            meeting.wait()
            return faiss.omp_get_max_threads()

        assert map_blocks(work, 3, 1) == [1, 1, 1]
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


def test_an_error_in_a_block_comes_out():
    with pytest.raises(ZeroDivisionError):
        map_blocks(lambda block: 1 // block.start, 8, 4)
