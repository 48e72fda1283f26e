"""``releases/<release_id>/serving/serving.json``: the header of a serving table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest


@dataclass(frozen=True)
class ServingManifest(Manifest):
    """Description of a serving table: its release, its token columns, and the sizes of its arrays.

    Attributes:
        release_id: release whose tracks it has.
        bundle_id: bundle of its codes.
        codebook_size: codes per modality in the vocabulary.
        tracks: number of tracks.
        tuples: number of distinct token tuples.
        columns: token columns in order, each with ``name``, ``modality``, ``level``, ``size`` (codes) and ``weight``
            (default weight of matching).
        nodes: number of nodes of the trie per depth, one per column.
    """

    KIND: ClassVar[str] = "serving"

    release_id: str
    bundle_id: str
    codebook_size: int
    tracks: int
    tuples: int
    columns: Sequence[Mapping[str, Any]]
    nodes: Sequence[int]
