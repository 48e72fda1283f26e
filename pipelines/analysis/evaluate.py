"""Evaluation of a release: continue held-out playlists from the tokens of their first tracks alone.

The rivals continue them from the full vectors, from one modality at a time, from the training playlists, by artist, by
popularity, and at random.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
from tracktokens.codebooks.metrics.playlist_continuation import (
    ContinuationQuality,
    measure,
)
from tracktokens.codebooks.metrics.token_features import WeightedScorer
from tracktokens.codebooks.metrics.weight_fitting import fit_weights
from tracktokens.pipelines.analysis.evaluation_scorers import AFFINITY, ALS, ReleaseScorers
from tracktokens.pipelines.analysis.held_out import HeldOut
from tracktokens.pipelines.catalog_source import MAX_REJECT_RATE
from tracktokens.pipelines.input_paths import check_apart
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.playlists import als
from tracktokens.transforms.release.report import few_tracks_note
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.snapshots import open_snapshot

DEFAULT_SEEDS = 5

FITTED = "tokens, fitted weights"

NO_ALS = "implicit is not installed"


@dataclass(frozen=True)
class Evaluation:
    """Quality of playlist continuation.

    Attributes:
        release_id: the release.
        seeds: most known tracks per playlist.
        default: scorer that the tokens are judged by.
        popularity: source of the popularity that breaks ties, as in the release's manifest.
        fitted: column to fitted weight, the largest 1; None without fitting, or without training playlists.
        qualities: scorer to its quality.
        left_out: scorer that was not measured to the reason.
        note: warning that the codes have too few tracks for these figures to mean anything, or None.
    """

    release_id: str
    seeds: int
    default: str
    popularity: str | None
    fitted: Mapping[str, float] | None
    qualities: Mapping[str, ContinuationQuality]
    left_out: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None

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
        fit: whether to fit weights on training playlists, and measure them too.
        vectors: whether to measure full vectors too.
        seed: seed of the playlists to fit on, of ALS and of random scores.
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

    It holds the token table and the training playlists in memory, and with ``vectors`` also the vectors of its tracks,
    4 bytes per value.

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
    held_out = HeldOut(index.track_ids, options.seeds).read(playlists)
    held_out.check(playlists, manifest.release_id, options.max_reject_rate)
    release = ReleaseScorers(open_snapshot(store, manifest.catalog_id), manifest, index, options.weights, options.seed)
    scorers = release.tokens() | (release.vectors() if options.vectors else {}) | release.rivals()
    fitted = _fit(release, options) if options.fit else None
    if fitted:
        scorers[FITTED] = WeightedScorer(release.equal, fitted)
    qualities = {name: measure(scorer, held_out.continuations) for name, scorer in scorers.items()}
    return Evaluation(
        release_id=manifest.release_id,
        seeds=options.seeds,
        default=AFFINITY,
        popularity=manifest.popularity,
        fitted=dict(zip(MODALITIES, fitted, strict=True)) if fitted else None,
        qualities=qualities,
        left_out={} if als.is_installed() else {ALS: NO_ALS},
        note=few_tracks_note(files.read_json(store.release(manifest.release_id).metrics)["modalities"]),
    )


def evaluation_report(evaluation: Evaluation) -> Table:
    """Build the table of an evaluation, one row per scorer; 80 columns wide."""
    playlists = evaluation.qualities[evaluation.default].playlists
    table = Table("scorer", "MRR", "Hit@10", "R@20", "nDCG@20", "ties", title=f"{playlists} playlists")
    for name, quality in evaluation.qualities.items():
        means = (_with_error(quality, "mrr"), _with_error(quality, "hit_at_10"), f"{quality.recall_at_20:.3f}")
        table.add_row(name, *means, f"{quality.ndcg_at_20:.3f}", f"{quality.median_ties:.0f}")
    for name, reason in evaluation.left_out.items():
        table.add_row(name, reason)
    return table


def _with_error(quality: ContinuationQuality, mean: str) -> str:
    return f"{getattr(quality, mean):.3f}±{quality.standard_errors[mean]:.3f}".replace("±0.", "±.")


def _fit(release: ReleaseScorers, options: EvaluationOptions) -> list[float] | None:
    """Fit the weights of equal codes; None if no training playlist has two tracks."""
    continuations = release.training_continuations(options.seeds)
    return fit_weights(release.equal, continuations, release.weights, options.seed) if continuations else None
