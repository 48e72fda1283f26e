import hashlib
import random

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.playlists import CORPUS, SCANNED_PLAYLISTS
from tracktokens.schemas.tables.rejects import REJECTS
from tracktokens.transforms.playlists.corpus import (
    ENTRIES,
    HEADS,
    AssembledCorpus,
    assemble,
    corpus_digest,
    explode,
    in_content_order,
    keep_known,
    require_playlists,
    too_short_rejects,
)
from tracktokens.transforms.store.keys import content_keys


def key(track_id: str) -> bytes:
    return hashlib.blake2b(track_id.encode("utf-8"), digest_size=16).digest()


def keys(letters: str) -> list[bytes]:
    return [key(letter) for letter in letters]


def scanned(*rows: tuple[int, str, list[str | None] | None]) -> pa.RecordBatch:
    columns = ("position", "playlist_id", "track_ids")
    return pa.RecordBatch.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], SCANNED_PLAYLISTS)


def cleaned(batch: pa.RecordBatch, catalog: str) -> AssembledCorpus:
    """Run the three steps as a job would, on one batch."""
    exploded = explode(batch)
    known = keep_known(exploded.entries, content_keys(pa.array(list(catalog), pa.string())))
    return assemble(pa.Table.from_batches([known.entries]), pa.Table.from_batches([exploded.heads]))


def corpus(*playlists: str) -> pa.RecordBatch:
    rows = [{"position": place, "track_keys": keys(letters)} for place, letters in enumerate(playlists)]
    return pa.RecordBatch.from_pylist(rows, CORPUS)


def test_exploding_gives_a_row_for_each_entry_with_its_place():
    exploded = explode(scanned((7, "p", ["a", "b"]), (2, "q", ["b"])))

    assert exploded.entries.schema == ENTRIES
    assert exploded.entries.to_pydict() == {"key": keys("abb"), "position": [7, 7, 2], "order": [0, 1, 0]}


def test_a_null_id_is_dropped_and_counted_and_the_others_keep_their_places():
    exploded = explode(scanned((0, "p", ["a", None, "b", None])))

    assert exploded.entries.column("order").to_pylist() == [0, 2]
    assert exploded.null_ids == 2
    assert exploded.heads.column("listed").to_pylist() == [2]


def test_a_playlist_without_entries_still_has_a_head():
    exploded = explode(scanned((0, "p", None), (1, "q", []), (2, "r", [None]), (3, "s", ["a"])))

    assert exploded.heads.schema == HEADS
    assert exploded.heads.to_pydict() == {
        "position": [0, 1, 2, 3],
        "playlist_id": ["p", "q", "r", "s"],
        "listed": [0, 0, 0, 1],
    }
    assert exploded.entries.column("position").to_pylist() == [3]


def test_a_slice_of_a_batch_explodes_into_its_own_rows():
    batch = scanned((0, "p", ["a", "b"]), (1, "q", ["c", None, "d"]), (2, "r", ["e"]))

    exploded = explode(batch.slice(1, 1))

    assert exploded.entries.to_pydict() == {"key": keys("cd"), "position": [1, 1], "order": [0, 2]}
    assert exploded.heads.column("playlist_id").to_pylist() == ["q"]
    assert exploded.null_ids == 1


def test_an_empty_batch_explodes_into_nothing():
    exploded = explode(scanned())

    assert (exploded.entries.num_rows, exploded.heads.num_rows, exploded.null_ids) == (0, 0, 0)


def test_entries_of_unknown_tracks_are_dropped_and_counted():
    known = keep_known(
        explode(scanned((0, "p", ["a", "x", "b", "x"]))).entries, content_keys(pa.array(["b", "a", "z"]))
    )

    assert known.entries.schema == ENTRIES
    assert known.entries.to_pydict() == {"key": keys("ab"), "position": [0, 0], "order": [0, 2]}
    assert known.unknown == 2


def test_an_empty_catalog_knows_nothing():
    known = keep_known(explode(scanned((0, "p", ["a", "b"]))).entries, content_keys(pa.array([], pa.string())))

    assert (known.entries.num_rows, known.unknown) == (0, 2)


def test_playlists_come_back_in_the_order_of_the_input_whatever_the_order_of_their_entries():
    exploded = explode(scanned((5, "q", list("dcab")), (1 << 41, "r", list("ba")), (0, "p", list("abc"))))
    rows = exploded.entries.to_pylist()
    random.Random(1).shuffle(rows)
    batches = [pa.RecordBatch.from_pylist(rows[:4], ENTRIES), pa.RecordBatch.from_pylist(rows[4:], ENTRIES)]

    assembled = assemble(pa.Table.from_batches(batches), pa.Table.from_batches([exploded.heads]))

    assert assembled.corpus.schema == CORPUS
    assert assembled.corpus.to_pydict() == {
        "position": [0, 5, 1 << 41],
        "track_keys": [keys("abc"), keys("dcab"), keys("ba")],
    }
    assert assembled.too_short.num_rows == 0


def test_playlists_with_fewer_than_two_distinct_known_tracks_are_reported_with_their_counts():
    batch = scanned(
        (0, "one", ["a", "x"]), (1, "two", ["a", "b"]), (2, "same", list("aaa")), (3, "none", ["x"]), (4, "empty", None)
    )

    assembled = cleaned(batch, "ab")

    assert assembled.corpus.to_pydict() == {"position": [1], "track_keys": [keys("ab")]}
    assert assembled.too_short.to_pydict() == {
        "position": [0, 2, 3, 4],
        "playlist_id": ["one", "same", "none", "empty"],
        "listed": [2, 3, 1, 0],
    }
    assert assembled.known.tolist() == [1, 1, 0, 0]


