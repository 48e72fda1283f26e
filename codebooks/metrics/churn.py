"""What changes for a language model between two token tables: which tracks' tokens, which codes, and how much."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.assign import nearest_centroids
from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.continuity.alignment import centroids_in_space_of
from tracktokens.codebooks.numerics.arrays import CodeMatrix, Codes, Counts, Integers, Mask, Weights
from tracktokens.codebooks.numerics.distances import row_distances
from tracktokens.codebooks.numerics.weighted_mean import WeightedMean
from tracktokens.codebooks.tokens.code_matrix import NONE, check_codes
from tracktokens.schemas.modalities import MODALITIES

WORST_TRACKS = 100
"""Worst affected tracks that are listed."""

MOVED_CODES = 20
"""Codes that are listed because their centroid moved furthest."""

_WORST = pa.schema(
    [("track_id", pa.string()), ("changes", pa.int8()), ("popularity", pa.float64()), ("which", pa.int64())]
)
"""Worst affected tracks: how many tokens changed, and which, a bit a modality."""

_KINDS = ("changed", "gained", "lost", "same")
"""What can become of a token; none that stays none is not counted."""


@dataclass(frozen=True)
class ModalityChurn:
    """What changed in the tokens of one modality, over the tracks of both tables.

    Attributes:
        changed: tracks with a code before and another now.
        gained: tracks with none before and a code now.
        lost: tracks with a code before and none now.
        churn: share of all tracks whose token is another, in one of these three ways; None without tracks.
        churn_by_popularity: the same with tracks weighted by popularity; None where that is not known.
        recoded: share that ``changed`` is of the tracks that have a code both times; None without such tracks.
        codes_gone: codes that some of the tracks had and none has now.
        codes_new: codes that none of the tracks had and some have now.
    """

    changed: int
    gained: int
    lost: int
    churn: float | None
    churn_by_popularity: float | None
    recoded: float | None
    codes_gone: tuple[int, ...]
    codes_new: tuple[int, ...]


@dataclass(frozen=True)
class AffectedTrack:
    """A track whose tokens changed. ``popularity`` is None where it is not known."""

    track_id: str
    modalities: tuple[str, ...]
    popularity: float | None


@dataclass(frozen=True)
class Churn:
    """What changed between two token tables, over the tracks of both.

    Attributes:
        tracks: tracks of both tables.
        changed_tracks: tracks of which any token is another.
        churn: their share; None without tracks.
        churn_by_popularity: the same with tracks weighted by popularity; None where that is not known.
        tracks_by_changes: tracks with 0, 1, ... 5 other tokens.
        modalities: what changed in each, in token order.
        worst: the most affected tracks: most tokens changed first, then the most popular, then by id.
    """

    tracks: int
    changed_tracks: int
    churn: float | None
    churn_by_popularity: float | None
    tracks_by_changes: tuple[int, ...]
    modalities: Mapping[str, ModalityChurn]
    worst: tuple[AffectedTrack, ...]


@dataclass(frozen=True)
class CodeMove:
    """How far the centroid of a code moved.

    Attributes:
        code: the code.
        distance: squared L2 distance of its new centroid to its old one, in the old codebook's space.
        nearest: the old code whose centroid is nearest to the new one; another than ``code`` where the token now stands
            for what another token stood for.
    """

    code: int
    distance: float
    nearest: int


class ChurnAccumulator:
    """Gathers :class:`Churn` from parts of two token tables, each track once."""

    def __init__(self, codebook_size: int, worst: int = WORST_TRACKS) -> None:
        """Start with nothing; ``reserved`` codes a modality in either table, ``worst`` tracks to list."""
        modalities = len(MODALITIES)
        self._by_changes = np.zeros(modalities + 1, np.int64)
        self._kinds = np.zeros((len(_KINDS), modalities), np.int64)
        self._old_tracks = np.zeros((modalities, codebook_size), np.int64)
        self._new_tracks = np.zeros((modalities, codebook_size), np.int64)
        self._any = WeightedMean()
        self._popular = [WeightedMean() for _ in MODALITIES]
        self._worst = _WORST.empty_table()
        self._wanted = worst

    def update(
        self, track_ids: pa.StringArray, old: CodeMatrix, new: CodeMatrix, popularity: Weights | None = None
    ) -> None:
        """Add n tracks of both tables.

        Args:
            track_ids: their ids.
            old: int16 (n, 5), their codes before, -1 for none.
            new: int16 (n, 5), their codes now.
            popularity: float64 (n,), not negative; in every update or in none.

        Raises:
            ValueError: these are no code matrices of these tracks, a code is not reserved, or a popularity is negative
                or not finite.
        """
        self._check(track_ids, old, new)
        other = old != new
        changes = np.count_nonzero(other, axis=1)
        self._by_changes += np.bincount(changes, minlength=len(self._by_changes))
        self._kinds += _kinds(old, new)
        for number in range(len(MODALITIES)):
            self._old_tracks[number] += self._code_tracks(old[:, number])
            self._new_tracks[number] += self._code_tracks(new[:, number])
        if popularity is not None:
            self._any.add(changes > 0, popularity)
            for mean, column in zip(self._popular, other.T, strict=True):
                mean.add(column, popularity)
        self._keep_worst(_affected(track_ids, other, changes, popularity))

    def merge(self, other: "ChurnAccumulator") -> None:
        """Add what another accumulator was given: other tracks."""
        self._by_changes += other._by_changes
        self._kinds += other._kinds
        self._old_tracks += other._old_tracks
        self._new_tracks += other._new_tracks
        self._any.merge(other._any)
        for mean, more in zip(self._popular, other._popular, strict=True):
            mean.merge(more)
        self._keep_worst(other._worst)

    def finalize(self) -> Churn:
        """Sum up everything that was added."""
        tracks = int(self._by_changes.sum())
        changed = tracks - int(self._by_changes[0])
        return Churn(
            tracks=tracks,
            changed_tracks=changed,
            churn=_share(changed, tracks),
            churn_by_popularity=self._any.value(),
            tracks_by_changes=tuple(self._by_changes.tolist()),
            modalities={modality: self._modality(number, tracks) for number, modality in enumerate(MODALITIES)},
            worst=self._worst_tracks(),
        )

    def _check(self, track_ids: pa.StringArray, old: CodeMatrix, new: CodeMatrix) -> None:
        check_codes(old)
        check_codes(new)
        if not len(track_ids) == len(old) == len(new):
            raise ValueError(f"{len(track_ids)} ids, {len(old)} old and {len(new)} new rows are not the same tracks")
        codebook_size = self._old_tracks.shape[1]
        if len(old) and (highest := max(old.max(), new.max())) >= codebook_size:
            raise ValueError(f"code {highest} is not among the {codebook_size} reserved codes")

    def _code_tracks(self, column: Codes) -> Counts:
        return np.bincount(column[column != NONE], minlength=self._old_tracks.shape[1])

    def _keep_worst(self, found: pa.Table) -> None:
        self._worst = _first_worst(pa.concat_tables([self._worst, found]), self._wanted)

    def _modality(self, number: int, tracks: int) -> ModalityChurn:
        changed, gained, lost, same = self._kinds[:, number].tolist()
        before, now = self._old_tracks[number] > 0, self._new_tracks[number] > 0
        return ModalityChurn(
            changed=changed,
            gained=gained,
            lost=lost,
            churn=_share(changed + gained + lost, tracks),
            churn_by_popularity=self._popular[number].value(),
            recoded=_share(changed, changed + same),
            codes_gone=tuple(np.flatnonzero(before & ~now).tolist()),
            codes_new=tuple(np.flatnonzero(now & ~before).tolist()),
        )

    def _worst_tracks(self) -> tuple[AffectedTrack, ...]:
        weighted = self._any.value() is not None
        return tuple(
            AffectedTrack(row["track_id"], _named(row["which"]), row["popularity"] if weighted else None)
            for row in self._worst.to_pylist()
        )


def moved_codes(old: Codebook, new: Codebook, most: int = MOVED_CODES) -> tuple[CodeMove, ...] | None:
    """List the codes of both codebooks whose centroid moved furthest; None where they are not in one space.

    Codes whose centroid did not move are not listed.
    """
    centroids = centroids_in_space_of(old, new)
    if centroids is None:
        return None
    both = min(old.num_centroids, new.num_centroids)
    if both == 0:
        return ()
    distances = row_distances(centroids[:both], old.centroids[:both])
    nearest = nearest_centroids(old.centroids, np.ascontiguousarray(centroids[:both])).codes
    furthest = np.argsort(-distances, kind="stable")[:most]
    return tuple(
        CodeMove(int(code), float(distances[code]), int(nearest[code])) for code in furthest if distances[code] > 0
    )


def _kinds(old: CodeMatrix, new: CodeMatrix) -> Integers:
    """Count tracks by ``_KINDS`` and modality, int64 (4, 5)."""
    before, now, equal = old != NONE, new != NONE, old == new
    kinds = (before & now & ~equal, now & ~before, before & ~now, before & equal)
    return np.stack([np.count_nonzero(kind, axis=0) for kind in kinds])


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _affected(
    track_ids: pa.StringArray,
    other: Mask,
    changes: Counts,
    popularity: Weights | None,
) -> pa.Table:
    """The tracks with another token, as rows of ``_WORST``."""
    rows = np.flatnonzero(changes)
    weights = np.zeros(len(rows)) if popularity is None else popularity[rows]
    which = other[rows] @ (1 << np.arange(other.shape[1]))
    numbers = [pa.array(column) for column in (changes[rows].astype(np.int8), weights, which.astype(np.int64))]
    return pa.table([track_ids.take(pa.array(rows)), *numbers], schema=_WORST)


def _first_worst(tracks: pa.Table, most: int) -> pa.Table:
    """The worst tracks in order. Ids differ, so that the order does not depend on how the rows came."""
    order = [("changes", "descending"), ("popularity", "descending"), ("track_id", "ascending")]
    if not min(most, tracks.num_rows):
        return tracks.slice(0, 0)  # Arrow cannot select nothing
    return tracks.take(pc.select_k_unstable(tracks, min(most, tracks.num_rows), order))


def _named(which: int) -> tuple[str, ...]:
    return tuple(modality for number, modality in enumerate(MODALITIES) if which >> number & 1)
