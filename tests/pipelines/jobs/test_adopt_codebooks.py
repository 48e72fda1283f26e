"""``run --codebooks-from``: a new store with the codebooks, and so the tokens, of a store of an older format."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.older_store import STORES, call, latest, unpack

pytestmark = pytest.mark.job


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogs of an older store, whose own manifest and catalogs have a format version that is not read."""
    folder = unpack(STORES[-1], tmp_path_factory.mktemp("older"))
    for path in [folder / "store" / "store.json", *folder.glob("store/catalogs/*/catalog.json")]:
        path.write_text(json.dumps({**json.loads(path.read_bytes()), "format": 0}))
    return folder


def options(folder: Path, store: Path) -> list[object]:
    catalog = folder / "two"
    tables = ["--tracks", catalog / "tracks.jsonl", "--playlists", catalog / "playlists.jsonl"]
    size = json.loads((latest(folder / "store") / "manifest.json").read_bytes())["codebook_size"]
    embeddings = ["--embeddings", f"lyrics={catalog / 'lyrics.parquet'}", "--embeddings-version", "lyrics=made"]
    return [*tables, *embeddings, "--codebook-size", size, "--store", store]


def test_a_store_of_another_format_is_refused_with_the_way_that_keeps_its_tokens(older: Path) -> None:
    output = call("run", *options(older, older / "store"), code=3).output
    assert "keeps its tokens with `tracktokens run --codebooks-from`" in output
    assert "start a new store" not in output


def test_the_size_of_the_vocabulary_and_the_other_store_are_checked_first(older: Path, tmp_path: Path) -> None:
    given = [*options(older, tmp_path / "new"), "--codebooks-from"]
    assert "has no release" in call("run", *given, older / "two", code=2).output
    output = call("run", *given, older / "store", "--codebook-size", 5, code=2).output
    assert "codes per modality, and this run 5" in output
    assert not (tmp_path / "new").exists()


def test_a_new_store_has_the_tokens_of_the_other_one(older: Path, tmp_path: Path) -> None:
    store = tmp_path / "new"
    given = [*options(older, store), "--codebooks-from", older / "store"]
    output = call("run", *given, code=3).output  # other playlists than those that the vectors were trained on
    assert "for playlist are of other vectors than this run's" in output
    assert not (store / "LATEST").exists()
    encoded = {path.parts[-3] for path in store.glob("vectors/*/*/encoder.json")}
    assert encoded == {"tags", "metadata", "lyrics"}  # no playlist vectors were trained
    place = given.index("--playlists")
    del given[place : place + 2]
    call("run", *given)
    call("run", *given)  # a second time, as after a kill
    old, new = latest(older / "store"), latest(store)
    for name in ("tokens.json", "added_tokens.json", "centroids.safetensors"):
        assert (new / "vocabulary" / name).read_bytes() == (old / "vocabulary" / name).read_bytes()
    columns = ["track_id", "tags", "metadata", "lyrics"]
    tables = [pq.read_table(release / "tokens", columns=columns).sort_by("track_id") for release in (old, new)]
    assert tables[0].equals(tables[1])
    call("verify", "--store", store)
