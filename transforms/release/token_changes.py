"""Find which tokens are other ones than in the release before, bucket by bucket."""

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.tokens.code_matrix import NONE, Codes
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.token_changes import CHANGES, CODEBOOK_CHANGED, INPUT_CHANGED, NEW, REMOVED
from tracktokens.transforms.store import files
from tracktokens.transforms.store.token_tables import code_matrix


def changes_folder(release: str) -> str:
    """Folder of a release's changes."""
    return files.join(release, "changes")


def changes_part(release: str, bucket: int) -> str:
    """Path of the changes of a bucket of tracks; there is none where nothing changed."""
    return files.join(changes_folder(release), f"part-{bucket:04d}.parquet")


def find_changes(old: pa.Table, new: pa.Table, recoded: Collection[str]) -> pa.Table:
    """Compare two token tables of the same bucket.

    Args:
        old: ``track_id`` and codes before, no id twice.
        new: the same now.
        recoded: modalities whose codebook is another one now.

    Returns:
        ``CHANGES``, in order of track id and modality.
    """
    before, after = old["track_id"].combine_chunks(), new["track_id"].combine_chunks()
    places = pc.index_in(after, value_set=before)
    known = places.is_valid().to_numpy(zero_copy_only=False)
    then, now = code_matrix(old), code_matrix(new)
    gone = np.ones(len(before), bool)
    gone[places.drop_null().to_numpy()] = False
    found = np.full((len(after), len(MODALITIES)), NONE, np.int16)
    found[known] = then[places.drop_null().to_numpy()]
    none = np.full((int(gone.sum()), len(MODALITIES)), NONE, np.int16)
    rows = [
        *_rows(after.filter(pa.array(~known)), found[~known], now[~known], lambda _: NEW),
        *_rows(after.filter(pa.array(known)), found[known], now[known], lambda name: _why(name, recoded)),
        *_rows(before.filter(pa.array(gone)), then[gone], none, lambda _: REMOVED),
    ]
    return _sorted(pa.Table.from_batches(rows, CHANGES))


def _why(modality: str, recoded: Collection[str]) -> str:
    return CODEBOOK_CHANGED if modality in recoded else INPUT_CHANGED


def _rows(ids: pa.Array, old: Codes, new: Codes, why: Callable[[str], str]) -> Iterator[pa.RecordBatch]:
    """Rows of the tracks whose code differs, modality by modality."""
    for number, modality in enumerate(MODALITIES):
        differs = np.flatnonzero(old[:, number] != new[:, number])
        columns = [
            ids.take(pa.array(differs)),
            _repeated(modality, len(differs)),
            _codes(old[differs, number]),
            _codes(new[differs, number]),
            _repeated(why(modality), len(differs)),
        ]
        yield pa.record_batch(columns, schema=CHANGES)


def _sorted(changes: pa.Table) -> pa.Table:
    place = pc.index_in(changes["modality"], value_set=pa.array(MODALITIES))
    order = pc.sort_indices(
        pa.table({"track_id": changes["track_id"], "place": place}),
        [("track_id", "ascending"), ("place", "ascending")],
    )
    return changes.take(order)


def _codes(codes: npt.NDArray[np.int16]) -> pa.Array:
    return pa.array(codes, mask=codes == NONE)


def _repeated(value: str, times: int) -> pa.Array:
    return pa.repeat(value, times)


def count_changes(changes: pa.Table) -> Iterator[tuple[str, int]]:
    """Count changes by modality and why, under names that :func:`changes_by_modality` reads."""
    grouped = changes.group_by(["modality", "why"]).aggregate([([], "count_all")])
    for row in grouped.to_pylist():
        yield f"changes/{row['modality']}/{row['why']}", row["count_all"]


def changes_by_modality(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Modality to why to number of tokens, each modality and reason named, out of all that was counted."""
    reasons = (NEW, REMOVED, INPUT_CHANGED, CODEBOOK_CHANGED)
    return {m: {why: counts.get(f"changes/{m}/{why}", 0) for why in reasons} for m in MODALITIES}
