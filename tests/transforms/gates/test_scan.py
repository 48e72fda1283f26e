"""The gates of a scan of the catalog, on the counts of one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.manifests.store import StoreManifest
from tracktokens.schemas.modalities import AUDIO, METADATA, TAGS
from tracktokens.transforms.gates.losses import LossLimits
from tracktokens.transforms.gates.scan import PreviousScan, ScanGates
from tracktokens.transforms.store.layout import Store

GATES = ScanGates(
    max_reject_rate=0.05,
    losses=LossLimits(max_lost=0.5, max_removed=0.2),
    encoded=(AUDIO, TAGS, METADATA),
    precomputed=(),
    audio_root="/music",
    previous=None,
)
AFTER = replace(GATES, previous=PreviousScan("r1", 100, {"tags": 90, "lyrics": 5, "popularity": 7}))
GOOD = {"rows_read": 100, "rows_accepted": 100, "values_kept/tags": 90, "values_kept/popularity": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with what is read of a release and its catalog."""
    counts: dict[str, Any] = {name: {} for name in ("tracks_with", "inputs", "encoded", "failed", "vectors")}
    seconds: dict[str, Any] = {"encoding_seconds": {}, "decoding_seconds": {}}
    rows = {"rows_read": 9, "rows_accepted": 8, "rows_rejected": 1}
    catalog = CatalogManifest("c1", None, **rows, encoders={}, **counts, **seconds, ignored_columns=[])
    published = {"read": 9, "published": 8, "rejected": 1}
    contents = {
        "store.json": StoreManifest(1).to_json(),
        "LATEST": "r1\n",
        "releases/r1/manifest.json": ReleaseManifest("r1", "b", "c1", 8, {}, published, {}).to_json(),
        "catalogs/c1/catalog.json": catalog.to_json(),
        "catalogs/c1/counts.json": json.dumps({"rows_read": 9, "values_kept/tags": 3, "values_lost/tags": 1}),
    }
    for path, content in contents.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    return Store.open(str(tmp_path))


def test_a_scan_is_compared_with_the_catalog_of_the_latest_release(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    assert PreviousScan.of(store) == PreviousScan("r1", 8, {"tags": 3})
    counts = Path(store.catalog("c1").counts)
    counts.write_text("{")
    assert PreviousScan.of(store) == PreviousScan("r1", 8, {})
    assert f"{counts} cannot be read, so the columns are not compared" in caplog.text
    Path(store.catalog("c1").manifest).unlink()
    assert PreviousScan.of(store) is None


def test_without_a_release_a_scan_is_compared_with_nothing(store: Store) -> None:
    Path(store.root, "LATEST").unlink()
    assert PreviousScan.of(store) is None


def refused(gates: ScanGates, **counts: int) -> str:
    """Message for a catalog that is as the good one, apart from some counts."""
    changed = GOOD | {name.replace("__", "/"): count for name, count in counts.items()}
    assert gates.is_refused(changed) == (gates.find_violation(changed) is not None)
    with pytest.raises(InvalidDataError) as error:
        gates.check(changed)
    return str(error.value)


def test_a_catalog_within_all_limits_is_accepted() -> None:
    for gates in (GATES, AFTER):
        gates.check(GOOD)
        assert not gates.is_refused(GOOD)


def test_a_column_without_a_usable_value_is_refused() -> None:
    counts = {"values_rejected__year__wrong_type": 9, "values_lost__year": 9}
    assert refused(GATES, **counts).startswith("no value of tracks can be used in year (wrong_type 9): fix")
    assert not GATES.is_refused(GOOD | {"values_rejected/year/wrong_type": 5, "values_lost/year": 5})


@pytest.mark.parametrize("table", ["rows_{}", "vectors_{}/audio"])
def test_a_table_with_too_many_rejects_is_refused(table: str) -> None:
    gates = replace(GATES, precomputed=(AUDIO,))
    counts = GOOD | {"vectors_read/audio": 100, "vectors_used/audio": 90}
    counts |= {table.format("read"): 100, table.format("rejected"): 5}
    assert not gates.is_refused(counts)
    assert gates.is_refused(counts | {table.format("rejected"): 6})


def test_most_of_the_audio_files_missing_is_refused() -> None:
    found = {"rejects__audio_missing": 4, "rejects__audio_outside_root": 2}
    message = refused(GATES, **found, audio_found=5)
    assert message.startswith("6 of 11 audio inputs cannot be used (audio_missing 4, audio_outside_root 2), more")
    assert not GATES.is_refused(GOOD | {"rejects/audio_missing": 6, "audio_found": 6})
    assert not replace(GATES, encoded=(TAGS,)).is_refused(GOOD | {"rejects/audio_missing": 6})


def test_most_values_of_the_only_column_of_a_modality_rejected_is_refused() -> None:
    counts = {"values_rejected__tags__wrong_type": 70, "values_lost__tags": 60, "values_kept__tags": 40}
    assert refused(GATES, **counts).startswith("60 of 100 tags inputs cannot be used (wrong_type 70), more than")
    year = {"values_rejected/year/wrong_type": 60, "values_lost/year": 60, "values_kept/year": 40}
    assert not GATES.is_refused(GOOD | year)  # title and artist are inputs of the same modality


@pytest.mark.parametrize("counts", [{"rows_removed": 21}, {"rows_read": 79, "rows_accepted": 79}])
def test_a_catalog_without_many_tracks_of_the_release_is_refused(counts: dict[str, int]) -> None:
    assert refused(AFTER, **counts).startswith("21 of the 100 tracks of release r1 are not in the catalog")
    assert not AFTER.is_refused(GOOD | {"rows_removed": 20})
    assert not GATES.is_refused(GOOD | {"rows_removed": 21})


def test_a_column_that_lost_all_values_since_the_release_is_refused() -> None:
    assert "release r1 had: tags (90). Check" in refused(AFTER, values_kept__tags=0)
    assert "release r1 had: popularity (7). Check" in refused(AFTER, values_kept__popularity=0)
    accepting = replace(AFTER, losses=LossLimits(max_lost=0.5, max_removed=1))
    assert not accepting.is_refused(GOOD | {"values_kept/tags": 0})
