"""Rejects are counted by reason, and those of precomputed embeddings by modality."""

from collections import Counter

from tracktokens.schemas.tables.rejects import (
    ID_MISSING,
    ID_WRONG_TYPE,
    TRACKS_TABLE,
    VECTORS_TABLE,
    WRONG_TYPE,
    make_rejects,
)
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.rejects import tag_rejects


def test_rows_of_embeddings_have_counts_of_their_own() -> None:
    tracks = {"table": TRACKS_TABLE, "stage": "read"}
    vectors = {"table": VECTORS_TABLE, "stage": "read", "modality": "audio"}
    rejects = make_rejects(
        [
            {**tracks, "reason": ID_MISSING},
            {**tracks, "reason": WRONG_TYPE, "modality": "tags"},
            {**tracks, "reason": WRONG_TYPE, "modality": "lyrics"},
            {**vectors, "reason": ID_WRONG_TYPE},
            {**vectors, "reason": ID_WRONG_TYPE},
        ]
    )
    counts: Counter[str] = Counter()
    for output in tag_rejects(0, rejects):
        if output.tag == COUNTS_TAG:
            counts.update(dict([output.value]))
    assert counts == {
        "rejects/id_missing": 1,
        "rejects/wrong_type": 2,
        "rejects/vectors/audio/id_wrong_type": 2,
        "rows_rejected": 1,
    }
