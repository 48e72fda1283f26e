"""Numbers of tracks whose other tokens are equal."""

from collections import defaultdict

import numpy as np
import pytest

from tracktokens.codebooks.tokens.numbering import UNKNOWN_SONG, number_tracks

SIZE = 6


def numbers(
    tuples: list[int], songs: list[int], previous: list[int] | None = None, size: int = SIZE
) -> tuple[list[int], int]:
    codes = np.array(tuples, np.int16)[:, None]
    known = np.array(previous if previous is not None else [-1] * len(tuples), np.int16)
    numbering = number_tracks(codes, np.array(songs, np.uint64), known, size)
    return numbering.numbers.tolist(), numbering.overflow


def plain(tuples: list[int], songs: list[int], previous: list[int], size: int) -> tuple[list[int], int]:
    """Number track by track, with dictionaries."""
    units: dict[int, dict[object, list[int]]] = defaultdict(dict)
    for row, (group, song) in enumerate(zip(tuples, songs, strict=True)):
        units[group].setdefault(song if song != UNKNOWN_SONG else ("row", row), []).append(row)
    result, overflow = [0] * len(tuples), 0
    for members in units.values():
        wanted = [
            min([previous[row] for row in rows if 0 <= previous[row] < size], default=None) for rows in members.values()
        ]
        taken: dict[int, int] = {}
        for unit, number in enumerate(wanted):
            if number is not None:
                taken.setdefault(number, unit)
        for unit, rows in enumerate(members.values()):
            number = wanted[unit]
            if number is None or taken[number] != unit:
                number = next(free for free in range(len(tuples) + size) if free not in taken)
                taken[number] = unit
            for row in rows:
                result[row] = min(number, size - 1)
                overflow += number >= size
    return result, overflow


def test_tracks_of_a_tuple_are_numbered_in_order() -> None:
    assert numbers([7, 8, 7, 7], [0, 0, 0, 0]) == ([0, 0, 1, 2], 0)


def test_ids_of_a_song_share_a_number_in_the_same_tuple_only() -> None:
    assert numbers([7, 7, 7, 8], [1, 2, 1, 1]) == ([0, 1, 0, 0], 0)


def test_a_track_keeps_its_number_though_others_come_first() -> None:
    assert numbers([7, 7, 7], [1, 2, 3], [-1, 0, 2]) == ([1, 0, 2], 0)


def test_the_number_of_a_removed_track_is_free() -> None:
    assert numbers([7, 7], [1, 2], [1, -1]) == ([1, 0], 0)


def test_tracks_beyond_the_numbers_share_the_last_one_and_are_counted() -> None:
    assert numbers([7] * 4, [1, 2, 3, 4], size=2) == ([0, 1, 1, 1], 2)


@pytest.mark.parametrize("seed", range(60))
def test_numbers_are_those_of_a_plain_loop(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows, size = int(draw.integers(1, 40)), int(draw.integers(1, 9))
    tuples, songs = draw.integers(0, 4, rows).tolist(), draw.integers(0, 12, rows).tolist()
    previous = draw.integers(-1, 10, rows).tolist()
    assert numbers(tuples, songs, previous, size) == plain(tuples, songs, previous, size)
