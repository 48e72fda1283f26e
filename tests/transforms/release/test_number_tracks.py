"""Numbers that tracks had in the previous release."""

import pyarrow as pa

from tracktokens.transforms.release.number_tracks import previous_numbers

CODES = ["playlist", "metadata2"]


def rows(ids: list[str], codes: list[list[int | None]], songs: list[int], numbers: list[int] | None = None) -> pa.Table:
    columns = {name: pa.array(column, pa.int16()) for name, column in zip(CODES, codes, strict=True)}
    table = pa.table({"track_id": ids, **columns, "song": pa.array(songs, pa.uint64())})
    return table if numbers is None else table.append_column("n", pa.array(numbers, pa.int16()))


def had(tracks: pa.Table, old: pa.Table) -> list[int]:
    [batch] = tracks.to_batches()
    return previous_numbers(batch, old, CODES).tolist()


OLD = rows(["a", "b", "c", "d"], [[1, 1, 2, None], [5, 6, 6, 7]], [1, 2, 3, 4], [3, 0, 1, 2])


def test_an_unchanged_track_had_its_number_and_a_new_one_none() -> None:
    assert had(rows(["new", "d", "a"], [[1, -1, 1], [5, 7, 5]], [9, 4, 1]), OLD) == [-1, 2, 3]


def test_a_track_with_another_code_had_none() -> None:
    assert had(rows(["a", "b"], [[1, -1], [4, 6]], [1, 2]), OLD) == [-1, -1]


def test_a_track_that_is_another_song_had_none() -> None:
    assert had(rows(["a", "b"], [[1, 1], [5, 6]], [1, 5]), OLD) == [3, -1]


def test_a_release_without_numbers_or_levels_gives_none() -> None:
    assert had(rows(["a"], [[1], [5]], [1]), OLD.drop_columns(["n"])) == [-1]
    assert had(rows(["a"], [[1], [5]], [1]), OLD.drop_columns(["metadata2"])) == [-1]
