"""Columns and values that are not used."""

from collections import Counter
from pathlib import Path

from tracktokens.schemas.tables.rejects import REJECTS, make_rejects
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.column_losses import (
    ColumnLosses,
    IgnoredColumns,
    column_counts,
    column_losses,
    reject_example,
)
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import find_fragments
from tracktokens.transforms.store import files


def counts_of(path: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for fragment in find_fragments(str(path), "tracks"):
        for batch in read_fragment(fragment, TRACKS):
            for name, count in column_counts(batch):
                counts[name] += count
    return counts


def test_values_are_counted_by_column_and_reason(tmp_path: Path) -> None:
    rows = [
        '{"track_id": "a", "year": "?", "tags": ["x", 1]}',
        '{"track_id": "b", "year": 1999, "tags": [2, 3]}',
        '{"track_id": "c", "year": null, "tags": "no list at all"}',
        '{"track_id": 4, "year": "lost with its row"}',
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    year, tags = sorted(column_losses(counts_of(tmp_path / "t.jsonl")), key=lambda column: column.name != "year")
    assert year == ColumnLosses("year", kept=1, lost=1, rejected={"wrong_type": 1})
    assert (tags.kept, tags.lost) in {(1, 2), (2, 1)}  # text may be a list of one element
    assert tags.describe().startswith("tags (wrong_type ")


def test_a_column_that_some_file_names_differently_has_a_hint(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("track_id,title,mood\n1,x,y\n")
    (tmp_path / "b.csv").write_text("track_id,Title,Artist\n2,x,y\n")
    ignored = IgnoredColumns.of_counts(counts_of(tmp_path))
    assert ignored == IgnoredColumns(["Artist", "Title", "mood"], {"Title": "title", "Artist": "artist"})
    assert ignored.describe() == "Artist, Title (did you mean artist, title?), mood"


def test_a_key_of_some_json_rows_has_a_hint_where_most_rows_lack_the_right_one(tmp_path: Path) -> None:
    rows = ['{"track_id": "a", "title": "x"}', '{"track_id": "b", "Title": "x"}', '{"track_id": "c", "Title": "y"}']
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    assert IgnoredColumns.of_counts(counts_of(tmp_path / "t.jsonl")).meant == {"Title": "title"}


def test_a_column_beside_the_one_that_it_resembles_has_no_hint(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("track_id,title,Title\n1,x,y\n")
    assert IgnoredColumns.of_counts(counts_of(tmp_path)).describe() == "Title"


def test_many_ignored_columns_are_counted() -> None:
    names = [f"x{number}" for number in range(8)]
    assert IgnoredColumns.of_names(names, ()).describe() == "x0, x1, x2, x3, x4, 3 more"


def test_an_unprintable_name_does_not_break_the_line() -> None:
    assert IgnoredColumns.of_names(["a\nb"], ()).describe() == "'a\\nb'"


def test_the_example_is_a_value_of_the_columns(tmp_path: Path) -> None:
    rejects = [
        {"table": "tracks", "track_id": "a", "stage": "read", "reason": "wrong_type", "detail": "tags: 1 is no text"},
        {"table": "tracks", "track_id": "b", "stage": "read", "reason": "wrong_type", "detail": "year: '?' is no year"},
    ]
    files.write_batches(str(tmp_path / "r.parquet"), REJECTS, [make_rejects(rejects)])
    losses = [ColumnLosses("year", 0, 1, {"wrong_type": 1})]
    assert reject_example(str(tmp_path), losses) == "track 'b': year: '?' is no year"
    assert reject_example(str(tmp_path), []) is None
