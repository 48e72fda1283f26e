import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.readers import row_sizes, text_stream
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import find_fragments
from tracktokens.transforms.readers.row_chunks import BATCH_BYTES


def test_a_corrupt_parquet_page_is_refused(scan_bytes, tmp_path):
    pq.write_table(
        pa.table({"track_id": [f"{n:050}" for n in range(5000)]}), tmp_path / "t.parquet", use_dictionary=False
    )
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[4:60] = b"\xff" * 56
    with pytest.raises(InvalidDataError, match=r"t\.parquet cannot be read"):
        scan_bytes(tmp_path, "t.parquet", bytes(data))


def test_a_file_that_is_not_parquet_is_refused_by_name(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and then nothing that belongs there")
    with pytest.raises(InvalidDataError, match=r"t\.parquet cannot be read: .*; write the file again") as error:
        find_fragments(str(tmp_path), "tracks")
    assert "\n" not in str(error.value)


def test_reading_a_row_group_does_not_read_the_others(tmp_path):
    pq.write_table(pa.table({"track_id": list("abcd"), "x": [1] * 4}), tmp_path / "t.parquet", row_group_size=2)
    second = find_fragments(str(tmp_path), "tracks")[1]
    [first_batch, second_batch] = read_fragment(second, TRACKS, batch_rows=1)
    assert [b.rows.column("track_id").to_pylist() for b in (first_batch, second_batch)] == [["c"], ["d"]]
    assert first_batch.ignored_columns == ("x",)


LONG = text_stream.MAX_ROW_BYTES + 1


def test_a_value_that_repeats_in_a_dictionary_is_not_decoded_for_all_rows(scan, tmp_path):
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), pa.array(["a" * (1 << 20)]))
    ids = [str(number) for number in range(500)]
    pq.write_table(pa.table({"track_id": ids, "lyrics": text}), tmp_path / "t.parquet", compression="zstd")
    before = pa.total_allocated_bytes()
    peak, rows = 0, 0
    for fragment in find_fragments(str(tmp_path), "tracks"):
        for batch in read_fragment(fragment, TRACKS):
            rows += batch.rows.num_rows
            peak = max(peak, pa.total_allocated_bytes() - before)
            assert set(pc.binary_length(batch.rows["lyrics"]).to_pylist()) == {1 << 20}
    assert rows == 500
    assert peak < 4 * BATCH_BYTES < 500 << 20
    assert (tmp_path / "t.parquet").stat().st_size < 100_000


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("lists", [True, False])
def test_a_row_that_is_too_long_is_malformed_and_others_are_read(scan, tmp_path, dictionary, lists):
    column = {"tags": [["x"], ["a" * (LONG // 2), "b" * (LONG // 2 + 1)], None, ["y", "x"]]}
    column = column if lists else {"lyrics": ["x", "a" * LONG, None, "y"]}
    pq.write_table(pa.table({"track_id": list("abcd"), **column}), tmp_path / "t.parquet", use_dictionary=dictionary)
    scanned = scan(tmp_path)
    assert [row["track_id"] for row in scanned.rows] == list("acd")
    [name] = column
    assert [row[name] for row in scanned.rows] == ([["x"], None, ["y", "x"]] if lists else ["x", None, "y"])
    assert scanned.details == [f"t.parquet, row group 1, row 2: the row is longer than {LONG - 1} bytes"]
    assert [row["position"] for row in scanned.rows] == [0, 2, 3]


def test_a_small_file_with_much_text_is_refused_before_it_is_decompressed(tmp_path, monkeypatch):
    monkeypatch.setattr(row_sizes, "LARGE_CHUNK_BYTES", 1 << 20)
    for name, values in {"compression": ["a" * LONG, "b"], "rows": ["a" * 3 * LONG]}.items():
        (tmp_path / name).mkdir()
        table = pa.table({"track_id": list("ab")[: len(values)], "lyrics": values})
        pq.write_table(table, tmp_path / name / "t.parquet", compression="zstd", use_dictionary=False)
        [fragment] = find_fragments(str(tmp_path / name), "tracks")
        with pytest.raises(InvalidDataError, match=r"column lyrics has \d+ bytes .*: shorten its values"):
            list(read_fragment(fragment, TRACKS))


def test_a_run_of_equal_elements_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(row_sizes, "MAX_CHUNK_VALUES", 1 << 10)
    pq.write_table(pa.table({"track_id": ["a"], "tags": [["x"] * 1025]}), tmp_path / "t.parquet")
    [fragment] = find_fragments(str(tmp_path), "tracks")
    with pytest.raises(InvalidDataError, match="tags has 1025 values in a row group, over 1024: write"):
        list(read_fragment(fragment, TRACKS))
