"""The scorers that an evaluation compares: tokens, full vectors, and rivals that know neither."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.metrics.code_affinity import learn_affinities
from tracktokens.codebooks.metrics.playlist_continuation import Continuation, Scorer
from tracktokens.codebooks.metrics.rival_scorers import (
    AlsScorer,
    ArtistScorer,
    FixedScorer,
    ItemKnnScorer,
    VectorScorer,
)
from tracktokens.codebooks.metrics.token_features import CodeAffinities, EqualCodes, SimilarCodes, WeightedScorer
from tracktokens.codebooks.numerics.arrays import CodeMatrix, Doubles, Floats, Integers
from tracktokens.pipelines.analysis.held_out import continuation
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.catalog import TRACK_KEYS
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.transforms.playlists import als
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_bundle, read_codebook
from tracktokens.transforms.store.keys import content_keys, distinct_sorted, track_numbers
from tracktokens.transforms.store.records import read_vectors
from tracktokens.transforms.store.release_index import ReleaseIndex, similarities
from tracktokens.transforms.store.snapshots import Snapshot

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

AFFINITY = "tokens, affinity"
"""The default: affinities of codes, learned from the training playlists."""

EQUAL = "tokens"
"""TalkPlay's: the weights of equal codes."""

GRADED = "tokens, graded"
POPULARITY = "popularity"
ARTIST = "artist, then popularity"
ITEM_KNN = "item-kNN"
ALS = "ALS, playlist folded in"
RANDOM = "random"

FIT_PLAYLISTS = 300
"""Training playlists that weights are fitted on: a sample of more."""


@dataclass(frozen=True, eq=False)
class ReleaseScorers:
    """Scorers of the tracks of a release. Rows are those of its index.

    Attributes:
        snapshot: catalog of the release, with the training playlists.
        release: its manifest.
        index: its tokens.
        weights: weight per modality, in token order.
        seed: seed of ALS and of random scores.
    """

    snapshot: Snapshot
    release: ReleaseManifest
    index: ReleaseIndex
    weights: Sequence[float]
    seed: int

    @cached_property
    def codes(self) -> CodeMatrix:
        """Codes of all rows, int16 (tracks, 5).

        Without residual levels and numbers, which separate tracks of equal codes: seeds do not share them with the
        tracks that continue them.
        """
        return self.index.index.codes(np.arange(len(self.index.index)))[:, : len(MODALITIES)]

    @cached_property
    def entries(self) -> "csr_matrix":
        """Entries of the playlists that the release was trained on, (playlists, tracks): indices in playlist order."""
        return _training_entries(self.snapshot, self.index.track_ids)

    @cached_property
    def training(self) -> "csr_matrix":
        """Playlists that the release was trained on: float64 (playlists, tracks), 1 where one holds a track."""
        playlists = self.entries.copy()
        playlists.sum_duplicates()
        playlists.data[:] = 1  # a playlist may repeat a track
        return playlists

    def training_continuations(self, seeds: int) -> list[Continuation]:
        """Draw at most :data:`FIT_PLAYLISTS` training playlists, split as held-out playlists are."""
        order = np.random.default_rng(self.seed).permutation(self.entries.shape[0])
        bounds, rows = self.entries.indptr, self.entries.indices.astype(np.int64)
        lists = (continuation(rows[bounds[number] : bounds[number + 1]], seeds) for number in order)
        return list(itertools.islice(itertools.chain.from_iterable(lists), FIT_PLAYLISTS))

    @cached_property
    def playlists(self) -> Doubles:
        """Number of training playlists that hold each track: float64 (tracks,)."""
        counts: Doubles = np.asarray(self.training.sum(axis=0)).ravel()
        return counts

    @cached_property
    def equal(self) -> EqualCodes:
        """Features of TalkPlay's score."""
        return EqualCodes(self.codes)

    @cached_property
    def affinity(self) -> CodeAffinities:
        """Features of the default score."""
        return CodeAffinities(self.codes, learn_affinities(self.codes.T, self.training, self.playlists), self.playlists)

    def tokens(self) -> dict[str, Scorer]:
        """Build scorers of the tokens: all modalities by affinity, equality and similarity, and each alone."""
        similar = SimilarCodes(
            self.codes, similarities(read_bundle(self.snapshot.store, self.release.bundle_id))[: len(MODALITIES)]
        )
        scorers: dict[str, Scorer] = {
            AFFINITY: WeightedScorer(self.affinity, self.affinity.weights),
            EQUAL: WeightedScorer(self.equal, self.weights),
            GRADED: WeightedScorer(similar, self.weights),
        }
        for column, modality in enumerate(MODALITIES):
            if (self.codes[:, column] >= 0).any():
                alone = np.eye(len(MODALITIES))[column].tolist()
                scorers[f"tokens, {modality} alone"] = WeightedScorer(self.equal, alone)
        return scorers

    def unit_vectors(self, modality: str) -> Floats | None:
        """Read the preprocessed vectors of a modality, of unit length: float32 (tracks, components).

        A track without the modality has zeros. None if the bundle has no centroids of it.
        """
        if modality not in self.snapshot.encoders:
            return None
        codebook = read_codebook(self.snapshot.store, self.release.bundle_id, modality)
        if not codebook.num_centroids:
            return None
        tracks = pa.array(track_numbers(content_keys(self.index.track_ids.cast(pa.string()))))
        return _modality_vectors(self.snapshot, codebook, tracks)

    def vectors(self) -> dict[str, Scorer]:
        """Build scorers of the full vectors: all modalities with the weights of the tokens, and each alone."""
        read = {modality: self.unit_vectors(modality) for modality in self.snapshot.encoders}
        vectors = {modality: rows for modality, rows in read.items() if rows is not None}
        weights = dict(zip(MODALITIES, self.weights, strict=True))
        scorers: dict[str, Scorer] = {"vectors": VectorScorer(vectors, weights)}
        for modality, rows in vectors.items():
            scorers[f"vectors, {modality} alone"] = VectorScorer({modality: rows}, {modality: 1.0})
        return scorers

    def rivals(self) -> dict[str, Scorer]:
        """Build scorers that use neither tokens nor vectors; those of the training playlists only if there are any."""
        scorers: dict[str, Scorer] = {
            POPULARITY: FixedScorer(self.playlists),
            ARTIST: ArtistScorer(_artists(self.index), self.playlists),
        }
        if self.training.nnz:
            scorers[ITEM_KNN] = ItemKnnScorer(self.training)
        if self.training.nnz and als.is_installed():
            scorers[ALS] = AlsScorer.fit(self.training, self.seed)
        return scorers | {RANDOM: FixedScorer(np.random.default_rng(self.seed).random(len(self.codes)))}


