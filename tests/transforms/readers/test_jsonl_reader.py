from tracktokens.schemas.tables.rejects import MALFORMED_ROW


def test_lines_that_are_not_json_objects_are_malformed_alone(scan_bytes, tmp_path):
    bad = [b"{", b"5", b'["track_id"]', b"null", b"\xff\xfe", b'{"track_id": "x"} {}', b"[" * 100_000, b"\x00"]
    batches = scan_bytes(tmp_path, "t.jsonl", b'{"track_id":"a"}\n\n' + b"\n \n".join(bad) + b'\r\n{"track_id":"b"}')
    assert [(row["track_id"], row["position"]) for row in batches.rows] == [("a", 0), ("b", 9)]
    assert batches.reasons == [MALFORMED_ROW] * 8
    assert batches.details[1] == "t.jsonl, row 3: '5' is not a JSON object"


def test_nan_in_json_is_null(scan_bytes, tmp_path):
    [batch] = scan_bytes(tmp_path, "t.jsonl", b'{"track_id":"a","year":NaN,"popularity":NaN}\n')
    assert (batch.rows.column("year").null_count, batch.rejects.num_rows) == (1, 0)


def test_keys_that_are_not_utf8_can_still_be_reported(scan_bytes, tmp_path):
    [batch] = scan_bytes(tmp_path, "t.jsonl", b'{"track_id":"a","\xff":1}\n')
    assert batch.ignored_columns == ("\\udcff",)
