import bz2
import gzip
import random

import pyarrow as pa
import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers import text_stream
from tracktokens.transforms.readers.text_stream import open_text, split_lines


def zstd(data):
    return pa.compress(data, "zstd", asbytes=True)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_lines_keep_their_ends_at_any_block_size(block):
    text = b"a\n\nb\r\n\r\nc\r\rd\xff\x0b\x85\n\re"
    lines = split_lines(text[start : start + block] for start in range(0, len(text), block))
    assert b"|".join(lines) == b"a\n|\n|b\r\n|\r\n|c\r|\r|d\xff\x0b\x85\n|\r|e"


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_that_is_too_long_is_truncated_and_the_next_is_complete(monkeypatch, end):
    monkeypatch.setattr(text_stream, "MAX_ROW_BYTES", 10)
    text = b"x" * 95 + end + b"next" + end
    for block in (1, 2, 5, 96, 97, 200):
        long, *others = split_lines(text[start : start + block] for start in range(0, len(text), block))
        assert len(long) > 10 and others == [b"next" + end]


def test_lines_of_a_file_start_after_an_offset(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(b"first\nsecond\nthird")
    with open_text(str(tmp_path / "t.jsonl")) as text:
        assert list(text.lines_after(2)) == [b"second\n", b"third"]


def test_random_bytes_in_compressed_and_parquet_files_are_refused(scan, tmp_path):
    source = random.Random(9)
    for name in ("t.parquet", "t.csv.gz", "t.jsonl.bz2", "t.jsonl.zst"):
        (tmp_path / name).write_bytes(source.randbytes(500))
        with pytest.raises(InvalidDataError, match=f"{name} cannot be read: .*; write the file again"):
            scan(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "pack"), [("t.jsonl.gz", gzip.compress), ("t.jsonl.bz2", bz2.compress), ("t.jsonl.zst", zstd)]
)
def test_a_truncated_compressed_file_is_refused(scan_bytes, tmp_path, name, pack):
    text = b"".join(b'{"track_id":"%d"}\n' % random.Random(row).getrandbits(256) for row in range(2000))
    with pytest.raises(InvalidDataError, match="cannot be read"):
        scan_bytes(tmp_path, name, pack(text)[:-30])
