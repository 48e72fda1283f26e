import numpy as np
import numpy.typing as npt
import pytest

from tracktokens.codebooks.continuity import fold_in
from tracktokens.codebooks.continuity.fold_in import STEPS, NeighbourSums, merge_sums, neighbour_sums
from tracktokens.schemas.errors import InvalidDataError

Playlists = list[list[int]]

AXES = np.eye(3, dtype=np.float32)


def gather(playlists: Playlists, rows: list[int], vectors: npt.NDArray[np.float32], window: int = 50) -> NeighbourSums:
    offsets = np.cumsum([0, *map(len, playlists)])
    entries = np.array([track for playlist in playlists for track in playlist], np.int32)
    return neighbour_sums(offsets, entries, np.array(rows, np.int64), vectors, window)


def one_by_one(
    playlists: Playlists, rows: list[int], vectors: npt.NDArray[np.float32], window: int
) -> dict[int, npt.NDArray[np.float64]]:
    """The same in float64, entry by entry, by the formula in the module's docstring."""
    means: dict[int, list[npt.NDArray[np.float64]]] = {}
    for playlist in playlists:
        for place, track in enumerate(playlist):
            around = [other for other in playlist[max(place - window, 0) : place + window + 1] if rows[other] >= 0]
            near = [vectors[rows[other]].astype(np.float64) for other in around if vectors[rows[other]].any()]
            if rows[track] < 0 and near:
                means.setdefault(track, []).append(np.mean([v / np.linalg.norm(v) for v in near], axis=0))
    return {track: np.mean(found, axis=0) for track, found in means.items()}


def random_playlists(seed: int, playlists: int, tracks: int) -> Playlists:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, tracks, rng.integers(0, 40)).tolist() for _ in range(playlists)]


def random_vectors(seed: int, tracks: int, known: int) -> tuple[list[int], npt.NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    rows = np.full(tracks, -1)
    rows[rng.permutation(tracks)[:known]] = np.arange(known)
    return rows.tolist(), rng.standard_normal((known, 8)).astype(np.float32)


def same(one: NeighbourSums, other: NeighbourSums) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("tracks", "sums", "entries"))


def test_a_new_track_has_the_mean_direction_of_its_neighbours() -> None:
    found = gather([[0, 2, 1]], [0, 1, -1], AXES[:2] * [[2.0], [5.0]])

    assert found.tracks.tolist() == [2]
    assert found.sums.tolist() == [[STEPS // 2, STEPS // 2, 0]]
    assert found.folded().tolist() == [[0.5, 0.5, 0.0]]


def test_each_entry_of_a_track_counts_alike_however_many_neighbours_it_has() -> None:
    found = gather([[0, 0, 0, 2], [2, 1]], [0, 1, -1], AXES[:2])

    assert found.entries.tolist() == [2]
    assert found.folded().tolist() == [[0.5, 0.5, 0.0]]


def test_tracks_out_of_the_window_or_in_another_playlist_say_nothing() -> None:
    assert gather([[2, 0, 1], [1, 1]], [0, 1, -1], AXES[:2], window=1).folded().tolist() == [[1.0, 0.0, 0.0]]
    assert gather([[2, 0, 1], [1, 1]], [0, 1, -1], AXES[:2], window=2).folded().tolist() == [[0.5, 0.5, 0.0]]


def test_a_track_with_no_known_track_near_it_gets_no_vector() -> None:
    found = gather([[2, 3], [2, 3, 0]], [0, 1, -1, -1], AXES[:2], window=1)

    assert found.tracks.tolist() == [3]


def test_tracks_whose_neighbours_cancel_out_have_no_direction() -> None:
    assert gather([[0, 2, 1]], [0, 1, -1], np.array([[1, 0], [-1, 0]], np.float32)).folded().tolist() == [[0.0, 0.0]]


def test_a_zero_vector_is_no_neighbour_and_is_not_folded() -> None:
    found = gather([[0, 2, 1]], [0, 1, -1], np.array([[0, 0], [0, 3]], np.float32))

    assert (found.tracks.tolist(), found.folded().tolist()) == ([2], [[0.0, 1.0]])


@pytest.mark.parametrize("block", [1, 7, 1_024])
@pytest.mark.parametrize("window", [1, 5, 100])
def test_it_is_what_a_loop_over_entries_finds(monkeypatch: pytest.MonkeyPatch, block: int, window: int) -> None:
    monkeypatch.setattr(fold_in, "BLOCK_ENTRIES", block)
    playlists = random_playlists(1, 60, 50)
    rows, vectors = random_vectors(2, 50, 30)

    found = gather(playlists, rows, vectors, window)

    expected = one_by_one(playlists, rows, vectors, window)
    assert found.tracks.tolist() == sorted(expected)
    np.testing.assert_allclose(found.folded(), [expected[track] for track in found.tracks.tolist()], atol=2e-6)


def test_neither_the_order_of_playlists_nor_the_chunks_change_a_bit() -> None:
    playlists = random_playlists(3, 80, 60)
    rows, vectors = random_vectors(4, 60, 40)
    whole = gather(playlists, rows, vectors)
    order = np.random.default_rng(5).permutation(80).tolist()

    chunks = [[playlists[place] for place in order[start : start + 9]] for start in range(0, 80, 9)]
    parts = [gather(chunk, rows, vectors) for chunk in chunks]

    assert same(merge_sums(parts, 8), whole)
    assert same(merge_sums([merge_sums(parts[5:], 8), *parts[:5]], 8), whole)


def test_nothing_gives_nothing() -> None:
    rows, vectors = random_vectors(4, 60, 40)

    for found in (
        merge_sums([], 8),
        gather([], rows, vectors),
        gather([[track] for track in range(60)], rows, vectors),
    ):
        assert (len(found.tracks), found.sums.shape, found.folded().shape) == (0, (0, 8), (0, 8))


def test_without_any_known_track_nothing_is_folded() -> None:
    assert not len(gather([[0, 1]], [-1, -1], np.zeros((0, 4), np.float32)).tracks)


@pytest.mark.parametrize("offsets", [[], [0, 2], [1, 3], [0, 3, 2, 3]])
def test_offsets_that_do_not_part_the_entries_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="do not divide 3 entries"):
        neighbour_sums(np.array(offsets), np.zeros(3, np.int64), np.array([0]), AXES[:1], 5)


def test_a_window_without_neighbours_is_refused() -> None:
    with pytest.raises(ValueError, match="window of 0"):
        gather([[0]], [0], AXES, window=0)


def test_vectors_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="finite"):
        gather([[0, 1]], [0, -1], np.array([[np.nan, 1.0]], np.float32))
