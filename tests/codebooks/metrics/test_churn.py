"""Churn counts changed tokens, by track and code."""

import json
from collections import Counter
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.metrics.churn import AffectedTrack, ChurnAccumulator, CodeMove, moved_codes
from tracktokens.schemas.modalities import MODALITIES

RESERVED = 8


def measured(old, new, popularity=None, ids=None, worst=100):
    old, new = (np.array(codes, np.int16).reshape(-1, 5) for codes in (old, new))
    gathered = ChurnAccumulator(RESERVED, worst)
    names = pa.array(ids if ids is not None else [f"t{row}" for row in range(len(old))], pa.string())
    gathered.update(names, old, new, None if popularity is None else np.array(popularity, np.float64))
    return gathered.finalize()


def test_churn_is_what_is_worked_out_by_hand():
    old = [[0, 1, 2, -1, -1], [0, 1, 2, 3, -1], [5, 1, 2, 3, 4], [5, -1, 2, 3, -1]]
    new = [[0, 1, 2, -1, -1], [0, 1, 7, 3, 4], [0, 1, 2, -1, 4], [0, -1, 2, -1, -1]]
    churn = measured(old, new, popularity=[10, 5, 1, 4])
    assert (churn.tracks, churn.changed_tracks, churn.churn) == (4, 3, 3 / 4)
    assert churn.churn_by_popularity == 10 / 20
    assert churn.tracks_by_changes == (1, 0, 3, 0, 0, 0)
    playlist, lyrics, audio = (churn.modalities[name] for name in ("playlist", "lyrics", "audio"))
    assert (playlist.changed, playlist.gained, playlist.lost, playlist.churn) == (2, 0, 0, 1 / 2)
    assert (playlist.churn_by_popularity, playlist.recoded) == (5 / 20, 2 / 4)
    assert (playlist.codes_gone, playlist.codes_new) == ((5,), ())
    assert (lyrics.changed, lyrics.gained, lyrics.lost, lyrics.churn, lyrics.recoded) == (0, 0, 2, 1 / 2, 0)
    assert (lyrics.codes_gone, lyrics.codes_new) == ((), ())
    assert (audio.changed, audio.gained, audio.lost, audio.recoded) == (0, 1, 0, 0)
    assert churn.modalities["metadata"].codes_new == (7,)
    assert churn.modalities["tags"].recoded == 0
    assert list(churn.modalities) == list(MODALITIES)


def test_most_changed_tracks_come_first_then_the_popular_then_by_id():
    same, one, two = [1, 1, 1, 1, 1], [2, 1, 1, 1, 1], [1, 2, 1, 1, -1]
    churn = measured(
        [same] * 5, [one, two, same, two, two], popularity=[99, 1, 99, 5, 1], ids=["e", "d", "c", "b", "a"]
    )
    changed = ("tags", "audio")
    assert churn.worst == (
        AffectedTrack("b", changed, 5),
        AffectedTrack("a", changed, 1),
        AffectedTrack("d", changed, 1),
        AffectedTrack("e", ("playlist",), 99),
    )


def test_without_popularity_the_worst_are_listed_by_changes_and_id():
    churn = measured([[1] * 5] * 3, [[2] * 5, [1, 1, 1, 1, 2], [2] * 5], ids=["b", "a", "ä"], worst=2)
    assert churn.worst == (AffectedTrack("b", MODALITIES, None), AffectedTrack("ä", MODALITIES, None))
    assert churn.churn_by_popularity is None


def random_tables(rows=900):
    rng = np.random.default_rng(0)
    old, new = rng.integers(-1, RESERVED, (2, rows, 5)).astype(np.int16)
    return old, np.where(rng.random((rows, 5)) < 0.4, new, old), rng.lognormal(0, 3, rows).round(1)


