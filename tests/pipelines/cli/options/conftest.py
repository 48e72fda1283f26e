"""The tables that these tests name do not exist: only their names matter."""

import pytest

from tracktokens.pipelines.cli.options import encoder_options


@pytest.fixture(autouse=True)
def tables_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_options, "_check_tables_exist", lambda given: None)
