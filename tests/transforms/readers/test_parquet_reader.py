import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import find_fragments


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