def test_churn_agrees_with_looking_at_every_token():
    old, new, popularity = random_tables()
    churn = measured(old, new, popularity)
    for number, modality in enumerate(MODALITIES):
        kinds, changed_popularity = Counter(), 0.0
        for before, now, popular in zip(old[:, number], new[:, number], popularity, strict=True):
            kind = "same" if before == now else "gained" if before < 0 else "lost" if now < 0 else "changed"
            kinds[kind if before >= 0 or now >= 0 else "none"] += 1
            changed_popularity += popular * (before != now)
        found = churn.modalities[modality]
        assert (found.changed, found.gained, found.lost) == (kinds["changed"], kinds["gained"], kinds["lost"])
        assert found.recoded == kinds["changed"] / (kinds["changed"] + kinds["same"])
        assert found.churn_by_popularity == pytest.approx(changed_popularity / popularity.sum())
    changes = [sum(left != right for left, right in zip(*rows, strict=True)) for rows in zip(old, new, strict=True)]
    assert churn.tracks_by_changes == tuple(changes.count(number) for number in range(6))
    order = sorted(range(900), key=lambda row: (-changes[row], -popularity[row], f"t{row}"))
    assert [track.track_id for track in churn.worst] == [f"t{row}" for row in order[:100]]


def test_parts_merge_to_the_same_result_in_any_order():
    old, new, popularity = random_tables()
    whole = measured(old, new, popularity, worst=7)
    for seed in range(3):
        merged = ChurnAccumulator(RESERVED, 7)
        for rows in np.array_split(np.random.default_rng(seed).permutation(900), 5):
            part = ChurnAccumulator(RESERVED, 7)
            part.update(pa.array([f"t{row}" for row in rows]), old[rows], new[rows], popularity[rows])
            merged.merge(part)
        assert merged.finalize() == whole


def test_equal_tables_have_no_churn():
    churn = measured([[1, 2, 3, -1, 4]] * 2, [[1, 2, 3, -1, 4]] * 2, popularity=[1, 1])
    assert (churn.churn, churn.churn_by_popularity, churn.worst) == (0, 0, ())
    assert all(modality.churn == 0 for modality in churn.modalities.values())
    assert churn.modalities["lyrics"].recoded is None


def test_no_tracks_have_no_churn_and_it_is_json_all_the_same():
    churn = measured([], [], [])
    assert (churn.tracks, churn.churn, churn.churn_by_popularity, churn.modalities["audio"].churn) == (0,) + (None,) * 3
    json.dumps(asdict(churn), allow_nan=False)
    full = measured([[1] * 5], [[2] * 5], [3])
    assert json.loads(json.dumps(asdict(full)))["worst"] == [
        {"track_id": "t0", "modalities": list(MODALITIES), "popularity": 3.0}
    ]


def test_tables_of_other_tracks_and_codes_that_are_not_reserved_are_refused():
    with pytest.raises(ValueError, match="2 old and 1 new rows"):
        measured([[1] * 5] * 2, [[1] * 5])
    with pytest.raises(ValueError, match="1 ids"):
        measured([[1] * 5] * 2, [[1] * 5] * 2, ids=["a"])
    with pytest.raises(ValueError, match="code 8 is out of range: the codebook size is 8"):
        measured([[1] * 5], [[1, 1, 8, 1, 1]])
    with pytest.raises(ValueError, match="negative"):
        measured([[1] * 5], [[1] * 5], popularity=[-1])


def make_codebook(centroids, encoder_id="encoder"):
    return Codebook("audio", encoder_id, Preprocessing(False), np.asarray(centroids, np.float32), 64)


def test_the_codes_that_moved_furthest_are_listed():
    old = make_codebook([[0, 0], [10, 0], [20, 0], [30, 0]])
    new = make_codebook([[0, 0], [19, 0], [20, 2], [30, 1]])
    assert moved_codes(old, new) == (CodeMove(1, 81, 2), CodeMove(2, 4, 2), CodeMove(3, 1, 3))
    assert moved_codes(old, new, most=1) == (CodeMove(1, 81, 2),)
    assert moved_codes(old, old) == ()


def test_codes_of_one_codebook_alone_have_not_moved():
    old = make_codebook([[0, 0], [10, 0]])
    assert moved_codes(old, make_codebook([[1, 0]])) == (CodeMove(0, 1, 0),)
    assert moved_codes(old, make_codebook([[1, 0], [10, 0], [7, 7]])) == (CodeMove(0, 1, 0),)
    assert moved_codes(old, make_codebook(np.zeros((0, 2)))) == ()


def test_codes_of_another_space_cannot_be_followed():
    assert moved_codes(make_codebook([[0, 0]]), make_codebook([[0, 1]], encoder_id="another")) is None
