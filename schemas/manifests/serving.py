"""``releases/<release_id>/serving/serving.json``: the header of a serving table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest
from tracktokens.schemas.manifests.field_types import Name
from tracktokens.schemas.token_format import FurtherColumns, TokenFormat


@dataclass(frozen=True)
class ServingManifest(Manifest):
    """Description of a serving table: its release, its token columns, and the sizes of its arrays.

    Attributes:
        release_id: release whose tracks it has.
        bundle_id: bundle of its codes.
        codebook_size: codes per modality in the vocabulary.
        tracks: number of tracks.
        tuples: number of distinct token tuples.
        columns: names of the token columns, in order.
        tokens: columns after the five of the modalities, as ``TokenFormat.to_json`` returns them, or null.
        weights: default weight of each column in matching.
        nodes: number of nodes of the trie per depth, one per column.
    """

    KIND: ClassVar[str] = "serving"

    release_id: Name
    bundle_id: Name
    codebook_size: int
    tracks: int
    tuples: int
    columns: Sequence[str]
    tokens: Annotated[Mapping[str, Any], FurtherColumns] | None
    weights: Sequence[float]
    nodes: Sequence[int]

    def check(self) -> None:
        """Check the columns; see :meth:`.Manifest.check`."""
        self.token_format.check()

    @property
    def token_format(self) -> TokenFormat:
        """Columns of its tokens."""
        return TokenFormat.from_json(self.codebook_size, self.tokens)
