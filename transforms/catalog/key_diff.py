"""Diff the content keys of tracks against the previous catalog, and apply the diff to its lists of keys."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.tables.catalog import KEY_DIFF, TRACK_KEYS
from tracktokens.transforms.store.keys import key_words


@dataclass(frozen=True, eq=False)
class RowAlignment:
    """Alignment of one bucket of current tracks with the same bucket of the previous catalog.

    Attributes:
        previous_rows: int32 (current tracks,), previous row of each current track; null for a new track.
        removed_rows: int64 (removed tracks,), previous rows of the tracks that were removed.
    """

    previous_rows: pa.Int32Array
    removed_rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, previous: pa.Table, current: pa.Table) -> "RowAlignment":
        """Align two tables by their column ``track``, whose values are distinct."""
        rows = pc.index_in(current["track"], value_set=previous["track"].combine_chunks()).combine_chunks()
        removed = np.ones(previous.num_rows, bool)
        removed[rows.drop_null().to_numpy()] = False
        return cls(rows, np.flatnonzero(removed))

    def same(self, previous: pa.Array, current: pa.Array) -> npt.NDArray[np.bool_]:
        """Compare keys: bool (current tracks,), True where both keys are equal or both are null.

        Args:
            previous: key of each previous track, null where it lacks the modality.
            current: key of each current track, null where it lacks the modality.
        """
        aligned = previous.take(self.previous_rows)
        both_null = pc.and_(aligned.is_null(), current.is_null())
        same = pc.or_(pc.fill_null(pc.equal(aligned, current), False), both_null)
        mask: npt.NDArray[np.bool_] = same.to_numpy(zero_copy_only=False)
        return mask


NEW, CHANGED, REMOVED = CHANGES = "new", "changed", "removed"
"""Changes of a track's key: it had none before; it has another; it has none now."""


def count_changes(
    previous: pa.Table, current: pa.Table, modality: str, *, alignment: RowAlignment, differs: npt.NDArray[np.bool_]
) -> dict[str, int]:
    """Count the tracks of a bucket whose key of a modality is new, changed or removed.

    Args:
        previous: ``track`` and the keys of each modality in the previous catalog.
        current: the same columns of the current catalog.
        modality: modality whose keys are counted.
        alignment: alignment of the two tables.
        differs: bool (current tracks,), True where the key changed; see :func:`diff_keys`.
    """
    before = previous[modality].combine_chunks()
    had = before.take(alignment.previous_rows).is_valid().to_numpy(zero_copy_only=False)
    has = current[modality].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    missing = before.take(pa.array(alignment.removed_rows)).is_valid()
    return {
        NEW: int((differs & ~had).sum()),
        CHANGED: int((differs & had & has).sum()),
        REMOVED: int((differs & ~has).sum()) + missing.true_count,
    }


def diff_keys(
    previous: pa.Table,
    current: pa.Table,
    modality: str,
    *,
    alignment: RowAlignment,
    positions: npt.NDArray[np.int64],
    retried: pa.Array,
) -> tuple[npt.NDArray[np.bool_], pa.RecordBatch]:
    """Find the tracks of a bucket whose key of a modality changed.

    Args:
        previous: ``track`` and the keys of each modality in the previous catalog.
        current: the same columns of the current catalog.
        modality: modality whose keys are compared.
        alignment: alignment of the two tables.
        positions: int64 (current tracks,), position of each track's input.
        retried: keys to retry; they are listed as added even where they did not change.

    Returns:
        bool (current tracks,), True where the key changed, and ``KEY_DIFF``: added keys, then removed keys.
    """
    old, new = previous[modality].combine_chunks(), current[modality].combine_chunks()
    differs = ~alignment.same(old, new)
    listed = pa.array(differs) if not len(retried) else pc.or_(pa.array(differs), pc.is_in(new, value_set=retried))
    added = np.flatnonzero(pc.and_(listed, new.is_valid()).to_numpy(zero_copy_only=False))
    removed = np.zeros(previous.num_rows, bool)
    removed[alignment.removed_rows] = True
    removed[alignment.previous_rows.filter(pa.array(differs)).drop_null().to_numpy()] = True
    removed &= old.is_valid().to_numpy(zero_copy_only=False)
    no_positions = np.zeros(int(removed.sum()), np.int64)
    parts = [
        _key_diff(new, current["track"], added, positions[added], removed=False),
        _key_diff(old, previous["track"], np.flatnonzero(removed), no_positions, removed=True),
    ]
    return differs, pa.concat_batches(parts)


def _key_diff(
    keys: pa.Array,
    tracks: pa.ChunkedArray,
    rows: npt.NDArray[np.int64],
    positions: npt.NDArray[np.int64],
    removed: bool,
) -> pa.RecordBatch:
    columns = [
        keys.take(pa.array(rows)),
        tracks.combine_chunks().take(pa.array(rows)),
        pa.array(positions),
        pa.array(np.full(len(rows), removed)),
    ]
    return pa.record_batch(columns, schema=KEY_DIFF)


def _track_keys(rows: pa.Table, changed: bool, new: pa.Array) -> pa.Table:
    columns = [rows["key"], rows["track"], pa.repeat(changed, rows.num_rows), new]
    return pa.table(columns, schema=TRACK_KEYS)


def apply_key_diff(keys: pa.Table, changes: pa.Table) -> pa.Table:
    """Apply a diff to the keys of a bucket: ``TRACK_KEYS``, sorted by key.

    Args:
        keys: ``TRACK_KEYS`` of the previous catalog.
        changes: ``KEY_DIFF`` of the bucket.
    """
    touched = pc.is_in(keys["track"], value_set=changes["track"].combine_chunks())
    kept = keys.filter(pc.invert(touched))
    kept = _track_keys(kept, changed=False, new=pa.repeat(False, kept.num_rows))
    added = changes.filter(pc.invert(changes["removed"]))
    new = pc.invert(pc.is_in(added["key"], value_set=keys["key"].combine_chunks())).combine_chunks()
    rows = pa.concat_tables([kept, _track_keys(added, changed=True, new=new)]).combine_chunks()
    # Keys are hashes, so their first words sort them. A stable sort merges the sorted parts in linear time.
    return rows.take(pa.array(np.argsort(key_words(rows["key"].combine_chunks())[:, 0], kind="stable")))
