"""Evaluation of a release: continue held-out playlists from the tokens of their first tracks alone.

The baselines continue them from the full vectors, from one modality at a time, by popularity, and at random.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
from tracktokens.codebooks.metrics.playlist_continuation import (
    Continuation,
    ContinuationQuality,
    FixedScorer,
    Scorer,
    TokenScorer,
    VectorScorer,
    by_modality,
    fit_weights,
    measure,
)
from tracktokens.codebooks.numerics.arrays import CodeMatrix
from tracktokens.pipelines.catalog_source import MAX_REJECT_RATE
from tracktokens.pipelines.input_paths import check_apart
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.catalog import TRACK_KEYS
from tracktokens.schemas.tables.playlists import CORPUS, PLAYLISTS
from tracktokens.transforms.playlists.read_playlists import read_playlists
from tracktokens.transforms.playlists.unknown_tracks import describe_unknown
from tracktokens.transforms.readers.fragments import check_table, find_fragments
from tracktokens.transforms.release.gates import RejectRateGate, playlist_rows
from tracktokens.transforms.release.input_warnings import require_used, warn_of_playlists
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_codebook
from tracktokens.transforms.store.keys import content_keys, distinct_sorted, track_numbers
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.records import read_vectors
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.snapshots import Snapshot, open_snapshot

DEFAULT_SEEDS = 5
TRAINING_SHARE = 0.5
"""Share of the held-out playlists on which weights are fitted; the rest is measured."""

FITTED = "tokens, fitted weights"


@dataclass(frozen=True)
class Evaluation:
    """Quality of playlist continuation.

    Attributes:
        release_id: the release.
        seeds: most known tracks per playlist.
        fitted: modality to the weight that continues the training split best; None without fitting.
        qualities: scorer to its quality.
    """

    release_id: str
    seeds: int
    fitted: Mapping[str, float] | None
    qualities: Mapping[str, ContinuationQuality]

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Options of an evaluation.

    Attributes:
        release: id of a release, or of a bundle, for its newest release; None for the latest.
        seeds: known tracks per playlist, from its first on; at most all but one.
        weights: weight per modality, in token order.
        fit: whether to fit weights on half of the playlists, and measure on the other half.
        vectors: whether to measure full vectors too.
        seed: seed of the split and of random scores.
        max_reject_rate: share of the playlists, 0 to 1, that may be rejected.
    """

    release: str | None = None
    seeds: int = DEFAULT_SEEDS
    weights: Sequence[float] = MATCHING_WEIGHTS
    fit: bool = False
    vectors: bool = True
    seed: int = 0
    max_reject_rate: float = MAX_REJECT_RATE


def evaluate(root: str, playlists: str, options: EvaluationOptions | None = None) -> Evaluation:
    """Continue playlists with the tokens of a release.

    It holds the token table in memory, and with ``vectors`` also the vectors of its tracks, 4 bytes per value.

    Args:
        root: the store.
        playlists: file, folder or glob of playlists that were not used for training.
        options: the defaults where it is None.

    Raises:
        UsageError: the store, the release or the table does not exist.
        InvalidDataError: no playlist has two tracks of the release, or too many playlists are rejected.
    """
    options = options or EvaluationOptions()
    check_apart(root, {"playlists": playlists})
    store = Store.open(root)
    manifest = release_or_latest(store, options.release)
    index = ReleaseIndex.read(store, manifest)
    # Residual levels and numbers distinguish tracks of equal codes: seeds do not share them with what continues them.
    codes = index.index.codes(np.arange(len(index.index)))[:, : len(MODALITIES)]
    held_out = HeldOut(index.track_ids, options.seeds).read(playlists)
    held_out.check(playlists, manifest.release_id, options.max_reject_rate)
    continuations = held_out.continuations
    training, test = _split(continuations, options.seed) if options.fit else ([], continuations)
    fitted = fit_weights(codes, training, options.weights, options.seed) if training else None
    scorers = _token_scorers(codes, options.weights, fitted)
    snapshot = open_snapshot(store, manifest.catalog_id)
    if options.vectors:
        scorers |= _vector_scorers(snapshot, manifest, index, options.weights)
    scorers["popularity"] = FixedScorer(_playlist_counts(snapshot, index.track_ids))
    scorers["random"] = FixedScorer(np.random.default_rng(options.seed).random(len(codes)))
    qualities = {name: measure(scorer, test) for name, scorer in scorers.items()}
    weights = None if fitted is None else by_modality(fitted)
    return Evaluation(manifest.release_id, options.seeds, weights, qualities)


def _token_scorers(codes: CodeMatrix, weights: Sequence[float], fitted: Sequence[float] | None) -> dict[str, Scorer]:
    """Build scorers of the tokens: all modalities with each set of weights, and each modality with codes alone."""
    scorers: dict[str, Scorer] = {"tokens": TokenScorer(codes, weights)}
    if fitted is not None:
        scorers[FITTED] = TokenScorer(codes, fitted)
    for number, modality in enumerate(MODALITIES):
        if (codes[:, number] >= 0).any():
            scorers[f"tokens, {modality} alone"] = TokenScorer(codes, np.eye(len(MODALITIES))[number].tolist())
    return scorers


