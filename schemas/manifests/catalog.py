"""``catalogs/<id>/catalog.json`` and ``playlists.json``: results of scanning the inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest
from tracktokens.schemas.manifests.field_types import Name


@dataclass(frozen=True)
class CatalogManifest(Manifest):
    """A complete scan of a catalog. Written last: a catalog folder without it must not be read.

    Attributes:
        catalog_id: name of the folder.
        base: the snapshot that the scan was diffed against, or None; keys that differ from it are ``changed``.
        rows_read: rows of the tracks input.
        rows_accepted: rows in ``tracks/``.
        rows_rejected: rows lost, each with a row in ``rejects/``.
        encoders: modality to encoder id. A modality that was not encoded is not there.
        tracks_with: modality to number of tracks that have an input, or a precomputed embedding; the playlist modality
            has no inputs of its own.
        inputs: modality to number of distinct inputs, or precomputed embeddings.
        encoded: modality to number of inputs that this scan encoded, or of precomputed embeddings that it stored.
        failed: modality to number of inputs that the encoder failed to encode in this scan.
        encoding_seconds: modality to seconds in the encoder, waiting for decoders included, summed over threads.
        decoding_seconds: modality to seconds that decoders were busy, summed over them.
        vectors: modality to counts of its precomputed embeddings, by the names of ``VectorCounts``.
        ignored_columns: input columns that are not in the schema, sorted by name.
        options: long option name to value: the options of the catalog and its encoders, paths as absolute ones. Null in
            snapshots of older versions.
    """

    KIND: ClassVar[str] = "catalog"
    FORMAT: ClassVar[int] = 2
    OLDER_REMEDY: ClassVar[str] = "bring the store up to date with `tracktokens migrate`, which keeps its tokens"

    catalog_id: Name
    base: Name | None
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    encoders: Mapping[Name, Name]
    tracks_with: Mapping[str, int]
    inputs: Mapping[str, int]
    encoded: Mapping[str, int]
    failed: Mapping[str, int]
    encoding_seconds: Mapping[str, float]
    decoding_seconds: Mapping[str, float]
    vectors: Mapping[str, Mapping[str, int]]
    ignored_columns: list[str]
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PlaylistsManifest(Manifest):
    """Playlists that vectors were trained on. Written when the corpus and the vectors are complete.

    Attributes:
        encoder_id: encoder of the playlist vectors; it covers the whole corpus.
        playlists_read: rows of the playlists input.
        playlists_used: playlists in the corpus.
        playlists_rejected: rejected playlists, each with a row in ``rejects/``.
        entries_read: track ids in all readable playlists.
        entries_unknown: entries whose id is not in the catalog.
        tracks: distinct tracks in the corpus.
        trained: whether this job trained the vectors; false where the store had them already.
        folded: tracks whose vector this job folded in from their neighbours, without training.
        without_vector: tracks in the corpus that get no vector: in a training, those of small isolated playlists; when
            folding in, those without a known neighbour.
        encoder: kind of the encoder, such as ``word2vec``; null in snapshots of older versions.
        comparison: kind of encoder to its figures on held-out playlists, where the kind was chosen by them; null
            otherwise.
        entries_null: null entries, which are dropped.
        entries_rejected: rejected entries and lists of entries, each with a row in ``rejects/``.
        ignored_columns: input columns that are not in the schema, sorted by name.
    """

    KIND: ClassVar[str] = "playlists"

    encoder_id: Name
    playlists_read: int
    playlists_used: int
    playlists_rejected: int
    entries_read: int
    entries_unknown: int
    tracks: int
    trained: bool
    folded: int = 0
    without_vector: int = 0
    encoder: str | None = None
    comparison: Mapping[str, Mapping[str, float]] | None = None
    entries_null: int = 0
    entries_rejected: int = 0
    ignored_columns: Sequence[str] = ()
