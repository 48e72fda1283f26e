"""Tokens by track id."""

import pyarrow as pa
import pytest

from tests.support.training_catalog import TRACKS, Catalog
from tracktokens.pipelines.training_data.token_lookup import UNKNOWN, TokenLookup
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release
from tracktokens.transforms.store.token_tables import TokenTable

pytestmark = pytest.mark.job


def test_every_track_has_the_tokens_of_the_table_and_others_none(small: Catalog) -> None:
    store = Store.open(str(small.store))
    lookup = TokenLookup.read(TokenTable.of(store, published_release(store)))
    expected = small.tokens()
    ids = [*expected, "nobody", None, ""]
    rows = lookup.rows(pa.array(ids, pa.string())).tolist()
    assert len(lookup) == TRACKS == len(set(rows[:TRACKS]))
    assert rows[TRACKS:] == [UNKNOWN] * 3
    assert [lookup.text(row) for row in rows[:TRACKS]] == list(expected.values())
    assert lookup.tokens_of("nobody") is None
    assert lookup.rows(pa.array([], pa.string())).tolist() == []
