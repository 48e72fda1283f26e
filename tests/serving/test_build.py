"""The files of a serving table, compared with what plain Python makes of the same tracks."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.small_serving import CODES, SmallCatalog, as_table, draw_catalog
from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.matching.token_index import TokenIndex
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.serving.build import ServingBuild
from tracktokens.serving.catalog_tokens import CatalogTokens
from tracktokens.serving.mapped_table import MappedTable


def test_the_parquet_table_lists_the_tracks_of_each_tuple_by_popularity(small: SmallCatalog) -> None:
    expected: dict[tuple[int, ...], list[str]] = {}
    for row in small.ranked():
        expected.setdefault(tuple(small.codes[row].tolist()), []).append(small.ids[row])
    table = pq.read_table(small.release / "serving" / "tuples.parquet").to_pylist()
    codes = [tuple(-1 if row[name] is None else row[name] for name in MODALITIES) for row in table]
    assert codes == sorted(expected)
    assert {key: row["track_ids"] for key, row in zip(codes, table, strict=True)} == expected
    assert table[-1]["tokens"] == "".join(f"<|{name}_{CODES - 1}|>" for name in MODALITIES)
    assert table[0]["tokens"] == "".join(f"<|{name}_none|>" for name in MODALITIES)


def test_the_mapped_trie_and_lists_are_those_that_are_built_from_the_codes(small: SmallCatalog) -> None:
    codes = small.codes[small.ranked()]
    table = MappedTable.open(small.release / "serving")
    trie = TupleTrie(codes)
    assert len(table.trie) == len(trie) == table.manifest.tuples
    for found, built in zip(table.trie._depths, trie._depths, strict=True):
        np.testing.assert_array_equal(found.codes, built.codes)
        np.testing.assert_array_equal(found.starts, built.starts)
    postings = TokenIndex(codes)._postings
    np.testing.assert_array_equal(table.postings._rows, postings._rows)
    for found, built in zip(table.postings._starts, postings._starts, strict=True):
        np.testing.assert_array_equal(found[: len(built)], built)
        assert set(found[len(built) :]) <= {len(codes)}


def test_sorting_in_small_ranges_gives_the_same_files(small: SmallCatalog, in_ranges: SmallCatalog) -> None:
    for path in sorted((small.release / "serving").iterdir()):
        other = in_ranges.release / "serving" / path.name
        if path.suffix == ".parquet":  # other row groups
            assert pq.read_table(path).equals(pq.read_table(other))
        else:
            assert path.read_bytes() == other.read_bytes(), path.name
    assert list((in_ranges.release / "scratch").glob("*")) == [in_ranges.release / "scratch" / "offsets.npy"]


def test_any_number_of_columns_can_be_served(tmp_path: Path) -> None:
    catalog = draw_catalog(tmp_path / "r1")
    columns = TokenFormat.of(CODES, {"metadata": [9]})
    rows = np.arange(4)
    table = as_table(catalog, rows)
    table = table.append_column("metadata2", [np.array([8, 0, 1, 2], np.int16)])
    folder = tmp_path / "six"
    (folder / "serving").mkdir(parents=True)
    manifest = ServingBuild(folder / "serving", tmp_path, columns, 4).write([table], "r1", "b1")
    assert len(manifest.nodes) == 6
    tokens = CatalogTokens.open(folder)
    text = tokens.tokens_of(catalog.ids[0])
    assert text.endswith("<|metadata2_8|>")
    assert tokens.lookup(text) == [catalog.ids[0]]


def test_a_catalog_without_tracks_has_an_empty_table(tmp_path: Path, small: SmallCatalog) -> None:
    (tmp_path / "serving").mkdir()
    build = ServingBuild(tmp_path / "serving", tmp_path, TokenFormat.of(CODES), 0)
    build.write([as_table(small, np.arange(0))], "r1", "b1")
    tokens = CatalogTokens.open(tmp_path)
    assert len(tokens) == 0
    assert tokens.lookup([0] * 5) == []
    assert tokens.match([0] * 5).track_ids == ()


def test_the_header_names_the_columns(small: SmallCatalog) -> None:
    header = json.loads((small.release / "serving" / "serving.json").read_bytes())
    assert header["kind"] == "tracktokens.serving"
    assert header["columns"] == list(MODALITIES)
    assert header["weights"] == [25, 5, 5, 1, 1]
    assert header["tokens"] is None
    assert header["nodes"][-1] == header["tuples"]


@pytest.mark.parametrize("track", range(0, 300, 50))
def test_ids_are_written_in_order_of_rank(small: SmallCatalog, track: int) -> None:
    ids = MappedTable.open(small.release / "serving").track_ids
    assert ids[track].as_py() == small.ids[small.ranked()[track]]
