"""Manifests are read as they were written, and anything else is refused."""

import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.manifests.store import StoreManifest


def test_a_manifest_comes_back_as_it_was() -> None:
    manifest = StoreManifest(buckets=8)
    assert StoreManifest.from_json(manifest.to_json(), "store.json") == manifest


def test_a_path_that_is_not_utf8_comes_back_as_it_was() -> None:
    manifest = EncoderManifest(standardize=False, identity={"path": "/musiqu\udce9/\\é"})
    text = manifest.to_json().encode()
    assert EncoderManifest.from_json(text, "encoder.json") == manifest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "store.json is not JSON"),
        ("[]", "store.json is not a JSON object"),
        ('{"kind": "tracktokens.release", "format": 1}', "of kind 'tracktokens.release', not tracktokens.store"),
        ('{"kind": "tracktokens.store", "format": 9}', "format version 9, this tracktokens reads 1"),
        ('{"kind": "tracktokens.store", "format": 1}', "store.json lacks buckets"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        StoreManifest.from_json(text, "store.json")
