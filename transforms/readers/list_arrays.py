"""Arrow list columns: their lengths, and lists with some elements removed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def keep_elements(lists: pa.ListArray, kept: npt.NDArray[np.bool_]) -> pa.ListArray:
    """Keep the elements for which ``kept`` is true, a bool array of shape (elements of ``lists.flatten()``,)."""
    return build_lists(lists.is_valid(), list_lengths(lists), lists.flatten(), kept, lists.type)


def list_lengths(lists: pa.Array) -> npt.NDArray[np.int64]:
    """Count the elements of each list: int64 (rows,), 0 for null."""
    lengths: npt.NDArray[np.int64] = pc.fill_null(pc.list_value_length(lists), 0).cast(pa.int64()).to_numpy()
    return lengths


def row_of_elements(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the row index of each element of lists with these lengths: int64 (elements,)."""
    return np.repeat(np.arange(len(lengths)), lengths)


def build_lists(
    valid: pa.BooleanArray,
    lengths: npt.NDArray[np.int64],
    elements: pa.Array,
    kept: npt.NDArray[np.bool_],
    kind: pa.DataType,
) -> pa.ListArray:
    """Group elements into lists, without those that are not kept.

    Args:
        valid: false for a null list; shape (rows,).
        lengths: elements of each list before removal; shape (rows,).
        elements: elements of all lists; shape (elements,).
        kept: false for an element to remove; shape (elements,).
        kind: type of the result.
    """
    counts = np.bincount(row_of_elements(lengths)[kept], minlength=len(lengths))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, elements.filter(pa.array(kept)), type=kind, mask=pc.invert(valid))