def test_a_track_repeated_at_once_is_kept_once_and_one_that_comes_back_is_kept():
    assembled = cleaned(scanned((0, "p", list("aabbba")), (1, "q", list("ab"))), "ab")

    assert assembled.corpus.column("track_keys").to_pylist() == [keys("aba"), keys("ab")]
    assert assembled.repeats == 3


def test_a_track_that_ends_one_playlist_and_begins_the_next_is_not_a_repeat():
    assembled = cleaned(scanned((0, "p", list("ab")), (1, "q", list("ba"))), "ab")

    assert assembled.corpus.column("track_keys").to_pylist() == [keys("ab"), keys("ba")]
    assert assembled.repeats == 0


def test_the_same_track_around_an_unknown_one_is_a_repeat():
    assert cleaned(scanned((0, "p", ["a", "x", "a", "b"])), "ab").corpus.column("track_keys").to_pylist() == [
        keys("ab")
    ]


def test_an_entry_whose_playlist_has_no_head_is_an_error():
    exploded = explode(scanned((0, "p", ["a"]), (9, "q", ["b"])))
    entries = pa.Table.from_batches([exploded.entries])

    with pytest.raises(ValueError, match="position 9"):
        assemble(entries, pa.Table.from_batches([exploded.heads.slice(0, 1)]))
    with pytest.raises(ValueError, match="position 0"):
        assemble(entries, pa.Table.from_batches([exploded.heads.slice(1, 1)]))


def test_nothing_assembles_into_an_empty_corpus():
    assembled = assemble(ENTRIES.empty_table(), HEADS.empty_table())

    assert (assembled.corpus.num_rows, assembled.too_short.num_rows, assembled.repeats) == (0, 0, 0)
    assert assembled.corpus.schema == CORPUS


def test_assembling_agrees_with_a_slow_way_on_random_playlists():
    rng = random.Random(3)
    lists = [[rng.choice("abcdefgh") for _ in range(rng.randrange(6))] for _ in range(200)]
    batch = scanned(*[(rng.randrange(1000) * 1000 + place, f"p{place}", tracks) for place, tracks in enumerate(lists)])

    assembled = cleaned(batch, "abcd")

    expected = {}
    for row in batch.to_pylist():
        tracks = [track for track in row["track_ids"] if track in "abcd"]
        tracks = [track for place, track in enumerate(tracks) if place == 0 or tracks[place - 1] != track]
        if len(set(tracks)) >= 2:
            expected[row["position"]] = keys("".join(tracks))
    assert dict(sorted(expected.items())) == dict(
        zip(assembled.corpus["position"].to_pylist(), assembled.corpus["track_keys"].to_pylist(), strict=True)
    )
    assert assembled.corpus.num_rows + assembled.too_short.num_rows == 200


def test_a_playlist_that_is_too_short_becomes_a_reject_with_its_counts():
    rejects = too_short_rejects(cleaned(scanned((0, "p7", ["a", "x", "y"]), (1, "q", ["a", "b"])), "ab"))

    assert rejects.schema == REJECTS
    assert rejects.to_pylist() == [
        {
            "table": "playlists",
            "track_id": None,
            "modality": None,
            "stage": "validate",
            "reason": "playlist_too_short",
            "detail": "playlist p7: 1 known of 3 listed tracks, 2 needed",
        }
    ]


def test_the_corpus_in_order_is_the_same_however_it_was_cut_and_came():
    whole, reordered = corpus("ab", "cde", "ba", "da"), corpus("da", "ba", "ab", "cde")

    ordered = in_content_order([whole]).column("track_keys")

    assert sorted(ordered.to_pylist()) == sorted(whole.column("track_keys").to_pylist())
    assert in_content_order([whole.slice(2), whole.slice(0, 2)]).column("track_keys").equals(ordered)
    assert in_content_order([reordered]).column("track_keys").equals(ordered)


def test_the_digest_does_not_depend_on_batches_or_positions():
    whole = corpus("ab", "cde", "ba", "da")
    moved = whole.set_column(0, CORPUS.field(0), pa.array(np.array([3, 70, 1 << 40, 1 << 50])))

    digest = corpus_digest([whole])

    assert len(bytes.fromhex(digest)) == 16
    assert corpus_digest([whole.slice(3), whole.slice(1, 2), whole.slice(0, 1)]) == digest
    assert corpus_digest([moved]) == digest


def test_the_digest_changes_with_tracks_with_their_order_and_with_the_ends_of_playlists():
    variants = [
        corpus("ab", "cd"),
        corpus("ab", "ce"),
        corpus("ba", "cd"),
        corpus("abc", "d"),
        corpus("ab", "cd", "cd"),
        corpus(),
    ]

    assert len({corpus_digest([variant]) for variant in variants}) == len(variants)


def test_the_digest_of_a_small_corpus_is_that_of_its_bytes():
    playlists = [hashlib.blake2b(b"".join(keys(letters)), digest_size=16).digest() for letters in ("ab", "cab")]

    expected = hashlib.blake2b(b"".join(sorted(playlists)), digest_size=16).hexdigest()
    assert corpus_digest([corpus("ab", "cab")]) == expected
    assert corpus_digest([corpus("cab", "ab")]) == expected


def test_a_corpus_without_playlists_is_refused():
    require_playlists(pa.Table.from_batches([corpus("ab")]))
    with pytest.raises(InvalidDataError, match="No playlist lists two tracks of the catalog"):
        require_playlists(CORPUS.empty_table())