def evaluation_report(evaluation: Evaluation) -> Table:
    """Build the table of an evaluation, one row per scorer."""
    table = Table("scorer", "playlists", "MRR", "Hit@1", "Hit@10", "Hit@100", "nDCG@20")
    for name, quality in evaluation.qualities.items():
        values = (quality.mrr, quality.hit_at_1, quality.hit_at_10, quality.hit_at_100, quality.ndcg_at_20)
        table.add_row(name, str(quality.playlists), *(f"{value:.4f}" for value in values))
    return table


@dataclass
class HeldOut:
    """Playlists that were held out of training.

    Attributes:
        track_ids: tracks of the release.
        seeds: most known tracks per playlist.
        continuations: playlists of at least two known tracks, as row indices; only the first copy of a track counts.
        counts: named counts, as :func:`.read_playlists` counts them, and of entries.
        unknown: some ids that are not among ``track_ids``.
    """

    track_ids: pa.LargeStringArray
    seeds: int
    continuations: list[Continuation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)

    def read(self, playlists: str) -> "HeldOut":
        """Read a file, folder or glob of playlists, and return this object."""
        fragments = find_fragments(files.absolute(playlists), "playlists")
        check_table(fragments, PLAYLISTS)
        for fragment in fragments:
            for batch in read_playlists(fragment):
                self.counts.update(batch.counts)
                self._add(batch.rows["track_ids"])
        return self

    def check(self, playlists: str, release_id: str, max_reject_rate: float) -> None:
        """Check that the playlists can be measured, and warn of those that are not used.

        Raises:
            InvalidDataError: too many were rejected, or none has two known tracks.
        """
        violation = RejectRateGate(max_reject_rate).find_violation(playlist_rows(self.counts))
        if violation is not None:
            raise InvalidDataError(f"{violation}; nothing was measured")
        used, example = len(self.continuations), describe_unknown(self.unknown, self.track_ids[:2].to_pylist())
        require_used(playlists, f"release {release_id}", self.counts, used, example)
        warn_of_playlists(self.counts, used, example)

    def _add(self, lists: pa.ListArray) -> None:
        ids = pc.list_flatten(lists).cast(self.track_ids.type)
        rows = pc.fill_null(pc.index_in(ids, value_set=self.track_ids), -1).to_numpy().astype(np.int64)
        owners = pc.list_parent_indices(lists).to_numpy()
        for part in np.split(rows, np.flatnonzero(np.diff(owners)) + 1):
            self.continuations.extend(_continuation(part[part >= 0], self.seeds))
        self.counts.update(entries_read=len(rows), entries_unknown=int(np.count_nonzero(rows < 0)))
        if not self.unknown:
            self.unknown += ids.filter(pa.array(rows < 0))[:2].to_pylist()


def _continuation(rows: npt.NDArray[np.int64], seeds: int) -> Iterator[Continuation]:
    distinct = rows[np.sort(np.unique(rows, return_index=True)[1])]
    if len(distinct) > 1:
        known = min(seeds, len(distinct) - 1)
        yield Continuation(distinct[:known], distinct[known:])


def _split(playlists: list[Continuation], seed: int) -> tuple[list[Continuation], list[Continuation]]:
    order = np.random.default_rng(seed).permutation(len(playlists))
    training = set(order[: round(TRAINING_SHARE * len(playlists))].tolist())
    rest = [playlist for n, playlist in enumerate(playlists) if n not in training]
    return [playlist for n, playlist in enumerate(playlists) if n in training], rest


def _vector_scorers(
    snapshot: Snapshot, release: ReleaseManifest, index: ReleaseIndex, weights: Sequence[float]
) -> dict[str, Scorer]:
    """Build scorers of the full vectors: all modalities with the weights of the tokens, and each alone."""
    tracks = pa.array(track_numbers(content_keys(index.track_ids.cast(pa.string()))))
    vectors = {}
    for modality in snapshot.encoders:
        codebook = read_codebook(snapshot.store, release.bundle_id, modality)
        if codebook.num_centroids:
            vectors[modality] = _modality_vectors(snapshot, codebook, tracks)
    scorers: dict[str, Scorer] = {"vectors": VectorScorer(vectors, by_modality(weights))}
    for modality, rows in vectors.items():
        scorers[f"vectors, {modality} alone"] = VectorScorer({modality: rows}, {modality: 1.0})
    return scorers


def _modality_vectors(snapshot: Snapshot, codebook: Codebook, tracks: pa.UInt64Array) -> npt.NDArray[np.float32]:
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


def _playlist_counts(snapshot: Snapshot, track_ids: pa.LargeStringArray) -> npt.NDArray[np.float64]:
    """Count the training playlists that contain each track: float64 (tracks,)."""
    keys = content_keys(track_ids.cast(pa.string()))
    counts = np.zeros(len(keys))
    for batch in files.read_folder(snapshot.catalog.corpus, CORPUS):
        rows = pc.index_in(pc.list_flatten(batch["track_keys"]), value_set=keys).drop_null().to_numpy()
        counts += np.bincount(rows, minlength=len(keys))
    return counts
