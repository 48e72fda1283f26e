"""Changes between two releases: the tokens that were added, removed or changed, bucket by bucket."""

from collections.abc import Collection, Iterator, Mapping, Sequence

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
        new: ids and codes in the current release.
        recoded: columns whose codebook changed. A column that a table lacks has no codes there.

    Returns:
        ``CHANGES``, sorted by track id and column.
    """
    names = [*dict.fromkeys(field.name for table in (new, old) for field in table.schema if field.type == pa.int16())]
    old_ids, new_ids = old["track_id"].combine_chunks(), new["track_id"].combine_chunks()
    old_rows = pc.index_in(new_ids, value_set=old_ids)
    known = old_rows.is_valid().to_numpy(zero_copy_only=False)
    known_rows = old_rows.drop_null().to_numpy()
    old_codes, new_codes = code_matrix(old, names), code_matrix(new, names)
    removed = np.ones(len(old_ids), bool)
    removed[known_rows] = False
    matching = np.full((len(new_ids), len(names)), NONE, np.int16)
    matching[known] = old_codes[known_rows]
    none = np.full((int(removed.sum()), len(names)), NONE, np.int16)
    why = {name: CODEBOOK_CHANGED if name in recoded else INPUT_CHANGED for name in names}
    rows = [
        *_rows(new_ids.filter(pa.array(~known)), matching[~known], new_codes[~known], dict.fromkeys(names, NEW)),
        *_rows(new_ids.filter(pa.array(known)), matching[known], new_codes[known], why),
        *_rows(old_ids.filter(pa.array(removed)), old_codes[removed], none, dict.fromkeys(names, REMOVED)),
    ]
    return _sorted(pa.Table.from_batches(rows, CHANGES), names)


def _rows(ids: pa.Array, old: CodeMatrix, new: CodeMatrix, why: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """List the tracks whose code differs, column by column; ``why`` has the reason of each column, in order."""
    for number, (name, reason) in enumerate(why.items()):
        differs = np.flatnonzero(old[:, number] != new[:, number])
        columns = [
            ids.take(pa.array(differs)),
            pa.repeat(name, len(differs)),
            _nullable(old[differs, number]),
            _nullable(new[differs, number]),
            pa.repeat(reason, len(differs)),
        ]
        yield pa.record_batch(columns, schema=CHANGES)


def _sorted(changes: pa.Table, names: Sequence[str]) -> pa.Table:
    order = pc.index_in(changes["modality"], value_set=pa.array(names))
    row_indices = pc.sort_indices(
        pa.table({"track_id": changes["track_id"], "order": order}),
        [("track_id", "ascending"), ("order", "ascending")],
    )
    return changes.take(row_indices)


def _nullable(codes: npt.NDArray[np.int16]) -> pa.Array:
    return pa.array(codes, mask=codes == NONE)


def count_changes(changes: pa.Table) -> Iterator[tuple[str, int]]:
    """Count changes by column and reason, under names that :func:`changes_by_modality` reads."""
    grouped = changes.group_by(["modality", "why"]).aggregate([([], "count_all")])
    for row in grouped.to_pylist():
        yield f"changes/{row['modality']}/{row['why']}", row["count_all"]


def changes_by_modality(counts: Mapping[str, int], names: Sequence[str] = MODALITIES) -> dict[str, dict[str, int]]:
    """Collect the counts of :func:`count_changes`: column to reason to number of tokens, all of them present."""
    reasons = (NEW, REMOVED, INPUT_CHANGED, CODEBOOK_CHANGED)
    return {m: {why: counts.get(f"changes/{m}/{why}", 0) for why in reasons} for m in names}
