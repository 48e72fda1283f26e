"""The small catalog's store, and a tiny model with its tokens."""

from pathlib import Path

import pytest

from tests.support.training_catalog import Catalog, make_catalog, make_model


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return make_catalog(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def model(small: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(small, tmp_path_factory.mktemp("model"))
