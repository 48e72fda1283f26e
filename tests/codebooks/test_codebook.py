"""Preprocessing, and codebooks as values and as bytes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save

from tracktokens.codebooks.codebook import Codebook, Preprocessing, save_sorted
from tracktokens.schemas.errors import InvalidDataError

CENTROIDS = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
STANDARDISED = Preprocessing(False, mean=np.array([1, 2], np.float32), scale=np.array([0.5, 4], np.float32))

PROJECTION = np.array([[1, 0, 2], [0, 1, 1]], np.float32)
PROJECTED = Preprocessing(False, STANDARDISED.mean, STANDARDISED.scale, PROJECTION)
WIDE = np.array([[1, 0, 5], [0, 1, 5]], np.float32)


def make_codebook(**changes):
    fields = {
        "modality": "audio",
        "encoder_id": "abcdef012345",
        "preprocessing": STANDARDISED,
        "centroids": CENTROIDS,
        "codebook_size": 4,
    }
    return Codebook(**{**fields, **changes})


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_vectors_are_scaled_to_unit_length_and_a_zero_vector_stays_zero(dtype):
    points = Preprocessing(unit_length=True).apply(np.array([[3, 4], [0, 0], [0, -2]], dtype))
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, [[0.6, 0.8], [0, 0], [0, -1]], rtol=1e-6)


def test_the_mean_is_subtracted_before_the_scale_is_applied():
    np.testing.assert_array_equal(STANDARDISED.apply(np.array([[3, 1]], np.float16)), [[1, -4]])


def test_unit_length_comes_after_standardisation():
    both = Preprocessing(True, mean=np.array([1, 1], np.float32), scale=np.array([3, 4], np.float32))
    np.testing.assert_allclose(both.apply(np.array([[2, 2]], np.float32)), [[0.6, 0.8]], rtol=1e-6)


def test_the_projection_comes_after_the_scale_and_before_unit_length():
    projected = Preprocessing(True, np.array([1, 1], np.float32), np.array([3, 4], np.float32), PROJECTION)
    # (2, 2) becomes (1, 1), (3, 4), and then 3 x (1, 0, 2) + 4 x (0, 1, 1) = (3, 4, 10), whose length is 11.18.
    np.testing.assert_allclose(
        projected.apply(np.array([[2, 2]], np.float16)), [np.array([3, 4, 10]) / np.sqrt(125)], rtol=1e-6
    )


def test_a_projection_alone_is_a_product():
    vectors = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    np.testing.assert_allclose(Preprocessing(False, projection=PROJECTION).apply(vectors), vectors @ PROJECTION, 1e-5)


@pytest.mark.parametrize("components", [1, 3, 8, 67])
def test_a_vector_is_projected_to_the_same_point_alone_and_in_company(components):
    rng = np.random.default_rng(1)
    projection = rng.normal(size=(150, components)).astype(np.float32)
    space = Preprocessing(False, rng.normal(size=150).astype("f4"), rng.normal(size=150).astype("f4"), projection)
    vectors = rng.normal(size=(200, 150)).astype(np.float16)
    together = space.apply(vectors)
    for row in range(len(vectors)):
        np.testing.assert_array_equal(space.apply(vectors[row : row + 1])[0], together[row])


def test_points_are_written_to_the_callers_array():
    out = np.full((1, 2), 7, np.float32)
    assert Preprocessing(True).apply(np.array([[3, 4]], np.float16), out) is out
    np.testing.assert_allclose(out, [[0.6, 0.8]], rtol=1e-6)


def test_the_input_is_left_as_it_was():
    vectors = np.array([[3, 4]], np.float32)
    for preprocessing in (Preprocessing(unit_length=True), STANDARDISED, PROJECTED):
        preprocessing.apply(vectors)
        np.testing.assert_array_equal(vectors, [[3, 4]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("preprocessing", [Preprocessing(True), Preprocessing(False)])
def test_a_vector_that_is_not_finite_is_refused(preprocessing, value):
    with pytest.raises(InvalidDataError, match="1 of 2 vectors"):
        preprocessing.apply(np.array([[1, 2], [value, 2]], np.float32))


def test_a_mean_without_a_scale_is_an_error():
    with pytest.raises(ValueError, match="both a mean and a scale"):
        Preprocessing(False, mean=np.zeros(2, np.float32))


def test_a_projection_has_as_many_rows_as_the_mean_has_values():
    with pytest.raises(ValueError, match="the mean has 2 dimensions, the projection 3"):
        Preprocessing(False, STANDARDISED.mean, STANDARDISED.scale, np.ones((3, 1), np.float32))


def test_vectors_of_other_dimensions_are_an_error_that_names_both():
    for preprocessing in (STANDARDISED, PROJECTED):
        with pytest.raises(ValueError, match="vectors of 2 dimensions, not 5"):
            preprocessing.apply(np.ones((1, 5), np.float32))


@pytest.mark.parametrize("preprocessing", [STANDARDISED, Preprocessing(True)])
def test_a_codebook_survives_its_bytes(preprocessing):
    codebook = make_codebook(preprocessing=preprocessing)
    read = Codebook.from_bytes(codebook.to_bytes())
    assert (read.modality, read.encoder_id, read.codebook_size) == ("audio", "abcdef012345", 4)
    assert read.preprocessing.unit_length == preprocessing.unit_length
    np.testing.assert_array_equal(read.centroids, CENTROIDS)
    if preprocessing.mean is None:
        assert read.preprocessing.mean is None and read.preprocessing.scale is None
    else:
        np.testing.assert_array_equal(read.preprocessing.mean, preprocessing.mean)
        np.testing.assert_array_equal(read.preprocessing.scale, preprocessing.scale)
    assert read.content_hash == codebook.content_hash


def test_a_projection_survives_the_bytes_and_the_codebook_is_of_vectors_before_it():
    codebook = make_codebook(preprocessing=PROJECTED, centroids=WIDE)
    read = Codebook.from_bytes(codebook.to_bytes())
    np.testing.assert_array_equal(read.preprocessing.projection, PROJECTION)
    assert read.content_hash == codebook.content_hash
    assert (read.dim, read.centroids.shape) == (2, (2, 3))


def test_the_content_hash_changes_with_the_projection():
    other = Preprocessing(False, STANDARDISED.mean, STANDARDISED.scale, PROJECTION[::-1].copy())
    hashes = {make_codebook(preprocessing=p, centroids=WIDE).content_hash for p in (PROJECTED, other)}
    assert len(hashes) == 2


def test_a_codebook_without_centroids_survives_its_bytes():
    empty = make_codebook(centroids=np.zeros((0, 2), np.float32))
    assert Codebook.from_bytes(empty.to_bytes()).centroids.shape == (0, 2)


def test_bytes_are_the_same_in_every_process():
    program = (
        "import hashlib, numpy as np; from tracktokens.codebooks.codebook import *;"
        "p = Preprocessing(False, np.ones(2, np.float32), np.ones(2, np.float32));"
        "c = Codebook('audio', 'e', p, np.eye(2, dtype=np.float32), 2);"
        "print(hashlib.sha256(c.to_bytes()).hexdigest())"
    )
    runs = {subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout for _ in range(3)}
    assert len(runs) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"modality": "lyrics"},
        {"encoder_id": "another"},
        {"codebook_size": 5},
        {"preprocessing": Preprocessing(True)},
        {"preprocessing": Preprocessing(False)},
        {"centroids": CENTROIDS[::-1]},
        {"preprocessing": Preprocessing(False, mean=STANDARDISED.scale, scale=STANDARDISED.mean)},
    ],
)
def test_the_content_hash_changes_with_everything_that_decides_a_code(changes):
    assert make_codebook(**changes).content_hash != make_codebook().content_hash


def test_the_content_hash_is_32_hex_digits_of_the_contents_alone():
    assert make_codebook().content_hash == make_codebook(centroids=np.asfortranarray(CENTROIDS)).content_hash
    assert len(bytes.fromhex(make_codebook().content_hash)) == 16


@pytest.mark.parametrize("data", [b"", b"PAR1", b"\x08" + b"\0" * 7 + b'{"a": 1}', b"\xff" * 100])
def test_foreign_bytes_are_refused(data):
    with pytest.raises(InvalidDataError, match="these bytes are not a codebook"):
        Codebook.from_bytes(data)


def test_every_cut_is_refused():
    data = make_codebook().to_bytes()
    for length in range(len(data)):
        with pytest.raises(InvalidDataError):
            Codebook.from_bytes(data[:length])


def test_every_changed_byte_is_refused():
    codebook = make_codebook()
    data = codebook.to_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        try:
            read = Codebook.from_bytes(bytes(changed))
        except InvalidDataError:
            continue
        assert read.content_hash == codebook.content_hash  # padding between JSON tokens can change and mean the same


def test_a_safetensors_file_of_something_else_is_refused_by_what_it_lacks():
    with pytest.raises(InvalidDataError, match="the metadata lacks format, modality"):
        Codebook.from_bytes(save({"weight": CENTROIDS}))


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F64"])
def test_tensors_of_another_type_are_refused(dtype):
    width = {"BF16": 2, "F8_E4M3": 1, "F64": 8}[dtype]
    header = json.dumps({"centroids": {"dtype": dtype, "shape": [1, 2], "data_offsets": [0, 2 * width]}}).encode()
    with pytest.raises(InvalidDataError):
        Codebook.from_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 2 * width)


def test_another_format_version_is_named():
    data = make_codebook().to_bytes().replace(b'"format":"2"', b'"format":"1"')
    with pytest.raises(
        InvalidDataError, match="version 1, this tracktokens reads 2: train new codebooks with `tracktokens train`"
    ):
        Codebook.from_bytes(data)


def test_contents_that_do_not_match_their_hash_are_refused():
    data = make_codebook().to_bytes().replace(b'"encoder_id":"abcdef012345"', b'"encoder_id":"abcdef012346"')
    with pytest.raises(InvalidDataError, match="the content hash is"):
        Codebook.from_bytes(data)


def test_a_centroid_that_is_not_finite_is_refused():
    with pytest.raises(InvalidDataError, match="centroids has values that are not finite"):
        make_codebook(centroids=np.array([[np.nan, 1]], np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebook_size": 2}, "3 centroids do not fit into a codebook size of 2"),
        ({"codebook_size": 40_000}, "1 to 32767"),
        ({"modality": "video"}, "'video' is not a modality"),
        ({"centroids": CENTROIDS.astype(np.float64)}, "float64"),
        ({"centroids": np.ones((1, 3), np.float32)}, "centroids have 3 dimensions, preprocessed vectors 2"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        make_codebook(**changes)


def test_the_same_tensors_and_metadata_are_the_same_bytes_each_time():
    metadata = {name: name for name in ("bundle", "format", "another", "one_more")}
    assert len({save_sorted({"centroids": CENTROIDS}, metadata) for _ in range(20)}) == 1
