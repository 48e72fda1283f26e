"""Some tracks of a token table are unique; others share their tokens, with the same song or with different ones."""

import json
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from tracktokens.codebooks.metrics.token_uniqueness import UNKNOWN_SONG, TokenTableAccumulator
from tracktokens.codebooks.tokens.code_matrix import tuple_buckets


def measured(codes, songs):
    gathered = TokenTableAccumulator()
    gathered.update(np.array(codes, np.int16).reshape(-1, 5), np.array(songs, np.uint64))
    return gathered.finalize()


def test_tracks_are_divided_into_own_tokens_same_song_and_collisions():
    own, same, mixed, none = [1, 1, 1, 1, 1], [2, 2, 2, 2, -1], [3, 3, -1, 3, 3], [-1] * 5
    quality = measured([own, same, mixed, same, mixed, mixed, none], [10, 20, 30, 20, 31, 30, 40])
    assert (quality.tracks, quality.distinct_tuples) == (7, 4)
    assert quality.uniquely_identified_tracks == 2  # the first and the one without tokens
    assert quality.uniquely_identified_track_rate == 2 / 7
    assert quality.conflict_rate == 5 / 7
    assert quality.same_song_tracks == 2
    assert quality.colliding_tracks == 3  # the two ids of song 30 as well
    assert quality.collision_rate == 3 / 7
    assert (quality.tokenless_tracks, quality.unknown_song_tracks) == (1, 0)
    assert (quality.largest_set_tracks, quality.largest_set_tuple) == (3, (3, 3, -1, 3, 3))


def test_the_same_song_is_one_whatever_its_tokens():
    quality = measured([[1] * 5, [2] * 5], [7, 7])
    assert (quality.uniquely_identified_tracks, quality.same_song_tracks, quality.colliding_tracks) == (2, 0, 0)


def test_tracks_of_unknown_title_and_artist_are_not_the_same_song():
    assert measured([[1] * 5] * 3, [UNKNOWN_SONG] * 3).colliding_tracks == 3
    quality = measured([[1] * 5] * 3, [UNKNOWN_SONG, 5, 5])
    assert (quality.colliding_tracks, quality.unknown_song_tracks) == (3, 1)
    assert measured([[1] * 5], [UNKNOWN_SONG]).colliding_tracks == 0


def test_of_equally_common_tuples_the_first_in_order_is_the_largest():
    quality = measured([[4] * 5, [2] * 5, [4] * 5, [2] * 5], [1, 2, 3, 4])
    assert (quality.largest_set_tracks, quality.largest_set_tuple) == (2, (2, 2, 2, 2, 2))


def random_table(seed, rows=3000):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 3, (rows, 5)).astype(np.int16)
    songs = codes.astype(np.int64) @ [1, 4, 16, 64, 256] + rng.choice([1000, 2000], rows, p=[0.8, 0.2])
    songs[rng.random(rows) < 0.02] = UNKNOWN_SONG
    return codes, songs.astype(np.uint64)


@pytest.mark.parametrize("seed", range(4))
def test_quality_agrees_with_a_count_by_dictionary(seed):
    codes, songs = random_table(seed)
    quality = measured(codes, songs)
    rows = [tuple(row) for row in codes.tolist()]
    sizes, songs_of = Counter(rows), {}
    for row, song in zip(rows, songs.tolist(), strict=True):
        songs_of.setdefault(row, []).append(song)
    one_song = {row for row, found in songs_of.items() if len(set(found)) == 1 and UNKNOWN_SONG not in found}
    assert quality.distinct_tuples == len(sizes)
    assert quality.uniquely_identified_tracks == sum(size == 1 for size in sizes.values())
    assert quality.same_song_tracks == sum(sizes[row] for row in one_song if sizes[row] > 1)
    assert quality.same_song_tracks + quality.uniquely_identified_tracks + quality.colliding_tracks == len(rows)
    assert quality.tokenless_tracks == sizes[(-1,) * 5]
    assert quality.largest_set_tracks == max(sizes.values())


@pytest.mark.parametrize("buckets", [1, 2, 16])
def test_parts_that_are_divided_by_tuple_merge_to_the_whole_in_any_order(buckets):
    codes, songs = random_table(9)
    numbers = tuple_buckets(codes, buckets)
    merged = TokenTableAccumulator()
    for bucket in np.random.default_rng(0).permutation(buckets):
        part = TokenTableAccumulator()
        part.update(codes[numbers == bucket], songs[numbers == bucket])
        merged.merge(part)
    merged.merge(TokenTableAccumulator())
    assert merged.finalize() == measured(codes, songs)


def test_an_empty_table_has_no_rates_and_is_json_all_the_same():
    quality = measured([], [])
    assert quality.uniquely_identified_track_rate is quality.collision_rate is quality.largest_set_tuple is None
    assert (quality.tracks, quality.largest_set_tracks) == (0, 0)
    json.dumps(asdict(quality), allow_nan=False)
    json.dumps(asdict(measured([[1, -1, 2, 3, 4]], [1])), allow_nan=False)


def test_songs_of_other_tracks_are_refused():
    with pytest.raises(ValueError, match="do not match 1 rows"):
        measured([[1] * 5], [1, 2])
