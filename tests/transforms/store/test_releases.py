"""`LATEST` is moved by one function, which refuses when another job moved it first."""

from pathlib import Path

import pytest

from tracktokens.schemas.errors import StoreBusyError
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import latest_id, point_latest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open_or_create(str(tmp_path / "store"), 10)


def test_latest_names_the_release_that_it_is_pointed_at(store: Store) -> None:
    assert latest_id(store.root) == ""
    point_latest(store, "first", "")
    point_latest(store, "second", "first")
    assert Path(store.root, "LATEST").read_text() == "second\n"


@pytest.mark.parametrize(("expected", "named"), [("", "nothing"), ("older", "older")])
def test_latest_that_another_job_moved_stays(store: Store, expected: str, named: str) -> None:
    point_latest(store, "theirs", "")
    with pytest.raises(StoreBusyError, match=f"names theirs now, and {named} when this job began: .* run this job"):
        point_latest(store, "ours", expected)
    assert latest_id(store.root) == "theirs"


def test_latest_that_was_deleted_is_not_written_again(store: Store) -> None:
    with pytest.raises(StoreBusyError, match="names nothing now, and older when"):
        point_latest(store, "ours", "older")
    assert not Path(store.root, "LATEST").exists()
