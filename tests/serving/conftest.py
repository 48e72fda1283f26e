"""Serving tables of the small catalog."""

import pytest

from tests.support.small_serving import SmallCatalog, draw_catalog


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallCatalog:
    return draw_catalog(tmp_path_factory.mktemp("serving") / "releases" / "r1")


@pytest.fixture(scope="session")
def in_ranges(tmp_path_factory: pytest.TempPathFactory) -> SmallCatalog:
    """The same catalog, sorted in files of a few rows."""
    return draw_catalog(tmp_path_factory.mktemp("ranges") / "r1", range_rows=20)
