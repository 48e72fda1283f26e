"""Tests of forward passes on one thread each."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tracktokens.transforms.encoders.forward_passes import map_passes, one_thread_per_pass


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    """Three of torch's threads before each test."""
    previous = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(previous)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_torch_has_one_thread_in_a_pass_and_as_many_as_before_afterwards(threads: int) -> None:
    results = map_passes(lambda batch: (batch, torch.get_num_threads()), range(4), threads)

    assert results == [(batch, 1) for batch in range(4)]
    assert torch.get_num_threads() == 3


def test_as_many_passes_run_at_a_time_as_threads() -> None:
    meeting = threading.Barrier(3, timeout=30)

    map_passes(lambda batch: meeting.wait(), range(3), threads=3)

    assert not meeting.broken


def test_error_of_a_pass_is_raised_and_the_number_of_threads_restored() -> None:
    with pytest.raises(ZeroDivisionError):
        map_passes(lambda batch: 1 / batch, [1, 0, 1], threads=2)

    assert torch.get_num_threads() == 3


def test_overlapping_blocks_restore_the_number_of_threads_when_the_last_ends() -> None:
    first_ends, second_runs = threading.Event(), threading.Event()

    def second() -> int:
        with one_thread_per_pass():
            second_runs.set()
            first_ends.wait(30)
            return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        with one_thread_per_pass():
            running = pool.submit(second)
            assert second_runs.wait(30)
        first_ends.set()
        assert running.result(30) == 1
        assert pool.submit(torch.get_num_threads).result(30) == 3


@pytest.mark.parametrize("inner", [1536, 4000])
def test_matrix_product_has_the_same_bits_on_any_number_of_threads(inner: int) -> None:
    draw = torch.Generator().manual_seed(0)
    weights = torch.randn(384, inner, generator=draw)
    batches = [torch.randn(rows, inner, generator=draw) for rows in (3, 8, 24, 100, 333)]

    one = map_passes(lambda batch: batch @ weights.T, batches, threads=1)
    for threads in (2, 4):
        for product, expected in zip(map_passes(lambda batch: batch @ weights.T, batches, threads), one, strict=True):
            assert torch.equal(product, expected)
