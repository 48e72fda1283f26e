"""Codes joined to tracks."""

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.quantization.code_join import CODED_ROWS, FAILED_ROWS, by_track_bucket, fill_codes
from tracktokens.transforms.release.write_tokens import encoding_rejects

FAR = 1 << 63
"""A track in the second of two buckets."""


def test_codes_reach_their_tracks_and_the_rest_stays_as_it_was() -> None:
    codes = np.full((3, len(MODALITIES)), -1, np.int16)
    codes[1, 3] = 9
    coded = pa.table([[0, 4, 4], [FAR, 5, FAR], [7, 0, 32766]], schema=CODED_ROWS)
    fill_codes(codes, coded, pa.chunked_array([[5, 6, FAR]], pa.uint64()))
    assert codes.tolist() == [[-1, -1, -1, -1, 0], [-1, -1, -1, 9, -1], [7, -1, -1, -1, 32766]]


def test_a_code_of_a_track_that_is_not_there_is_a_fault() -> None:
    coded = pa.table([[0], [8], [7]], schema=CODED_ROWS)
    with pytest.raises(LookupError, match="1 codes or failures"):
        fill_codes(np.zeros((1, 5), np.int16), coded, pa.chunked_array([[5]], pa.uint64()))


def test_codes_go_to_the_buckets_of_their_tracks() -> None:
    keys = pa.table({"track": pa.array([FAR, 2, 3, FAR + 1], pa.uint64())})
    records = pa.table({"code": pa.array([40, 50], pa.int16())})
    rows = pa.array([1, None, 0, 1], pa.int32())
    sent = dict(by_track_bucket(keys, rows, records, column=4, schema=CODED_ROWS, buckets=2))
    assert {bucket: part.to_pylist() for bucket, part in sent.items()} == {
        0: [{"modality": 4, "track": 3, "code": 40}],
        1: [{"modality": 4, "track": FAR, "code": 50}, {"modality": 4, "track": FAR + 1, "code": 50}],
    }


def test_a_track_whose_input_failed_is_named_in_the_rejects() -> None:
    failed = pa.table([[4], [6], ["audio_undecodable"], ["unknown format"]], schema=FAILED_ROWS)
    tracks = pa.table({"track_id": ["a", "b"], "track": pa.array([5, 6], pa.uint64())})
    [reject] = encoding_rejects(failed, tracks).to_pylist()
    assert reject == {
        "table": "tracks",
        "track_id": "b",
        "modality": "audio",
        "stage": "encode",
        "reason": "audio_undecodable",
        "detail": "unknown format",
    }
