"""Odd trees of files: a folder gives every row of its data files, whatever the names, formats and compressions."""

import bz2
import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.fuzz_catalog import examples
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import find_fragments

pytestmark = [pytest.mark.job, pytest.mark.timeout(1200)]

FOLDERS = (
    "a",
    "a b",
    "year=1999",
    "year=__HIVE_DEFAULT_PARTITION__",
    "artist=AC%2FDC",
    "x.csv",
    "[ab]",
    "c*d",
    "é",
    "#1?%",
)
NAMES = ("part-0", "part 0", "a.b", "[x]", "*", "é", "%20", "a=b", "A")

paths = st.tuples(st.lists(st.sampled_from(FOLDERS), max_size=3), st.sampled_from(NAMES))
endings = st.sampled_from([".jsonl", ".JSONL", ".ndjson", ".jsonl.gz", ".jsonl.bz2", ".csv", ".tsv", ".csv.gz"])
trees = st.dictionaries(
    st.tuples(paths.map(lambda path: "/".join([*path[0], path[1]])), endings), st.integers(0, 3), max_size=6
)


@examples(200)
@given(tree=trees, where=st.sampled_from(["cat", "cat/", "cat/**", "cat/**/*", "./cat"]))
@example(tree={("x", ".jsonl"): 1, ("a/x", ".jsonl"): 1}, where="cat/**/*")
def test_every_row_of_a_tree_is_read_once(
    tree: dict[tuple[str, str], int], where: str, monkeypatch_module: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as name:
        monkeypatch_module.chdir(name)
        expected = write_tree(Path(name) / "cat", tree)
        (Path(name) / "cat" / "sound.jsonl").write_text('{"track_id": "sound"}\n')
        fragments = find_fragments(where, "tracks")
        read = [row for part in fragments for batch in read_fragment(part, TRACKS) for row in batch.rows.to_pylist()]
        monkeypatch_module.chdir("/")
    assert sorted(row["track_id"] for row in read) == sorted([*expected, "sound"])
    for row in read:
        folders = row["track_id"].split("/")[:-1]
        years = [int(part[5:]) for part in folders if part.startswith("year=") and part[5:].isdigit()]
        last = [part for part in folders if part.startswith("year=")][-1:]
        assert row["year"] == (years[-1] if last and last[0] == "year=1999" else None)
        assert row["artist"] == ("AC/DC" if "artist=AC%2FDC" in folders else None)


@pytest.fixture(scope="module")
def monkeypatch_module() -> pytest.MonkeyPatch:
    return pytest.MonkeyPatch()


def write_tree(folder: Path, tree: dict[tuple[str, str], int]) -> list[str]:
    """Write files of some rows each, whose ids are their paths; return the ids."""
    folder.mkdir()
    ids = []
    for (stem, ending), rows in tree.items():
        path = folder / f"{stem}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        names = [f"{stem}{ending}#{row}" for row in range(rows)]
        if ending.lower().startswith((".jsonl", ".ndjson")):
            text = "".join(json.dumps({"track_id": name}) + "\n" for name in names)
        else:
            text = "track_id\n" + "".join(f"{name}\n" for name in names)
        compress = {"gz": gzip.compress, "bz2": bz2.compress}.get(ending.rpartition(".")[2], bytes)
        path.write_bytes(compress(text.encode()))
        ids += names
    return ids
