"""A catalog with rows of any kind: each is published or rejected, and the store is sound."""

import pytest
from hypothesis import given

from tests.support.fuzz_catalog import examples, source, write
from tests.support.fuzz_jobs import check_release, run, scratch
from tests.support.strategies import Catalog, wild_catalogs
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner

pytestmark = [pytest.mark.job, pytest.mark.timeout(3600)]


@examples(80)
@given(catalog=wild_catalogs())
def test_any_rows_are_published_or_rejected(catalog: Catalog) -> None:
    with scratch() as folder:
        write(catalog, folder, "jsonl")
        outcome = run(source(folder, "jsonl"), folder / "store")
        check_release(outcome, len(catalog.tracks) + len(catalog.junk))
        assert verify_store(str(folder / "store"), PipelineRunner()) == []
