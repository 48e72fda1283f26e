"""Stores that released versions wrote: they open, refresh and verify, and their tokens stay.

``tests/support/stores`` holds one small store per store format, with the two catalogs that its releases were made of. A
store that this code writes must never replace them.
"""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.older_store import STORES, call, refresh, unpack

pytestmark = pytest.mark.job


@pytest.fixture(params=STORES, ids=lambda path: path.name.partition(".")[0])
def unpacked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return unpack(request.param, tmp_path)


def token_files(release: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((release / "tokens").iterdir())}


def test_a_refresh_of_the_same_catalog_writes_the_same_token_files(unpacked: Path) -> None:
    store = unpacked / "store"
    old = store / "releases" / (store / "LATEST").read_text().strip()
    new = refresh(unpacked / "two", store)
    assert new != old
    assert token_files(new) == token_files(old)
    assert pq.read_table(new / "tokens").num_rows == 46


def test_a_refresh_of_the_first_catalog_gives_its_tracks_their_first_tokens_again(unpacked: Path) -> None:
    store = unpacked / "store"
    first = min((store / "releases").iterdir())
    new = refresh(unpacked / "one", store)
    assert token_files(new) == token_files(first)


def test_it_verifies_and_its_releases_can_be_listed_shown_and_rolled_back(unpacked: Path) -> None:
    store = unpacked / "store"
    first, second = sorted(path.name for path in (store / "releases").iterdir())
    call("verify", "--store", store)
    listed = call("releases", "list", "--store", store, "--json").stdout
    assert first in listed
    assert second in listed
    call("releases", "show", second, "--store", store)
    call("diff", first, second, "--store", store)
    call("releases", "rollback", first, "--store", store)
    assert (store / "LATEST").read_text().strip() == first
    call("verify", "--store", store)
