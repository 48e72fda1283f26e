"""Churn between two token tables: the tracks whose tokens changed, the codes in use, and moved centroids."""

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
"""Number of most affected tracks that are listed."""

MOVED_CODES = 20
"""Number of codes that are listed because their centroid moved furthest."""

_WORST = pa.schema(
    [("track_id", pa.string()), ("changes", pa.int8()), ("popularity", pa.float64()), ("which", pa.int64())]
)
"""Most affected tracks: number of changed tokens, and a mask of them with one bit per modality."""

_KINDS = ("changed", "gained", "lost", "same")
"""Changes of a token. A ``none`` that stays ``none`` is not counted."""


@dataclass(frozen=True)
class ModalityChurn:
    """Churn of one modality, over the tracks of both tables.

    Attributes:
        changed: tracks with different codes in the old and the new table.
        gained: tracks without a code in the old table, with one in the new table.
        lost: tracks with a code in the old table, without one in the new table.
        churn: share of all tracks whose token changed in one of these three ways; None without tracks.
        churn_by_popularity: the same with tracks weighted by popularity; None if popularity is not known.
        recoded: share of ``changed`` among the tracks with a code in both tables; None without such tracks.
        codes_gone: codes that only the old table uses for these tracks.
        codes_new: codes that only the new table uses for these tracks.
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
    """A track whose tokens changed. ``popularity`` is None if it is not known."""

    track_id: str
    modalities: tuple[str, ...]
    popularity: float | None


@dataclass(frozen=True)
class Churn:
    """Churn between two token tables, over the tracks of both.

    Attributes:
        tracks: tracks that are in both tables.
        changed_tracks: tracks with at least one changed token.
        churn: their share; None without tracks.
        churn_by_popularity: the same with tracks weighted by popularity; None if popularity is not known.
        tracks_by_changes: number of tracks with 0, 1, ... M changed tokens.
        modalities: churn of each column, in token order: modalities, residual levels and the number.
        worst: the most affected tracks, by number of changed tokens, then by popularity, then by id.
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
    """Move of the centroid of a code.

    Attributes:
        code: the code.
        distance: squared L2 distance of its new centroid to its old one, in the old codebook's space.
        nearest: old code whose centroid is nearest to the new one. It differs from ``code`` if the token has taken over
            the meaning of another token.
    """

    code: int
    distance: float
    nearest: int


