"""One codebook: preprocessing and centroids of one modality, their serialization, and a hash of their contents.

Layout: safetensors. Tensors ``centroids`` (float32, codes x components) and, where they are used, ``mean`` and
``scale`` (float32, dim) and ``projection`` (float32, dim x components). Metadata: format version, modality, encoder id,
codebook size (as ``reserved``), unit length, content hash, and the level from the second on.
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
from tracktokens.schemas.token_format import MAX_CODES, column_name

FORMAT_VERSION = "2"

_HEADER_LENGTH_BYTES = 8
_HEADER_ALIGNMENT = 8


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Preparation of vectors for comparison with centroids: standardise, project, scale to unit length, in this order.

    Attributes:
        unit_length: whether vectors are divided by their L2 norm, as the last step.
        mean: float32 (dim,), subtracted first; None if vectors are not standardised.
        scale: float32 (dim,), multiplied second; None if vectors are not standardised.
        projection: float32 (dim, components), right factor of a matrix product, third; None if points have the
            dimensions of the vectors.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[3, 4], [0, 0]], np.float32)
        >>> Preprocessing(unit_length=True).apply(vectors).round(1).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]

    Raises:
        ValueError: only one of mean and scale is set, or shapes do not match.
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

        A zero vector stays zero: it has no direction. The point of a vector does not depend on the other vectors.

        Args:
            vectors: not modified.
            out: array for the points, contiguous; a new array by default.

        Raises:
            InvalidDataError: a value is NaN or infinite, or too large for a float32 norm.
        """
        points = np.empty((len(vectors), self.components(vectors.shape[1])), np.float32) if out is None else out
        if self.projection is None:
            np.copyto(points, vectors)
            self._standardise(points)
        else:
            # Not BLAS: a row of its product may depend on the number of rows.
            np.einsum(
                "ij,jk->ik", self._standardise(vectors.astype(np.float32, order="C")), self.projection, out=points
            )
        squared_norms = np.einsum("ij,ij->i", points, points)
        if unusable := int(np.count_nonzero(~np.isfinite(squared_norms))):
            raise InvalidDataError(f"{unusable} of {len(points)} vectors have values that are not finite or too large")
        if self.unit_length:
            norms = np.sqrt(squared_norms)
            points /= np.where(norms > 0, norms, 1)[:, np.newaxis]
        return points

    def components(self, dim: int) -> int:
        """Return the dimensions of the points of vectors of ``dim`` dimensions.

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
    """Preprocessing and centroids of one modality. The code of a vector is the row number of its nearest centroid.

    Compare codebooks by :attr:`content_hash`.

    Example:
        >>> import numpy as np
        >>> centroids = np.array([[1, 0], [0, 1]], np.float32)
        >>> codebook = Codebook("audio", "encoder", Preprocessing(unit_length=True), centroids, codebook_size=4)
        >>> codebook.num_centroids, codebook.dim
        (2, 2)
        >>> Codebook.from_bytes(codebook.to_bytes()).content_hash == codebook.content_hash
        True

    Attributes:
        modality: one of ``schemas.modalities.MODALITIES``.
        encoder_id: encoder of the vectors that the centroids were learned from.
        preprocessing: applied to vectors before they are compared with centroids.
        centroids: float32 (codes, components), in preprocessed space; no rows for a modality without vectors.
        codebook_size: codes of the column in the vocabulary, at least the number of centroids.
        level: 1 for a codebook of vectors, 2 for one of what a codebook of level 1 leaves of preprocessed vectors, and
            so on. All levels of a modality have the same preprocessing.

    Raises:
        ValueError: shapes, dtypes or counts do not match.
        InvalidDataError: a centroid is not finite.
    """

    modality: str
    encoder_id: str
    preprocessing: Preprocessing
    centroids: Floats = field(repr=False)
    codebook_size: int
    level: int = 1

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ValueError(f"{self.modality!r} is not a modality: use one of {', '.join(MODALITIES)}")
        _check_array("centroids", self.centroids, ndim=2)
        if self.level < 1:
            raise ValueError(f"level {self.level} is out of range: the first level is 1")
        if not 1 <= self.codebook_size <= MAX_CODES:
            raise ValueError(
                f"codebook size {self.codebook_size} is out of range: a modality can have 1 to {MAX_CODES} codes"
            )
        if len(self.centroids) > self.codebook_size:
            raise ValueError(f"{len(self.centroids)} centroids do not fit into a codebook size of {self.codebook_size}")
        if (components := self.preprocessing.components(self.dim)) != self.centroids.shape[1]:
            raise ValueError(f"centroids have {self.centroids.shape[1]} dimensions, preprocessed vectors {components}")

    @property
    def name(self) -> str:
        """Name of its column of the token table: the modality, and the level from the second on."""
        return column_name(self.modality, self.level)

    @property
    def dim(self) -> int:
        """Dimensions of the vectors before preprocessing."""
        for array in (self.preprocessing.mean, self.preprocessing.projection):
            if array is not None:
                return len(array)
        return int(self.centroids.shape[1])

    @property
    def num_centroids(self) -> int:
        """Number of centroids: codes in use, at most ``codebook_size``."""
        return len(self.centroids)

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything that determines a code: 32 hex digits of BLAKE2b."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps(self._description(), sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(f"{name}{tensor.shape}".encode())
            digest.update(tensor.astype("<f4").tobytes())
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """Serialize as safetensors. Equal codebooks have equal bytes."""
        return save_sorted(self._tensors(), {**self._description(), "content_hash": self.content_hash})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Codebook":
        """Parse what :meth:`to_bytes` wrote.

        Raises:
            InvalidDataError: the bytes are not a codebook, have another format version, or do not match their hash.
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
            **({"level": str(self.level)} if self.level > 1 else {}),
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
        raise ValueError(f"{name} must be float32 with {ndim} dimension(s), not {array.dtype} of shape {array.shape}")
    if not np.isfinite(array).all():
        raise InvalidDataError(f"{name} has values that are not finite")


def _read(data: bytes) -> Codebook:
    tensors = load(data)  # checks lengths and offsets: the header is valid after this
    metadata = _metadata(data)
    if metadata["format"] != FORMAT_VERSION:
        raise InvalidDataError(
            f"the codebook has format version {metadata['format']}, this tracktokens reads {FORMAT_VERSION}: "
            "train new codebooks with `tracktokens train`"
        )
    codebook = Codebook(
        modality=metadata["modality"],
        encoder_id=metadata["encoder_id"],
        preprocessing=Preprocessing(
            _boolean(metadata["unit_length"]), tensors.get("mean"), tensors.get("scale"), tensors.get("projection")
        ),
        centroids=tensors["centroids"],
        codebook_size=int(metadata["reserved"]),
        level=int(metadata.get("level", "1")),
    )
    if codebook.content_hash != metadata["content_hash"]:
        raise ValueError(f"the content hash is {codebook.content_hash}, not {metadata['content_hash']} as stored")
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
    """Serialize float32 tensors as safetensors. Equal tensors and metadata have equal bytes."""
    return _sort_header(save(dict(tensors), dict(metadata)))


def _sort_header(data: bytes) -> bytes:
    """Sort the keys of a safetensors header: the library writes metadata in the order of a randomised hash."""
    length = int.from_bytes(data[:_HEADER_LENGTH_BYTES], "little")
    header = json.dumps(_header(data), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _HEADER_ALIGNMENT)
    return len(header).to_bytes(_HEADER_LENGTH_BYTES, "little") + header + data[_HEADER_LENGTH_BYTES + length :]
