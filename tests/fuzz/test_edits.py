"""A catalog that changes: a refresh gives what a fresh run under the same bundle gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fuzz_catalog import examples, source, write
from tests.support.fuzz_jobs import check_release, fresh_tokens, refresh, run, scratch, tokens
from tests.support.strategies import Catalog, edits, wild_catalogs

pytestmark = [pytest.mark.job, pytest.mark.timeout(3600)]


@examples(12)
@given(data=st.data(), catalog=wild_catalogs())
def test_a_refresh_equals_a_fresh_run_under_the_same_bundle(data: st.DataObject, catalog: Catalog) -> None:
    edited = data.draw(edits(catalog))
    with scratch() as folder:
        write(catalog, folder, "jsonl")
        first = run(source(folder, "jsonl", playlists=False), folder / "store")
        write(edited, folder, "jsonl")
        refreshed = refresh(source(folder, "jsonl", playlists=False), folder / "store")
        check_release(refreshed, len(edited.tracks))
        codebooks = folder / "store" / "codebooks" / first.bundle.bundle_id
        fresh = fresh_tokens(source(folder, "jsonl", playlists=False), folder / "fresh", codebooks)
        assert tokens(refreshed.release.folder) == fresh
