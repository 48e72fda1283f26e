"""Codes joined to tracks."""

import pyarrow as pa

from tracktokens.transforms.publishing import CODED_ROWS, FAILED_ROWS, code_columns, encoding_rejects


def test_codes_reach_their_tracks_and_the_rest_is_null() -> None:
    coded = pa.table([[0, 4, 4], [2, 0, 2], [7, 0, 32766]], schema=CODED_ROWS)
    columns = code_columns(coded, 3)
    assert columns["playlist"].to_pylist() == [None, None, 7]
    assert columns["audio"].to_pylist() == [0, None, 32766]
    assert columns["lyrics"].to_pylist() == [None, None, None]


def test_a_track_whose_input_failed_is_named_in_the_rejects() -> None:
    failed = pa.table([[4], [1], ["audio_undecodable"], ["unknown format"]], schema=FAILED_ROWS)
    [reject] = encoding_rejects(failed, pa.chunked_array([["a", "b"]])).to_pylist()
    assert reject == {
        "table": "tracks",
        "track_id": "b",
        "modality": "audio",
        "stage": "encode",
        "reason": "audio_undecodable",
        "detail": "unknown format",
    }