def _training_entries(snapshot: Snapshot, track_ids: pa.LargeStringArray) -> "csr_matrix":
    """Read the corpus: 12 bytes per entry."""
    from scipy.sparse import csr_matrix

    keys = content_keys(track_ids.cast(pa.string()))
    indices, lengths = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
    for batch in files.read_folder(snapshot.catalog.corpus, CORPUS):
        rows = pc.index_in(pc.list_flatten(batch["track_keys"]), value_set=keys)
        owners = pc.list_parent_indices(batch["track_keys"]).to_numpy()
        known = rows.is_valid().to_numpy(zero_copy_only=False)
        indices.append(rows.drop_null().to_numpy())
        lengths.append(np.bincount(owners[known], minlength=batch.num_rows))
    columns, offsets = np.concatenate(indices), np.cumsum(np.concatenate(lengths))
    return csr_matrix((np.ones(len(columns)), columns, offsets), shape=(len(offsets) - 1, len(keys)))


def _modality_vectors(snapshot: Snapshot, codebook: Codebook, tracks: pa.UInt64Array) -> Floats:
    """Read one unit vector per track number, zero where a track has none: float32 (tracks, components)."""
    unit_vectors = np.zeros((len(tracks), codebook.preprocessing.components(codebook.dim)), np.float32)
    unit = Preprocessing(unit_length=True)
    for bucket in range(snapshot.store.buckets):
        keys = files.read_table(snapshot.catalog.keys(codebook.modality, bucket), TRACK_KEYS)
        key_column = keys["key"].combine_chunks()
        folder = snapshot.store.vectors(codebook.modality, codebook.encoder_id, bucket)
        for present, vectors in read_vectors(folder, distinct_sorted(key_column)):
            owners = pc.index_in(key_column, value_set=present)
            rows = pc.index_in(keys["track"].filter(owners.is_valid()), value_set=tracks)
            points = unit.apply(codebook.preprocessing.apply(vectors))
            unit_vectors[rows.to_numpy()] = points[owners.drop_null().to_numpy()]
    return unit_vectors


def _artists(index: ReleaseIndex) -> Integers:
    """Number the artist of each row: int64 (tracks,), -1 if it is not known."""
    buckets = range(index.table.catalog.buckets)
    tracks = pa.concat_tables([index.table.tracks(bucket, ["track_id", "artist"]) for bucket in buckets])
    ids = tracks["track_id"].cast(pa.large_string()).combine_chunks()
    artists = tracks["artist"].take(pc.index_in(index.track_ids, value_set=ids)).combine_chunks()
    numbers: Integers = pc.fill_null(artists.dictionary_encode().indices, -1).to_numpy().astype(np.int64)
    return numbers
