"""Values of manifests that someone forged are refused with the name of the file, whatever they are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.base import Manifest
from tracktokens.schemas.manifests.bundle import BundleManifest, CodebookEntry
from tracktokens.schemas.manifests.field_types import FileName, Name, fits
from tracktokens.schemas.manifests.release import FileEntry, ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import TokenFormat

ENTRY = asdict(CodebookEntry("2c665209ba52", 8, 4, "b6c4", {}, None))
TOKENS = TokenFormat.of(4, {"metadata": [2]}, numbers=3)
MANIFESTS: tuple[Manifest, ...] = (
    ReleaseManifest(
        release_id="20261128T225440Z-b0e4e89d",
        bundle_id="2207cae2a2a4",
        catalog_id="20261128T225349Z-538f4da0",
        codebook_size=4,
        encoders={"audio": "d79efbf04b21"},
        rows={"read": 3, "published": 2, "rejected": 1},
        files={"tokens/part-0000.parquet": {"bytes": 9, "sha256": "0"}},
        tokens=TOKENS.to_json(),
    ),
    BundleManifest("2207cae2a2a4", 4, dict.fromkeys([*MODALITIES, "metadata2"], ENTRY), None, TOKENS.to_json()),
)


def forged(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the path of each part of a JSON value, and the value with another part in its place."""
    yield name, {"not": ["what", "it", "was"]} if not isinstance(value, dict) else 7
    if isinstance(value, str) and not name.endswith((".sha256", ".content_hash")):
        yield f"{name} (path)", "../../letters"
    if isinstance(value, dict):
        for key, part in value.items():
            yield from ((path, {**value, key: other}) for path, other in forged(part, f"{name}.{key}"))
            yield f"{name}.{key} (renamed)", {k if k != key else "../letters": v for k, v in value.items()}
    if isinstance(value, list):
        for number, part in enumerate(value):
            yield from (
                (path, [*value[:number], other, *value[number + 1 :]])
                for path, other in forged(part, f"{name}.{number}")
            )


def optional(name: str) -> bool:
    """Return whether a field may be left out, or has any contents."""
    return name.startswith((".options", ".previous", ".popularity", ".tokens (renamed)")) or ".training" in name


CASES = [
    pytest.param(manifest, text, id=f"{manifest.KIND}{name}")
    for manifest in MANIFESTS
    for name, text in forged(json.loads(manifest.to_json()))
    if name and not optional(name)
]


@pytest.mark.parametrize(("manifest", "record"), CASES)
def test_each_part_of_a_manifest_is_checked(manifest: Manifest, record: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidDataError, match=r"^a/manifest\.json .*(restore it|pass the right)"):
        type(manifest).from_json(json.dumps(record), "a/manifest.json")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest.KIND)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert type(manifest).from_json(manifest.to_json(), "a") == manifest


@pytest.mark.parametrize("size", [0, -1, 10**12])
def test_a_codebook_size_that_no_vocabulary_has_is_refused(size: int) -> None:
    record = {**json.loads(MANIFESTS[0].to_json()), "codebook_size": size}
    with pytest.raises(InvalidDataError, match=r"a is damaged .* 1 to 32767 codes"):
        ReleaseManifest.from_json(json.dumps(record), "a")


@dataclass(frozen=True)
class Pair:
    """A dataclass with a default."""

    left: int
    right: float = 0.0


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, float, True),
        (True, int, False),
        (1.0, int, False),
        (None, str | None, True),
        ([1, 2], Sequence[int], True),
        ("ab", Sequence[str], False),
        ({"a/b": {"bytes": 1, "sha256": ""}}, Mapping[FileName, Annotated[Mapping[str, Any], FileEntry]], True),
        ({"a/../b": {"bytes": 1, "sha256": ""}}, Mapping[FileName, Annotated[Mapping[str, Any], FileEntry]], False),
        ({"left": 1}, Pair, True),
        ({"right": 1}, Pair, False),
        ({"left": 1, "more": 1}, Pair, True),
        ("a\n", Name, False),
    ],
)
def test_a_value_fits_its_annotation(value: object, annotation: Any, expected: bool) -> None:
    assert fits(value, annotation) is expected
