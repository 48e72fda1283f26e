"""Inputs with their codes: the nearest per code, whatever the buckets that they were read in."""

import numpy as np
import pytest

from tracktokens.transforms.release.coded_inputs import CodedInputs, NearestInputs


def inputs_of(*rows: tuple[int, float, int]) -> CodedInputs:
    """Inputs by code, distance and key; the track has the number of the key."""
    codes, distances, keys = zip(*rows, strict=True)
    numbers = np.array(keys, np.uint64)
    return CodedInputs(
        keys=np.stack([np.zeros_like(numbers), numbers], axis=1),
        codes=np.array(codes, np.int16),
        distances=np.array(distances, np.float32),
        margins=np.full(len(rows), np.nan, np.float32),
        tracks=numbers,
        weights=np.ones(len(rows), np.int64),
    )


def test_the_nearest_inputs_of_each_code_are_kept_and_ties_go_to_the_lower_key() -> None:
    inputs = inputs_of((1, 0.5, 9), (0, 0.3, 4), (1, 0.5, 2), (0, 0.1, 8), (0, 0.2, 7), (1, 0.9, 1))
    nearest = inputs.nearest(2)
    assert nearest.codes.tolist() == [0, 0, 1, 1]
    assert nearest.tracks.tolist() == [8, 7, 2, 9]


@pytest.mark.parametrize("most", [1, 3, 8, 100])
def test_the_nearest_of_several_buckets_are_the_nearest_of_all_together(most: int) -> None:
    rows = [(code, distance / 7 % 1, key) for key, (code, distance) in enumerate((n % 3, n * n) for n in range(60))]
    nearest = NearestInputs(4, most)
    for start in range(4):
        nearest.update(inputs_of(*rows[start::4]))
    assert nearest.inputs.tracks.tolist() == inputs_of(*rows).nearest(most).tracks.tolist()
