"""``vectors/<modality>/<encoder_id>/encoder.json``: the encoder whose vectors lie beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest


@dataclass(frozen=True)
class EncoderManifest(Manifest):
    """What the jobs after the encoding need to know of an encoder.

    Attributes:
        standardize: whether a codebook standardises its vectors, whose dimensions have units of their own; otherwise it
            scales them to unit length.
        identity: what the encoder id is a hash of.
    """

    KIND: ClassVar[str] = "encoder"

    standardize: bool
    identity: Mapping[str, Any]
