"""Verification of a store reports damage of every kind, and nothing else."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.vector_catalog import job, write_catalog
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.store.layout import Store

pytestmark = pytest.mark.job


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalog = write_catalog(tmp_path_factory.mktemp("catalog"), 40)
    job(catalog, *MODALITIES).run(PipelineRunner())
    return catalog / "store"


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "store"))


def problems(store: Path) -> list[str]:
    """Findings, with paths below the store."""
    found = verify_store(str(store), PipelineRunner())
    assert all(finding.remedy for finding in found)
    return [f"{finding.path}: {finding.problem}".replace(f"{store}/", "") for finding in found]


def test_nothing_is_found_in_a_sound_store_and_nothing_is_written(store: Path) -> None:
    before = sorted(store.rglob("*"))
    assert problems(store) == []
    assert sorted(store.rglob("*")) == before


def test_nothing_is_found_in_a_store_that_is_empty(tmp_path: Path) -> None:
    assert problems(Path(Store.open_or_create(str(tmp_path), 1).root)) == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(path)
    pq.write_table(change(table).cast(table.schema), path)


def set_value(path: Path, column: str, value: object) -> None:
    """Change a value in the first row of a table."""

    def change(table: pa.Table) -> pa.Table:
        values = [value, *table[column].to_pylist()[1:]]
        index = table.schema.get_field_index(column)
        return table.set_column(index, table.schema.field(column), pa.array(values, table.schema.field(column).type))

    edit(path, change)


def set_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


NOT_FINITE = [float("nan")] * 32

FOREIGN = {"../../../../letters": {"bytes": 1, "sha256": "0"}}


def link_to_foreign_file(path: Path) -> None:
    """Replace a file by a link to the same content outside of the store."""
    shutil.move(path, path.parents[4] / "letters")
    path.symlink_to(path.parents[4] / "letters")


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: list[tuple[str, Callable[[Path], object], list[str]]] = [
    ("releases/*/report.html", change, ["releases/*/report.html: has SHA-256"]),
    ("releases/*/serving/codes.npy", change, ["releases/*/serving/codes.npy: has SHA-256"]),
    ("releases/*/vocabulary/tokens.json", Path.unlink, ["releases/*/vocabulary/tokens.json: is missing"]),
    (
        "releases/*/tokens/part-0000.parquet",
        lambda path: edit(path, lambda table: pa.concat_tables([table, table[:1]])),
        [
            "releases/*/manifest.json: counts 40 rows in the token table, which has 41",
            "releases/*/tokens/part-0000.parquet: has SHA-256",
            "releases/*/tokens/part-0000.parquet: has 1 duplicate track ids",
        ],
    ),
    (
        "releases/*/tokens/part-0000.parquet",
        lambda path: set_value(path, "audio", 8),
        [
            "releases/*/tokens/part-0000.parquet: has 1 audio codes that the codebook does not have",
            "releases/*/tokens/part-0000.parquet: has SHA-256",
        ],
    ),
    ("releases/*/report.html", link_to_foreign_file, ["releases/*/report.html: is not a regular file of the release"]),
    ("releases/*/metrics.json", replace_by_pipe, ["releases/*/metrics.json: is not a regular file of the release"]),
    (
        "releases/*/manifest.json",
        lambda path: set_json(path, files=FOREIGN),
        ["LATEST: names", "releases/*/manifest.json: has an unusable files, {'../../../../letters'"],
    ),
    (
        "releases/*/manifest.json",
        lambda path: set_json(path, bundle_id="../../letters"),
        ["LATEST: names", "releases/*/manifest.json: has an unusable bundle_id, '../../letters'"],
    ),
    (
        "releases/*/manifest.json",
        lambda path: set_json(path, release_id="20261128T225440Z-b0e4e89d"),
        ["LATEST: names", "releases/*/manifest.json: is of 20261128T225440Z-b0e4e89d"],
    ),
    ("releases/*/manifest.json", truncate, ["LATEST: names", "releases/*/manifest.json: is not JSON"]),
    ("LATEST", lambda path: path.write_text("nobody\n"), ["LATEST: names nobody, which is not a complete release"]),
    (
        "codebooks/*/manifest.json",
        Path.unlink,
        ["codes/*: has codes of a bundle that does not exist", "releases/*/manifest.json: names bundle"],
    ),
    ("codebooks/*/audio.safetensors", change, ["codebooks/*"]),
    (
        "catalogs/*/keys/audio/*/*.parquet",
        truncate,
        ["catalogs/*/catalog.json: counts 40", "catalogs/*.parquet: cannot"],
    ),
    (
        "catalogs/*/catalog.json",
        lambda path: set_json(path, rows_accepted=41),
        ["catalogs/*/catalog.json: counts 41 rows of tracks, and the files have 40"],
    ),
    ("vectors/audio/*/*/*.parquet", change, ["vectors/audio/*.parquet: cannot be read (*CRC"]),
    ("vectors/audio/*/*/*.parquet", truncate, ["vectors/audio/*.parquet: cannot be read"]),
    (
        "vectors/audio/*/*/*.parquet",
        lambda path: set_value(path, "vector", np.array(NOT_FINITE, np.float16)),
        ["vectors/audio/*.parquet: has 1 vectors that are not finite"],
    ),
    ("vectors/audio/*/encoder.json", Path.unlink, ["releases/*/manifest.json: names audio", "vectors/audio/*"]),
    (
        "codes/*/audio/*/*.parquet",
        lambda path: set_value(path, "code", -1),
        ["codes/*.parquet: has 1 codes that the codebook does not have"],
    ),
]


@pytest.mark.parametrize(("pattern", "spoil", "expected"), DAMAGE)
def test_damage_is_found_where_it_is(
    store: Path, pattern: str, spoil: Callable[[Path], object], expected: list[str]
) -> None:
    [path] = store.glob(pattern)
    spoil(path)
    found = problems(store)
    assert len(found) == len(expected), found
    for text in expected:
        assert any(all(part in problem for part in text.split("*")) for problem in found), (text, found)


def test_leftovers_of_a_killed_run_are_not_damage(store: Path) -> None:
    [vectors] = store.glob("vectors/audio/*/bucket=0000")
    shutil.copytree(vectors, store / "vectors" / "playlist" / "unfinished" / "bucket=0000")
    for name in ("releases/20270101T000000Z-ab/tokens", "catalogs/20270101T000000Z-ab/tracks", "codebooks/training-ab"):
        (store / name).mkdir(parents=True)
        (store / name / "half.parquet").write_bytes(b"half")
    (vectors / "part-a.parquet.0123.partial").write_bytes(b"half")
    assert problems(store) == []


def test_keys_in_another_bucket_are_found(store: Path) -> None:
    (store / "store.json").write_text((store / "store.json").read_text().replace('"buckets": 1', '"buckets": 2'))
    [folder] = store.glob("codes/*/audio/bucket=0000")
    found = [problem for problem in problems(store) if problem.startswith(str(folder.relative_to(store)))]
    assert len(found) == 1
    assert "keys that belong to other buckets" in found[0]
