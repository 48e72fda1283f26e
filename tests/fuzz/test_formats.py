"""A catalog in one format, then in another: the same tokens and rejects, and a refresh that changes nothing."""

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fuzz_catalog import FORMATS, examples, source, write
from tests.support.fuzz_jobs import check_release, refresh, reject_reasons, run, scratch, tokens
from tests.support.strategies import Catalog, typed_catalogs

pytestmark = [pytest.mark.job, pytest.mark.timeout(3600)]


@examples(12)
@given(catalog=typed_catalogs(), formats=st.permutations(FORMATS))
def test_formats_agree_and_a_refresh_of_nothing_changes_nothing(catalog: Catalog, formats: list[str]) -> None:
    with scratch() as folder:
        write(catalog, folder, formats[0])
        first = run(source(folder, formats[0]), folder / "store")
        check_release(first, len(catalog.tracks))
        write(catalog, folder, formats[1])
        again = refresh(source(folder, formats[1]), folder / "store")
        check_release(again, len(catalog.tracks))
        assert tokens(again.release.folder) == tokens(first.release.folder)
        assert reject_reasons(again.release.folder) == reject_reasons(first.release.folder)
        assert pq.read_table(f"{again.release.folder}/changes").num_rows == 0
        assert not any(again.catalog.encoded.values())
