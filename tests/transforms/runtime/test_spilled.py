"""Lists that are pickled as the path of a file."""

from pathlib import Path

import apache_beam as beam
from apache_beam.internal.cloudpickle_pickler import dumps, loads
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to

from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.runtime.spilled import CreateSpilled, SpilledList, spill


def fragments(number: int) -> list[Fragment]:
    return [Fragment(n, f"/tracks/part-{n}.parquet", "parquet", None if n % 2 else n, n) for n in range(number)]


def test_a_list_of_any_length_is_pickled_in_the_same_few_bytes(tmp_path: Path) -> None:
    short, long = (spill(fragments(n), str(tmp_path / f"{n:04d}.json")) for n in (1, 5000))
    assert abs(len(dumps(long)) - len(dumps(short))) < 30
    assert loads(dumps(long)) == fragments(5000)
    assert isinstance(loads(dumps(long)), SpilledList)


def test_a_path_that_is_not_utf8_is_kept(tmp_path: Path) -> None:
    named = [Fragment(0, "/tracks/caf\udce9.parquet", "parquet", None, 0)]
    assert loads(dumps(spill(named, str(tmp_path / "named.json")))) == named


def test_an_empty_list_stays_empty(tmp_path: Path) -> None:
    assert loads(dumps(spill([], str(tmp_path / "empty.json")))) == []


def test_workers_get_every_element(tmp_path: Path) -> None:
    spilled = spill(fragments(20), str(tmp_path / "fragments.json"))
    with TestPipeline() as pipeline:
        numbers = pipeline | CreateSpilled(spilled) | beam.Map(lambda fragment: fragment.number)
        assert_that(numbers, equal_to(list(range(20))))
