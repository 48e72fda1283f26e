import gzip

import pytest

from tracktokens.transforms.readers.fragments import estimate_rows, find_fragments


def test_rows_of_long_files_are_estimated_from_samples(tmp_path):
    lines = b"".join(b'{"track_id":"%030d","lyrics":"la"}\n' % row for row in range(150_000))
    cut = b"track_id,lyrics\n" + b"".join(b'%d,"%b"\n' % (row, b"la\n" * 500_000) for row in range(8))
    rows = b"track_id,lyrics\n" + b"".join(b'%030d,"la\nla\nla"\n' % row for row in range(150_000))
    files = {"t.jsonl": (lines, 150_000), "t.jsonl.gz": (gzip.compress(lines, 1), 150_000), "t.csv": (rows, 150_000)}
    for name, (data, expected) in (files | {"cut.csv": (cut, 8)}).items():
        (tmp_path / name).write_bytes(data)
        estimate = estimate_rows(find_fragments(str(tmp_path / name), "tracks"))
        assert estimate == pytest.approx(expected, rel=0.15), name
        assert estimate == estimate_rows(find_fragments(str(tmp_path / name), "tracks"))


def test_long_rows_at_the_beginning_do_not_bias_an_estimate(tmp_path):
    lyrics = [b"la, la|" * 150 if row < 10_000 else b"" for row in range(300_000)]
    lines = [b'{"track_id":"%030d","lyrics":"%b"}\n' % row for row in enumerate(lyrics)]
    rows = [b'%030d,"%b",2001\n' % (row, text.replace(b"|", b"\n")) for row, text in enumerate(lyrics)]
    (tmp_path / "t.jsonl").write_bytes(b"".join(lines))
    (tmp_path / "t.csv").write_bytes(b"track_id,lyrics,year\n" + b"".join(rows))
    for name in ("t.jsonl", "t.csv"):
        estimate = estimate_rows(find_fragments(str(tmp_path / name), "tracks"))
        assert estimate == pytest.approx(300_000, rel=0.1), name
