"""Changes between two releases: the tokens that were added, removed or changed, bucket by bucket."""

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import CodeMatrix
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.token_changes import CHANGES, CODEBOOK_CHANGED, INPUT_CHANGED, NEW, REMOVED
from tracktokens.transforms.store.token_tables import code_matrix


def find_changes(old: pa.Table, new: pa.Table, recoded: Collection[str]) -> pa.Table:
    """Compare one bucket of two token tables.

    Args:
        old: ``track_id`` and codes in the previous release, without a repeated id.
        new: the same columns in the current release.
        recoded: modalities whose codebook changed.

    Returns:
        ``CHANGES``, sorted by track id and modality.
    """
    old_ids, new_ids = old["track_id"].combine_chunks(), new["track_id"].combine_chunks()
    old_rows = pc.index_in(new_ids, value_set=old_ids)
    known = old_rows.is_valid().to_numpy(zero_copy_only=False)
    known_rows = old_rows.drop_null().to_numpy()
    old_codes, new_codes = code_matrix(old), code_matrix(new)
    removed = np.ones(len(old_ids), bool)
    removed[known_rows] = False
    matching = np.full((len(new_ids), len(MODALITIES)), NONE, np.int16)
    matching[known] = old_codes[known_rows]
    none = np.full((int(removed.sum()), len(MODALITIES)), NONE, np.int16)
    rows = [
        *_rows(new_ids.filter(pa.array(~known)), matching[~known], new_codes[~known], lambda _: NEW),
        *_rows(new_ids.filter(pa.array(known)), matching[known], new_codes[known], lambda name: _why(name, recoded)),
        *_rows(old_ids.filter(pa.array(removed)), old_codes[removed], none, lambda _: REMOVED),
    ]
    return _sorted(pa.Table.from_batches(rows, CHANGES))


def _why(modality: str, recoded: Collection[str]) -> str:
    return CODEBOOK_CHANGED if modality in recoded else INPUT_CHANGED


def _rows(ids: pa.Array, old: CodeMatrix, new: CodeMatrix, why: Callable[[str], str]) -> Iterator[pa.RecordBatch]:
    """List the tracks whose code differs, modality by modality."""
    for number, modality in enumerate(MODALITIES):
        differs = np.flatnonzero(old[:, number] != new[:, number])
        columns = [
            ids.take(pa.array(differs)),
            pa.repeat(modality, len(differs)),
            _nullable(old[differs, number]),
            _nullable(new[differs, number]),
            pa.repeat(why(modality), len(differs)),
        ]
        yield pa.record_batch(columns, schema=CHANGES)


def _sorted(changes: pa.Table) -> pa.Table:
    order = pc.index_in(changes["modality"], value_set=pa.array(MODALITIES))
    row_indices = pc.sort_indices(
        pa.table({"track_id": changes["track_id"], "order": order}),
        [("track_id", "ascending"), ("order", "ascending")],
    )
    return changes.take(row_indices)


def _nullable(codes: npt.NDArray[np.int16]) -> pa.Array:
    return pa.array(codes, mask=codes == NONE)


def count_changes(changes: pa.Table) -> Iterator[tuple[str, int]]:
    """Count changes by modality and reason, under names that :func:`changes_by_modality` reads."""
    grouped = changes.group_by(["modality", "why"]).aggregate([([], "count_all")])
    for row in grouped.to_pylist():
        yield f"changes/{row['modality']}/{row['why']}", row["count_all"]


def changes_by_modality(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Collect the counts of :func:`count_changes`: modality to reason to number of tokens, all of them present."""
    reasons = (NEW, REMOVED, INPUT_CHANGED, CODEBOOK_CHANGED)
    return {m: {why: counts.get(f"changes/{m}/{why}", 0) for why in reasons} for m in MODALITIES}
