"""The job that the demo catalog's shared run is made by, and its token table."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.demo.catalog import DemoCatalog
from tracktokens.pipelines.jobs.run import RunJob, RunResult

CODES = 32
VARYING = {"encoding_seconds", "decoding_seconds"}
"""Names in ``metrics.json`` of what no two runs share."""


@dataclass(frozen=True)
class DemoRun:
    """The demo catalog, the store of its run, and the run's result."""

    catalog: DemoCatalog
    store: Path
    outcome: RunResult


def demo_job(demo: DemoCatalog, store: Path) -> RunJob:
    source = CatalogSource(tracks=str(demo.tracks), playlists=str(demo.playlists), audio_root=str(demo.audio_root))
    return RunJob(source=source, store=str(store), codebook_size=CODES)


def token_table(outcome: RunResult) -> pa.Table:
    return pq.read_table(f"{outcome.release.folder}/tokens").sort_by("track_id")


def assert_same_tokens(outcome: RunResult, expected: RunResult) -> None:
    """Assert that two runs have the same bundle and the same tokens; a failure names the columns that differ."""
    ours, theirs = outcome.bundle.codebooks, expected.bundle.codebooks
    assert [name for name in theirs if ours[name] != theirs[name]] == []
    assert outcome.bundle.bundle_id == expected.bundle.bundle_id
    assert differing_columns(token_table(outcome), token_table(expected)) == []


def differing_columns(table: pa.Table, expected: pa.Table) -> list[str]:
    """Name the columns in which two tables differ."""
    assert table.column_names == expected.column_names
    return [name for name in table.column_names if not table[name].equals(expected[name])]


def counted(outcome: RunResult) -> dict[str, object]:
    """Return all counts and measurements of a release, by path; without those that differ from run to run."""
    metrics = json.loads(Path(f"{outcome.release.folder}/metrics.json").read_bytes())
    return {"/".join(path): value for path, value in _leaves(metrics) if not VARYING & set(path)}


def _leaves(values: object, *path: str) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(values, list):
        values = {str(number): value for number, value in enumerate(values)}
    if not isinstance(values, dict):
        yield path, values
        return
    for name, value in values.items():
        yield from _leaves(value, *path, name)
