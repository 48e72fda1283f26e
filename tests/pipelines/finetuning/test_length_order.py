"""The order of the rows, with rows of similar length in a batch, and the batch that the time ahead is computed from."""

import numpy as np
import pytest

from tracktokens.pipelines.finetuning.stage_trainer import LengthOrder, mean_batch

pytestmark = pytest.mark.job

LENGTHS = np.random.default_rng(0).integers(10, 200, 1003).tolist()


def test_each_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    order = LengthOrder(LENGTHS, 8, 3)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert sorted(first) == sorted(second) == list(range(1003))
    assert first != second
    again = LengthOrder(LENGTHS, 8, 3)
    again.set_epoch(1)
    assert list(again) == second
    assert list(LengthOrder(LENGTHS, 8, 4)) != first


def test_a_batch_needs_little_padding() -> None:
    def padded(rows: list[int]) -> int:
        batches = [rows[start : start + 8] for start in range(0, 1000, 8)]
        return sum(8 * max(LENGTHS[row] for row in batch) for batch in batches)

    assert padded(list(LengthOrder(LENGTHS, 8, 0))) < 0.75 * padded(list(range(1003)))


def test_fewer_rows_than_a_batch_are_one_batch() -> None:
    assert sorted(LengthOrder([3, 1, 2], 8, 0)) == [0, 1, 2]


@pytest.mark.parametrize("lengths", [LENGTHS, [40] * 600 + [700] * 300, [40] * 3, [5, 1000]], ids=len)
def test_the_time_of_the_chosen_batch_gives_that_of_all(lengths: list[int]) -> None:
    chosen, share = mean_batch(lengths, 8)

    assert len(set(chosen)) == min(8, len(lengths))
    time = sum(lengths[row] for row in chosen) / len(chosen)
    assert time / share == pytest.approx(sum(lengths) / len(lengths))
    assert max(lengths[row] for row in chosen) >= sum(lengths) / len(lengths)  # not one of many short ones
