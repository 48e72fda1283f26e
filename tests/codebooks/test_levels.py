"""Residual levels: assignment and the bundle."""

import numpy as np
import pytest

from tracktokens.codebooks.assign import assign, residuals
from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.training.fit import fit_level
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import NUMBERED

RAW = Preprocessing(unit_length=False)


def codebook(modality: str, level: int = 1, codes: int = 2) -> Codebook:
    centroids = np.random.default_rng(level).random((codes, 3), np.float32)
    return Codebook(modality, "encoder", RAW, centroids, 8, level)


FIRST = [codebook(modality) for modality in MODALITIES]


def test_a_level_has_the_codes_of_what_the_levels_before_leave() -> None:
    vectors = np.random.default_rng(0).random((500, 3), np.float32)
    books = [codebook("tags", level, codes=4) for level in (1, 2, 3)]
    left = vectors
    for number, book in enumerate(books):
        distances = ((left[:, np.newaxis] - book.centroids) ** 2).sum(axis=2)
        assignment = assign(book, vectors, books[:number])
        assert assignment.codes.tolist() == distances.argmin(axis=1).tolist()
        np.testing.assert_allclose(assignment.distances, distances.min(axis=1), rtol=1e-4)
        left = left - book.centroids[assignment.codes]
        np.testing.assert_allclose(residuals(book, vectors, books[:number]), left, atol=1e-6)


def test_a_level_learns_what_the_levels_before_leave() -> None:
    draw = np.random.default_rng(0)
    coarse, fine = draw.standard_normal((4, 6)), draw.standard_normal((3, 6)) / 20
    vectors = (coarse[:, np.newaxis] + fine).reshape(-1, 6).repeat(5, axis=0).astype(np.float32)
    settings = {"modality": "tags", "encoder_id": "encoder", "seed": 0}
    first = fit_level(vectors, [], codebook_size=4, **settings).codebook
    second = fit_level(vectors, [first], codebook_size=12, **settings).codebook
    assert (second.name, second.codebook_size, second.preprocessing) == ("tags2", 12, first.preprocessing)
    points = first.preprocessing.apply(vectors)
    decoded = first.centroids[assign(first, vectors).codes] + second.centroids[assign(second, vectors, [first]).codes]
    np.testing.assert_allclose(decoded, points, atol=1e-3)


@pytest.mark.parametrize("standardize", [False, True])
def test_vectors_with_a_centroid_of_their_own_leave_nothing(standardize: bool) -> None:
    vectors = np.random.default_rng(0).standard_normal((40, 24)).astype(np.float16)
    settings = {"modality": "audio", "encoder_id": "encoder", "codebook_size": 64, "standardize": standardize}
    first = fit_level(vectors, [], **settings).codebook
    second = fit_level(vectors, [first], **settings)
    assert (first.num_centroids, second.codebook.num_centroids) == (40, 1)
    assert set(assign(second.codebook, vectors, [first]).codes.tolist()) == {0}


def test_a_level_needs_the_codebooks_before_it() -> None:
    with pytest.raises(ValueError, match="metadata2 codebook needs those of all levels before"):
        assign(codebook("metadata", 2), np.zeros((1, 3), np.float32))


def test_a_level_is_part_of_the_file_and_of_the_hash() -> None:
    second = codebook("tags", 2)
    assert Codebook.from_bytes(second.to_bytes()).name == "tags2"
    assert Codebook("tags", "encoder", RAW, second.centroids, 8).content_hash != second.content_hash


def test_levels_and_numbers_change_the_id_of_a_bundle() -> None:
    bundles = [
        Bundle.of(FIRST),
        Bundle.of([codebook("tags", 2), *FIRST]),
        Bundle.of(FIRST, numbers=4),
        Bundle.of(FIRST, numbers=4, same_song=NUMBERED),
    ]
    assert len({bundle.bundle_id for bundle in bundles}) == 4


def test_a_bundle_finds_codebooks_by_column() -> None:
    bundle = Bundle.of([codebook("audio", 3), codebook("audio", 2), *FIRST])
    assert bundle["audio3"].level == 3
    assert [book.name for book in bundle.before(bundle["audio3"])] == ["audio", "audio2"]


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ([codebook("tags", 3)], "lacks the level before tags3"),
        ([codebook("tags", 2), codebook("tags", 2)], "out of order"),
    ],
)
def test_a_bundle_with_missing_or_repeated_levels_is_refused(further: list[Codebook], message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        Bundle.of([*FIRST, *further])
