import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.rejects import MALFORMED_ROW
from tracktokens.transforms.readers.jsonl_reader import json_columns


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


def test_columns_are_looked_for_until_the_required_ones_are_found(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"playlist_id":"p"}\n' * 150 + '{"playlist_id":"p","track_ids":[]}\n' + '{"late":1}\n')
    assert json_columns(str(path)) == ["playlist_id"]
    assert json_columns(str(path), required=["playlist_id", "track_ids"]) == ["playlist_id", "track_ids"]
    assert json_columns(str(path), required=["track_id"]) == ["playlist_id", "track_ids", "late"]


def test_lines_before_the_first_object_do_not_hide_it(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("[INFO] exporting\n" * 150 + '{"track_id":"a"}\n')
    assert json_columns(str(path), ["track_id"]) == ["track_id"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[{"track_id":"a"}]\n', "is a JSON array; write one object per line"),
        ('{\n  "track_id": "a"\n}\n', "has JSON objects of several lines; .*`jq -c .`"),
        ('{"total":1,"items":[{"track_id":"a"}]}\n', r"its rows in an array items; .*`jq -c '\.\[\"items\"\]\[\]'`"),
        ('[\n  {"track_id":"a"},\n  {"track_id":"b"}\n]\n', "is a JSON array; write one object per line"),
        ("[1]\n[2]\n", "has 2 lines and none of them is a JSON object"),
    ],
)
def test_json_that_is_not_one_object_per_line_is_refused_with_the_remedy(tmp_path, text, fault):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InvalidDataError, match=fault):
        json_columns(str(tmp_path / "t.json"), ["track_id"])


def test_a_key_with_two_values_makes_a_row_malformed(scan_bytes, tmp_path):
    data = (
        b'{"track_id":"a","title":"x","title":"y"}\n'
        b'{"track_id":"b","title":"x","title":"x"}\n'
        b'{"track_id":"c","title":"title","album":"title","extra":1,"extra":2}\n'
        b'{"track_id":"d","extra":{"title":1,"track_id":2}}\n'
    )
    batches = scan_bytes(tmp_path, "t.jsonl", data)
    assert [row["track_id"] for row in batches.rows] == ["b", "c", "d"]
    assert batches.reasons == [MALFORMED_ROW]
    assert batches.details[0].endswith("has the key title more than once")
