"""Compare the content keys of tracks with those of the catalog before, and bring its lists of keys up to date."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.tables.catalog import KEY_DIFF, TRACK_KEYS
from tracktokens.transforms.store.keys import key_words


@dataclass(frozen=True, eq=False)
class RowAlignment:
    """Which tracks of a bucket are those of the catalog before.

    Attributes:
        places: for each track now, its row before; null where it is new.
        gone: rows of tracks that are there no more.
    """

    places: pa.Int32Array
    gone: npt.NDArray[np.int64]

    @classmethod
    def of(cls, before: pa.Table, after: pa.Table) -> "RowAlignment":
        """Find the tracks of two tables with a column ``track``, none twice, in each other."""
        places = pc.index_in(after["track"], value_set=before["track"].combine_chunks()).combine_chunks()
        gone = np.ones(before.num_rows, bool)
        gone[places.drop_null().to_numpy()] = False
        return cls(places, np.flatnonzero(gone))

    def same(self, before: pa.Array, after: pa.Array) -> npt.NDArray[np.bool_]:
        """Tell which tracks have the same key as before, or had none and have none: bool (tracks now,).

        Args:
            before: a key for each track before, null where it lacks the modality.
            after: the same now.
        """
        then = before.take(self.places)
        alike = pc.or_(pc.fill_null(pc.equal(then, after), False), pc.and_(then.is_null(), after.is_null()))
        found: npt.NDArray[np.bool_] = alike.to_numpy(zero_copy_only=False)
        return found


def diff_keys(
    before: pa.Table,
    after: pa.Table,
    modality: str,
    pairs: RowAlignment,
    positions: npt.NDArray[np.int64],
    again: pa.Array,
) -> tuple[npt.NDArray[np.bool_], pa.RecordBatch]:
    """Find the tracks of a bucket that have another key of a modality.

    Args:
        before: ``track`` and the keys of each modality in the catalog before.
        after: the same now.
        modality: whose keys are compared.
        pairs: which are which.
        positions: int64 (tracks now,), where each one's input stands.
        again: keys that are to be tried again: they go as new ones.

    Returns:
        Which tracks are otherwise, bool (tracks now,), and ``KEY_DIFF``: new keys, then those that are gone.
    """
    old, new = before[modality].combine_chunks(), after[modality].combine_chunks()
    differs = ~pairs.same(old, new)
    sent = pa.array(differs) if not len(again) else pc.or_(pa.array(differs), pc.is_in(new, value_set=again))
    added = np.flatnonzero(pc.and_(sent, new.is_valid()).to_numpy(zero_copy_only=False))
    dropped = np.zeros(before.num_rows, bool)
    dropped[pairs.gone] = True
    dropped[pairs.places.filter(pa.array(differs)).drop_null().to_numpy()] = True
    dropped &= old.is_valid().to_numpy(zero_copy_only=False)
    rows = [
        _changes(new, after["track"], added, positions[added], removed=False),
        _changes(old, before["track"], np.flatnonzero(dropped), np.zeros(int(dropped.sum()), np.int64), removed=True),
    ]
    return differs, pa.concat_batches(rows)


def _changes(
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


def _marked(rows: pa.Table, changed: bool, new: pa.Array) -> pa.Table:
    columns = [rows["key"], rows["track"], pa.repeat(changed, rows.num_rows), new]
    return pa.table(columns, schema=TRACK_KEYS)


def apply_key_diff(keys: pa.Table, changes: pa.Table) -> pa.Table:
    """Bring the keys of a bucket up to date, sorted by key.

    Args:
        keys: ``TRACK_KEYS`` of the catalog before.
        changes: ``KEY_DIFF`` of the bucket.
    """
    touched = pc.is_in(keys["track"], value_set=changes["track"].combine_chunks())
    kept = keys.filter(pc.invert(touched))
    kept = _marked(kept, changed=False, new=pa.repeat(False, kept.num_rows))
    added = changes.filter(pc.invert(changes["removed"]))
    new = pc.invert(pc.is_in(added["key"], value_set=keys["key"].combine_chunks())).combine_chunks()
    rows = pa.concat_tables([kept, _marked(added, changed=True, new=new)]).combine_chunks()
    # Keys are hashes: their first words sort them. What was sorted is merged in linear time.
    return rows.take(pa.array(np.argsort(key_words(rows["key"].combine_chunks())[:, 0], kind="stable")))