class ChurnAccumulator:
    """Accumulator of :class:`Churn` over parts of two token tables. Each track is added once.

    Example:
        >>> import numpy as np
        >>> old, new = np.array([[1, 2, 3, -1, 5], [0, 0, 0, 0, 0]], np.int16), np.zeros((2, 5), np.int16)
        >>> accumulator = ChurnAccumulator(8)
        >>> accumulator.update(pa.array(["t1", "t2"]), old, new)
        >>> churn = accumulator.finalize()
        >>> churn.churn, churn.modalities["lyrics"].gained, churn.modalities["audio"].codes_gone
        (0.5, 1, (5,))
    """

    def __init__(self, sizes: Mapping[str, int] | int, worst: int = WORST_TRACKS) -> None:
        """Start empty.

        Args:
            sizes: column to the codes that it has in both tables, in order; a number means so many per modality.
            worst: number of most affected tracks to list.
        """
        by_column = dict.fromkeys(MODALITIES, sizes) if isinstance(sizes, int) else dict(sizes)
        self._names, modalities, codebook_size = tuple(by_column), len(by_column), max(by_column.values())
        self._sizes = np.array(list(by_column.values()))
        self._by_changes = np.zeros(modalities + 1, np.int64)
        self._kinds = np.zeros((len(_KINDS), modalities), np.int64)
        self._old_tracks = np.zeros((modalities, codebook_size), np.int64)
        self._new_tracks = np.zeros((modalities, codebook_size), np.int64)
        self._any = WeightedMean()
        self._popular = [WeightedMean() for _ in self._names]
        self._worst = _WORST.empty_table()
        self._wanted = worst

    def update(
        self, track_ids: pa.StringArray, old: CodeMatrix, new: CodeMatrix, popularity: Weights | None = None
    ) -> None:
        """Add n tracks of both tables.

        Args:
            track_ids: ids of the tracks.
            old: int16 (n, M), codes in the old table, -1 for none.
            new: int16 (n, M), codes in the new table.
            popularity: float64 (n,), not negative; in every update or in none.

        Raises:
            ValueError: the matrices do not match the tracks, a code is not below the codebook size, or a popularity is
                negative or not finite.
        """
        self._check(track_ids, old, new)
        changed = old != new
        changes = np.count_nonzero(changed, axis=1)
        self._by_changes += np.bincount(changes, minlength=len(self._by_changes))
        self._kinds += _kinds(old, new)
        for number in range(len(self._names)):
            self._old_tracks[number] += self._code_tracks(old[:, number])
            self._new_tracks[number] += self._code_tracks(new[:, number])
        if popularity is not None:
            self._any.add(changes > 0, popularity)
            for mean, column in zip(self._popular, changed.T, strict=True):
                mean.add(column, popularity)
        self._keep_worst(_affected(track_ids, changed, changes, popularity))

    def merge(self, other: "ChurnAccumulator") -> None:
        """Add another accumulator, which has seen other tracks."""
        self._by_changes += other._by_changes
        self._kinds += other._kinds
        self._old_tracks += other._old_tracks
        self._new_tracks += other._new_tracks
        self._any.merge(other._any)
        for mean, more in zip(self._popular, other._popular, strict=True):
            mean.merge(more)
        self._keep_worst(other._worst)

    def finalize(self) -> Churn:
        """Compute the churn over all tracks."""
        tracks = int(self._by_changes.sum())
        changed = tracks - int(self._by_changes[0])
        return Churn(
            tracks=tracks,
            changed_tracks=changed,
            churn=_share(changed, tracks),
            churn_by_popularity=self._any.value(),
            tracks_by_changes=tuple(self._by_changes.tolist()),
            modalities={modality: self._modality(number, tracks) for number, modality in enumerate(self._names)},
            worst=self._worst_tracks(),
        )

    def _check(self, track_ids: pa.StringArray, old: CodeMatrix, new: CodeMatrix) -> None:
        check_codes(old)
        check_codes(new)
        if not len(track_ids) == len(old) == len(new):
            raise ValueError(
                f"{len(track_ids)} ids, {len(old)} old and {len(new)} new rows: pass one of each per track"
            )
        if len(old) and (beyond := np.maximum(old.max(axis=0), new.max(axis=0)) >= self._sizes).any():
            column = int(beyond.argmax())
            highest = max(old[:, column].max(), new[:, column].max())
            raise ValueError(f"code {highest} is out of range: the codebook size is {self._sizes[column]}")

    def _code_tracks(self, column: Codes) -> Counts:
        return np.bincount(column[column != NONE], minlength=self._old_tracks.shape[1])

    def _keep_worst(self, tracks: pa.Table) -> None:
        self._worst = _most_affected(pa.concat_tables([self._worst, tracks]), self._wanted)

    def _modality(self, number: int, tracks: int) -> ModalityChurn:
        changed, gained, lost, same = self._kinds[:, number].tolist()
        old_used, new_used = self._old_tracks[number] > 0, self._new_tracks[number] > 0
        return ModalityChurn(
            changed=changed,
            gained=gained,
            lost=lost,
            churn=_share(changed + gained + lost, tracks),
            churn_by_popularity=self._popular[number].value(),
            recoded=_share(changed, changed + same),
            codes_gone=tuple(np.flatnonzero(old_used & ~new_used).tolist()),
            codes_new=tuple(np.flatnonzero(new_used & ~old_used).tolist()),
        )

    def _names_of(self, which: int) -> tuple[str, ...]:
        return tuple(name for number, name in enumerate(self._names) if which >> number & 1)

    def _worst_tracks(self) -> tuple[AffectedTrack, ...]:
        weighted = self._any.value() is not None
        return tuple(
            AffectedTrack(row["track_id"], self._names_of(row["which"]), row["popularity"] if weighted else None)
            for row in self._worst.to_pylist()
        )


def moved_codes(old: Codebook, new: Codebook, most: int = MOVED_CODES) -> tuple[CodeMove, ...] | None:
    """List the codes of both codebooks whose centroid moved furthest; None if the codebooks do not share a space.

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
    """Count tracks by ``_KINDS`` and modality, int64 (4, M)."""
    had, has, equal = old != NONE, new != NONE, old == new
    kinds = (had & has & ~equal, has & ~had, had & ~has, had & equal)
    return np.stack([np.count_nonzero(kind, axis=0) for kind in kinds])


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _affected(
    track_ids: pa.StringArray,
    changed: Mask,
    changes: Counts,
    popularity: Weights | None,
) -> pa.Table:
    """Return the tracks with a changed token, as rows of ``_WORST``. ``changed`` is bool (n, M)."""
    rows = np.flatnonzero(changes)
    weights = np.zeros(len(rows)) if popularity is None else popularity[rows]
    which = changed[rows] @ (1 << np.arange(changed.shape[1]))
    numbers = [pa.array(column) for column in (changes[rows].astype(np.int8), weights, which.astype(np.int64))]
    return pa.table([track_ids.take(pa.array(rows)), *numbers], schema=_WORST)


def _most_affected(tracks: pa.Table, most: int) -> pa.Table:
    """Return the most affected tracks in order. Ids are unique, so the result does not depend on the order of rows."""
    order = [("changes", "descending"), ("popularity", "descending"), ("track_id", "ascending")]
    if not min(most, tracks.num_rows):
        return tracks.slice(0, 0)  # Arrow cannot select nothing
    return tracks.take(pc.select_k_unstable(tracks, min(most, tracks.num_rows), order))
