"""Terms of tracks."""

import numpy as np
import pyarrow as pa

from tracktokens.transforms.release.track_terms import term_counts, track_terms


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


def test_terms_are_counted_by_group_the_commonest_first() -> None:
    terms = track_terms(tracks_of(("a b", None, None), ("a", None, None), ("a c", None, None)))
    names, counts = term_counts(terms, np.array([1, 0, 1]), 2)
    assert names.to_pylist() == ["a", "b", "c"]
    assert counts.tolist() == [[1, 0, 0], [2, 1, 1]]
