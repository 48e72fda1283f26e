"""Examples of unknown tracks."""

from pathlib import Path

import pyarrow as pa
import pytest

from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.transforms.playlists.unknown_tracks import describe_unknown, find_unknown
from tracktokens.transforms.readers.fragments import find_fragments
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import content_keys, track_numbers
from tracktokens.transforms.store.layout import Catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A catalog of one bucket, with the tracks t1 and t2."""
    catalog = Catalog(str(tmp_path / "catalog"), 1)
    ids = pa.array(["t1", "t2"])
    known = {"track_id": ids, "track": pa.array(track_numbers(content_keys(ids)))}
    columns = [known.get(field.name, pa.nulls(2, field.type)) for field in CATALOG_TRACKS]
    rows = pa.table(columns, schema=CATALOG_TRACKS)
    files.write_batches(files.join(catalog.tracks(0), "part.parquet"), CATALOG_TRACKS, [rows])
    return catalog


def test_unknown_ids_are_shown_beside_those_of_the_catalog(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "p.jsonl").write_text('{"playlist_id": "p", "track_ids": ["t1", "uri:t1", "uri:t1", "uri:t2", "u"]}\n')
    found = find_unknown(find_fragments(str(tmp_path / "p.jsonl"), "playlists"), catalog)
    assert found == ", for example 'uri:t1', 'uri:t2' (the catalog has, for example, 't1', 't2')"


def test_known_ids_alone_need_no_example(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "p.jsonl").write_text('{"playlist_id": "p", "track_ids": ["t1", "t2"]}\n')
    assert find_unknown(find_fragments(str(tmp_path / "p.jsonl"), "playlists"), catalog) == ""


def test_an_empty_catalog_has_no_examples() -> None:
    assert describe_unknown(["a"], []) == ", for example 'a'"
