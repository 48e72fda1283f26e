"""Tests of the thread that reads ahead."""

import threading
from collections.abc import Generator

import pytest

from tracktokens.transforms.runtime.threads import read_ahead


def test_items_come_in_order_from_another_thread() -> None:
    makers = list(read_ahead(threading.get_ident() for _ in range(5)))

    assert len(makers) == 5
    assert set(makers) != {threading.get_ident()}


def test_next_item_is_made_while_the_caller_has_one() -> None:
    begun = threading.Event()

    def items() -> Generator[int, None, None]:
        yield 1
        begun.set()
        yield 2

    ahead = read_ahead(items())

    assert next(ahead) == 1
    assert begun.wait(30)
    assert list(ahead) == [2]


def test_error_comes_after_the_items_before_it() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise ValueError("broken")

    ahead = read_ahead(items())

    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_caller_who_stops_closes_the_generator() -> None:
    closed = threading.Event()

    def items() -> Generator[int, None, None]:
        try:
            yield from range(100)
        finally:
            closed.set()

    ahead = read_ahead(items())
    assert next(ahead) == 0
    ahead.close()

    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
