"""Popularity from the playlists: how many of them hold a track."""

import pyarrow as pa

from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.transforms.release.count_playlists import count_playlists, track_counts
from tracktokens.transforms.store.keys import content_keys, track_numbers


def corpus(*playlists: list[str]) -> pa.RecordBatch:
    keys = [content_keys(pa.array(playlist)).to_pylist() for playlist in playlists]
    return pa.record_batch([pa.array(range(len(playlists)), pa.int64()), pa.array(keys, CORPUS[1].type)], schema=CORPUS)


def catalog(*track_ids: str) -> pa.Table:
    return pa.table({"track_id": list(track_ids), "track": track_numbers(content_keys(pa.array(track_ids)))})


def test_a_playlist_that_repeats_a_track_counts_once() -> None:
    counts = count_playlists(corpus(["a", "b", "a"], ["b", "c"]))
    a, b, c = catalog("a", "b", "c")["track"].to_pylist()
    assert {row["track"]: row["playlists"] for row in counts.to_pylist()} == {a: 1, b: 2, c: 1}


def test_a_slice_counts_only_its_own_playlists() -> None:
    counts = count_playlists(corpus(["a", "b"], ["b", "c"]).slice(1))
    assert sorted(counts["track"].to_pylist()) == sorted(catalog("b", "c")["track"].to_pylist())


def test_counts_of_all_files_are_added_up_in_the_order_of_the_tracks() -> None:
    parts = [count_playlists(corpus(["a", "b"])), count_playlists(corpus(["b", "c"], ["c", "b"]))]
    counts = track_counts(catalog("a", "b", "c", "unlisted"), parts)
    assert counts.to_pydict() == {"track_id": ["a", "b", "c", "unlisted"], "playlists": [1, 3, 2, 0]}


def test_tracks_without_any_playlist_count_zero() -> None:
    assert track_counts(catalog("a"), [])["playlists"].to_pylist() == [0]
