"""Terms of tracks."""

import numpy as np
import pyarrow as pa

from tracktokens.transforms.release.track_terms import CommonTerms, track_terms


def tracks_of(*rows: tuple[str | None, str | None, list[str] | None]) -> pa.Table:
    titles, artists, tags = zip(*rows, strict=True)
    return pa.table(
        [pa.array(titles, pa.string()), pa.array(artists, pa.string()), pa.array(tags, pa.list_(pa.string()))],
        names=["title", "artist", "tag_names"],
    )


def test_terms_are_words_of_the_title_tags_and_the_whole_artist_each_once_a_track() -> None:
    tracks = tracks_of(
        ("Blue Blue Moon (Live)", "The Band", ["Jazz", "slow jazz", "moon"]),
        (None, None, None),
        ("Lune d'été", "Ärzte", None),
    )
    found = {(row["row"], row["term"]) for row in track_terms(tracks).to_pylist()}
    assert found == {
        *((0, term) for term in ("blue", "moon", "live", "jazz", "slow jazz", "the band")),
        *((2, term) for term in ("lune", "d'été", "ärzte")),
    }
    assert track_terms(tracks).num_rows == len(found)


def test_terms_are_counted_by_code_the_commonest_first() -> None:
    tracks = tracks_of(("a b", None, None), ("a", None, None), ("a c", None, None), ("a d", None, None))
    common = CommonTerms.of(track_terms(tracks))
    counted = common.by_code(np.array([1, 0, 1, 2]), 2)
    assert common.names.to_pylist() == ["a", "b", "c", "d"]
    assert common.everywhere.tolist() == [4, 1, 1, 1]
    assert counted.starts.tolist() == [0, 1, 4]
    assert counted.terms.tolist() == [0, 0, 1, 2, 0, 3]
    assert counted.counts.tolist() == [1, 2, 1, 1, 1, 1]


def test_the_best_terms_of_a_code_are_those_that_others_lack() -> None:
    titles = ["moon a", "moon b", "moon", "sun", "sun", "a", "b", "sun a"]
    common = CommonTerms.of(track_terms(tracks_of(*[(title, None, None) for title in titles])))
    counted = common.by_code(np.array([0, 0, 0, 1, 1, 3, 3, 1]), 3)
    assert counted.best(0, 1) == ("moon",)
    assert counted.best(1, 1) == ("sun",)
    assert counted.best(2, 8) == ()


def test_tracks_without_terms_have_no_best_ones() -> None:
    nothing = CommonTerms.of(track_terms(tracks_of((None, None, None))))
    assert nothing.by_code(np.array([0]), 1).best(0, 8) == ()
