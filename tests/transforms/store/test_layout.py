"""Stores are created and opened."""

from pathlib import Path

import pyarrow as pa
import pytest

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.manifests.store import buckets_for
from tracktokens.transforms.store.layout import Store, part_name
from tracktokens.transforms.store.writer_lock import writer


def test_a_new_folder_becomes_a_store_and_keeps_its_buckets(tmp_path: Path) -> None:
    made = Store.open_or_create(str(tmp_path / "store"), 120_000)
    assert made.buckets == 4
    assert Store.open_or_create(str(tmp_path / "store"), 10) == made
    assert Store.open(str(tmp_path / "store")) == made


@pytest.mark.parametrize(
    ("tracks", "buckets"), [(0, 1), (50_000, 1), (50_001, 2), (1_000_000, 32), (100_000_000, 2048), (10**12, 1 << 14)]
)
def test_a_bucket_has_about_50_000_tracks(tracks: int, buckets: int) -> None:
    assert buckets_for(tracks) == buckets


def test_a_path_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    root = f"{tmp_path}/musiqu\udce9"
    for use in (Store.open, lambda root: Store.open_or_create(root, 1), lambda root: writer(root, "run").__enter__()):
        with pytest.raises(UsageError, match=r"musiqu\\udce9', is not UTF-8 in this locale: give another folder"):
            use(root)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"contains thesis\.tex"):
        Store.open_or_create(str(tmp_path), 1)


def test_a_store_can_be_created_after_its_creation_was_killed(tmp_path: Path) -> None:
    (tmp_path / "store.json.0123.partial").write_text("{")
    assert Store.open_or_create(str(tmp_path), 1).buckets == 1


def test_a_folder_that_is_not_a_store_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a store"):
        Store.open(str(tmp_path))


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    Store.open_or_create(str(tmp_path), 1)
    manifest = tmp_path / "store.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(InvalidDataError, match="format version 9, this tracktokens reads 1"):
        Store.open(str(tmp_path))


def test_a_relative_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store.open_or_create("store", 1).root == str(tmp_path / "store")


def test_equal_keys_have_equal_file_names() -> None:
    keys = pa.array([b"0" * 16, b"1" * 16], pa.binary(16))
    assert part_name(keys) == part_name(pa.concat_arrays([keys[:1], keys[1:]]))
    assert part_name(keys) != part_name(keys[:1])


def test_an_encoder_is_described_beside_its_vectors(tmp_path: Path) -> None:
    store = Store.open_or_create(str(tmp_path), 1)
    with pytest.raises(InvalidDataError, match=r"encoder\.json is missing"):
        store.read_encoder("audio", "e")
    described = EncoderManifest(standardize=True, identity={"name": "e"})
    (tmp_path / "vectors" / "audio" / "e").mkdir(parents=True)
    Path(store.encoder("audio", "e")).write_text(described.to_json())
    assert store.read_encoder("audio", "e") == described


def test_a_catalog_with_far_more_tracks_than_buckets_are_for_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Store.open_or_create(str(tmp_path), 1)
    Store.open_or_create(str(tmp_path), 200_000)
    assert not caplog.messages
    Store.open_or_create(str(tmp_path), 200_001)
    [message] = caplog.messages
    assert "has 1 buckets" in message
    assert f"tracktokens rebucket --store {tmp_path}" in message
