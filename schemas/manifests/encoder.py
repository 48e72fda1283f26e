"""``vectors/<modality>/<encoder_id>/encoder.json``: the encoder of the vectors in that folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest


@dataclass(frozen=True)
class EncoderManifest(Manifest):
    """Properties of an encoder that later jobs use.

    Attributes:
        standardize: whether codebooks standardise the vectors, because their dimensions have different units. Without
            it, codebooks scale them to unit length.
        identity: contents that the encoder id is a hash of.
        comparison: kind of playlist encoder to its figures on held-out playlists, where the kind was chosen by them;
            null otherwise.
    """

    KIND: ClassVar[str] = "encoder"

    standardize: bool
    identity: Mapping[str, Any]
    comparison: Mapping[str, Mapping[str, float]] | None = None
