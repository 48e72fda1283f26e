"""``catalogs/<id>/catalog.json`` and ``playlists.json``: what a scan of the inputs found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tracktokens.schemas.manifests.base import Manifest


@dataclass(frozen=True)
class CatalogManifest(Manifest):
    """A complete scan of a catalog. Written last: a catalog folder without it is not to be read.

    Attributes:
        catalog_id: name of the folder.
        base: the catalog that it was compared with while scanning, or None: which of its keys are ``changed``.
        rows_read: rows of the tracks input.
        rows_accepted: rows in ``tracks/``.
        rows_rejected: rows lost, each with a row in ``rejects/``.
        encoders: modality to encoder id. A modality that was not encoded is not there.
        tracks_with: modality to number of tracks that have an input, or a given vector; the playlist modality has no
            inputs of its own.
        inputs: modality to number of distinct inputs, or given vectors.
        encoded: modality to number of inputs that this scan had to encode, or of given vectors that it stored.
        failed: modality to number of inputs of which the encoder could make no vector, in this scan.
        encoding_seconds: modality to seconds in the encoder, waiting for decoders included, summed over threads.
        decoding_seconds: modality to seconds that decoders were busy, summed over them.
        vectors: modality to what became of the vectors that were given for it, as ``VectorCounts`` names it.
        ignored_columns: input columns that are not in the schema, in order of name.
    """

    KIND: ClassVar[str] = "catalog"
    FORMAT: ClassVar[int] = 2

    catalog_id: str
    base: str | None
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    encoders: Mapping[str, str]
    tracks_with: Mapping[str, int]
    inputs: Mapping[str, int]
    encoded: Mapping[str, int]
    failed: Mapping[str, int]
    encoding_seconds: Mapping[str, float]
    decoding_seconds: Mapping[str, float]
    vectors: Mapping[str, Mapping[str, int]]
    ignored_columns: list[str]


@dataclass(frozen=True)
class PlaylistsManifest(Manifest):
    """The playlists that were learned with a catalog. Written when the corpus and the vectors are complete.

    Attributes:
        encoder_id: the playlist vectors' encoder; it covers the whole corpus.
        playlists_read: rows of the playlists input.
        playlists_used: playlists in the corpus.
        playlists_rejected: playlists left out, each with a row in ``rejects/``.
        entries_read: track ids in all readable playlists.
        entries_unknown: of these, ids that are not in the catalog.
        tracks: distinct tracks in the corpus.
        trained: whether the vectors were trained now, and not found in the store.
        folded: tracks that got a vector now without training, out of those around them.
    """

    KIND: ClassVar[str] = "playlists"

    encoder_id: str
    playlists_read: int
    playlists_used: int
    playlists_rejected: int
    entries_read: int
    entries_unknown: int
    tracks: int
    trained: bool
    folded: int = 0
