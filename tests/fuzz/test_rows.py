"""A catalog with rows of any kind: each is published or rejected, and the store is sound."""

import pytest
from hypothesis import example, given

from tests.support.fuzz_catalog import examples, source, write
from tests.support.fuzz_jobs import check_release, run, scratch
from tests.support.strategies import Catalog, Row, sound_playlists, sound_rows, wild_catalogs
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner

pytestmark = [pytest.mark.job, pytest.mark.timeout(3600)]


def with_fault(track: Row, *playlists: Row) -> Catalog:
    return Catalog([*sound_rows(), {"track_id": "odd", **track}], [*sound_playlists(), *playlists])


@examples(16)
@given(catalog=wild_catalogs())
@example(catalog=with_fault({"popularity": 1e308}))  # was summed as float32, after everything was encoded
@example(catalog=with_fault({"audio_path": []}))  # one wrong value in a column without any other was a lost column
@example(catalog=with_fault({}, {"playlist_id": "", "track_ids": ["odd"]}))  # a rejected playlist stopped the training
def test_any_rows_are_published_or_rejected(catalog: Catalog) -> None:
    with scratch() as folder:
        write(catalog, folder, "jsonl")
        outcome = run(source(folder, "jsonl"), folder / "store")
        check_release(outcome, len(catalog.tracks) + len(catalog.junk))
        assert verify_store(str(folder / "store"), PipelineRunner()) == []
