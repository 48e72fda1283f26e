"""A collection in one place."""

import pathlib

import apache_beam as beam
import pytest

from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.transforms.runtime.counters import OnTotals, WriteCounts, read_counts
from tracktokens.transforms.runtime.gather import Gather
from tracktokens.transforms.store import files


@pytest.mark.parametrize("elements", [[], [3], [3, 1, 2]])
def test_the_function_is_called_once_with_all_elements(elements: list[int], tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "calls.json")

    def gather(found: list[int]) -> int:
        calls = files.read_json(path)["calls"] if files.exists(path) else 0
        files.write_json(path, {"calls": calls + 1, "found": sorted(found)})
        return len(found)

    def build(pipeline: beam.Pipeline) -> None:
        count = pipeline | beam.Create(elements) | "gather" >> Gather(gather, int)
        count | beam.Map(lambda number: files.write_json(f"{path}.count", {"count": number}))

    PipelineRunner().run(build)
    assert files.read_json(path) == {"calls": 1, "found": sorted(elements)}
    assert files.read_json(f"{path}.count") == {"count": len(elements)}


def test_counts_are_added_up_by_name(tmp_path: pathlib.Path) -> None:
    counts, totals = str(tmp_path / "counts.json"), str(tmp_path / "totals.json")

    def build(pipeline: beam.Pipeline) -> None:
        named = pipeline | beam.Create([("rows", 3), ("rejects", 1), ("rows", 4)])
        named | WriteCounts(counts)
        doubled = named | OnTotals(lambda found: {name: 2 * total for name, total in found.items()}, dict)
        doubled | beam.Map(lambda found: files.write_json(totals, found))

    PipelineRunner().run(build)
    assert read_counts(counts) == {"rows": 7, "rejects": 1}
    assert files.read_json(totals) == {"rows": 14, "rejects": 2}


def test_no_counts_are_written_too(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "counts.json")
    PipelineRunner().run(lambda pipeline: pipeline | beam.Create([]) | WriteCounts(path))
    assert read_counts(path)["rows"] == 0
