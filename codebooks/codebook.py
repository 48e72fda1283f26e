"""One codebook: preprocessing and the centroids of one modality, as values, as bytes, and under a hash of its contents.

Layout of the bytes: safetensors. Tensors ``centroids`` (float32, codes x components) and, where they are used, ``mean``
and ``scale`` (float32, dim) and ``projection`` (float32, dim x components). Metadata: format version, modality, encoder
id, reserved codes, unit length, content hash.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tracktokens.codebooks.numerics.arrays import Floats, Vectors
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES

FORMAT_VERSION = "2"

MAX_CODES = 32767
"""Most codes a modality can have: a code is a non-negative int16."""


_HEADER_LENGTH_BYTES = 8
_HEADER_ALIGNMENT = 8


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """What happens to a vector before its distance to a centroid is taken: standardise, project, scale to unit length.

    Attributes:
        unit_length: whether vectors are divided by their L2 norm.
        mean: float32 (dim,), subtracted first; None where vectors are not standardised.
        scale: float32 (dim,), multiplied second; None where vectors are not standardised.
        projection: float32 (dim, components), the matrix whose product with a vector is taken third; None where points
            have the dimensions of the vectors.

    Raises:
        ValueError: one of mean and scale is missing, or shapes do not fit each other.
        InvalidDataError: a value is not finite.
    """

    unit_length: bool
    mean: Floats | None = None
    scale: Floats | None = None
    projection: Floats | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.scale is None):
            raise ValueError("standardisation needs both a mean and a scale")
        if self.mean is not None and self.scale is not None:
            _check_array("mean", self.mean, ndim=1)
            _check_array("scale", self.scale, ndim=1)
            if self.mean.shape != self.scale.shape:
                raise ValueError(f"the mean has {len(self.mean)} dimensions, the scale {len(self.scale)}")
        if self.projection is not None:
            _check_array("projection", self.projection, ndim=2)
            if self.mean is not None and len(self.mean) != len(self.projection):
                raise ValueError(f"the mean has {len(self.mean)} dimensions, the projection {len(self.projection)}")

    def apply(self, vectors: Vectors, out: Floats | None = None) -> Floats:
        """Preprocess float16 or float32 vectors of shape (n, dim) into a float32 array of shape (n, components).

        A zero vector stays zero: it has no direction. A vector becomes the same point whatever others come with it.

        Args:
            vectors: left as they are.
            out: where the points go, contiguous; a new array where it is None.

        Raises:
            InvalidDataError: a value is NaN or infinite, or too large for a float32 norm.
        """
        points = np.empty((len(vectors), self.components(vectors.shape[1])), np.float32) if out is None else out
        if self.projection is None:
            np.copyto(points, vectors)
            self._standardise(points)
        else:
            # Not a matrix product by BLAS: a row of it may depend on how many rows there are.
            np.einsum(
                "ij,jk->ik", self._standardise(vectors.astype(np.float32, order="C")), self.projection, out=points
            )
        squared_norms = np.einsum("ij,ij->i", points, points)
        if unusable := int(np.count_nonzero(~np.isfinite(squared_norms))):
            raise InvalidDataError(f"{unusable} of {len(points)} vectors have values that are not finite, or too large")
        if self.unit_length:
            norms = np.sqrt(squared_norms)
            points /= np.where(norms > 0, norms, 1)[:, np.newaxis]
        return points

    def components(self, dim: int) -> int:
        """Dimensions of the points that vectors of ``dim`` dimensions become.

        Raises:
            ValueError: the preprocessing is for vectors of other dimensions.
        """
        expected = self.projection if self.projection is not None else self.mean
        if expected is not None and len(expected) != dim:
            raise ValueError(f"the preprocessing is for vectors of {len(expected)} dimensions, not {dim}")
        return dim if self.projection is None else int(self.projection.shape[1])

    def _standardise(self, points: Floats) -> Floats:
        if self.mean is not None and self.scale is not None:
            points -= self.mean
            points *= self.scale
        return points


@dataclass(frozen=True, eq=False)
class Codebook:
    """Preprocessing and centroids of one modality. A vector's code is the row number of its nearest centroid.

    Compare codebooks by :attr:`content_hash`.

    Attributes:
        modality: one of ``schemas.modalities.MODALITIES``.
        encoder_id: the encoder whose vectors the centroids were learned from.
        preprocessing: applied to vectors before they are compared with centroids.
        centroids: float32 (codes, components), in preprocessed space; no rows for a modality without vectors.
        codebook_size: codes that the vocabulary sets aside for the modality, at least as many as there are centroids.

    Raises:
        ValueError: shapes, types or counts do not fit each other.
        InvalidDataError: a centroid is not finite.
    """

    modality: str
    encoder_id: str
    preprocessing: Preprocessing
    centroids: Floats = field(repr=False)
    codebook_size: int

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ValueError(f"{self.modality!r} is none of the modalities {', '.join(MODALITIES)}")
        _check_array("centroids", self.centroids, ndim=2)
        if not 1 <= self.codebook_size <= MAX_CODES:
            raise ValueError(f"{self.codebook_size} reserved codes: a modality can have 1 to {MAX_CODES}")
        if len(self.centroids) > self.codebook_size:
            raise ValueError(f"{len(self.centroids)} centroids do not fit into {self.codebook_size} reserved codes")
        if (components := self.preprocessing.components(self.dim)) != self.centroids.shape[1]:
            raise ValueError(f"centroids have {self.centroids.shape[1]} dimensions, preprocessed vectors {components}")

    @property
    def dim(self) -> int:
        """Length of the vectors, before they are preprocessed."""
        for array in (self.preprocessing.mean, self.preprocessing.projection):
            if array is not None:
                return len(array)
        return int(self.centroids.shape[1])

    @property
    def num_centroids(self) -> int:
        """Number of centroids, which is the number of codes in use."""
        return len(self.centroids)

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything that decides a code: 32 hex digits of BLAKE2b."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps(self._description(), sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(f"{name}{tensor.shape}".encode())
            digest.update(tensor.astype("<f4").tobytes())
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """Serialise as safetensors. Equal codebooks give equal bytes."""
        return save_sorted(self._tensors(), {**self._description(), "content_hash": self.content_hash})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Codebook":
        """Read what :meth:`to_bytes` wrote.

        Raises:
            InvalidDataError: the bytes are not a codebook, are of another format version, or were changed since.
        """
        try:
            return _read(data)
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise InvalidDataError(f"these bytes are not a codebook: {error}") from error

    def _description(self) -> dict[str, str]:
        return {
            "format": FORMAT_VERSION,
            "modality": self.modality,
            "encoder_id": self.encoder_id,
            "reserved": str(self.codebook_size),
            "unit_length": "true" if self.preprocessing.unit_length else "false",
        }

    def _tensors(self) -> dict[str, Floats]:
        space = self.preprocessing
        tensors = {
            "centroids": self.centroids,
            "mean": space.mean,
            "scale": space.scale,
            "projection": space.projection,
        }
        return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items() if tensor is not None}


def _check_array(name: str, array: Floats, ndim: int) -> None:
    if array.ndim != ndim or array.dtype != np.float32:
        raise ValueError(
            f"{name}: float32 with {ndim} dimension(s) is needed, not {array.dtype} of shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise InvalidDataError(f"{name}: some values are not finite")


def _read(data: bytes) -> Codebook:
    tensors = load(data)  # checks lengths and offsets, so that the header can be trusted after it
    metadata = _metadata(data)
    if metadata["format"] != FORMAT_VERSION:
        raise InvalidDataError(
            f"a codebook of format version {metadata['format']}, and this program reads {FORMAT_VERSION}: "
            "`tracktokens train` learns codebooks anew"
        )
    codebook = Codebook(
        modality=metadata["modality"],
        encoder_id=metadata["encoder_id"],
        preprocessing=Preprocessing(
            _boolean(metadata["unit_length"]), tensors.get("mean"), tensors.get("scale"), tensors.get("projection")
        ),
        centroids=tensors["centroids"],
        codebook_size=int(metadata["reserved"]),
    )
    if codebook.content_hash != metadata["content_hash"]:
        raise ValueError(f"contents hash to {codebook.content_hash}, not to {metadata['content_hash']} as written")
    return codebook


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _metadata(data: bytes) -> Mapping[str, str]:
    metadata = _header(data).get("__metadata__", {})
    required = ("format", "modality", "encoder_id", "reserved", "unit_length", "content_hash")
    if missing := [name for name in required if name not in metadata]:
        raise ValueError(f"the metadata lacks {', '.join(missing)}")
    return metadata  # type: ignore[no-any-return]


def _header(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:_HEADER_LENGTH_BYTES], "little")
    return json.loads(data[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + length])  # type: ignore[no-any-return]


def save_sorted(tensors: Mapping[str, Floats], metadata: Mapping[str, str]) -> bytes:
    """Serialise float32 tensors as safetensors: the same tensors and metadata give the same bytes."""
    return _sort_header(save(dict(tensors), dict(metadata)))


def _sort_header(data: bytes) -> bytes:
    """Rewrite a safetensors header with sorted keys: the library writes metadata in the order of a randomised hash."""
    length = int.from_bytes(data[:_HEADER_LENGTH_BYTES], "little")
    header = json.dumps(_header(data), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _HEADER_ALIGNMENT)
    return len(header).to_bytes(_HEADER_LENGTH_BYTES, "little") + header + data[_HEADER_LENGTH_BYTES + length :]
