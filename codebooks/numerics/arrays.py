"""Array types of the numeric core: one alias per meaning, with dtype and shape. ``M`` is the number of modalities."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
"""float32, any shape: points, centroids, distances, margins."""

Doubles: TypeAlias = npt.NDArray[np.float64]
"""float64, any shape: sums, moments, probabilities and whatever else needs the precision."""

Integers: TypeAlias = npt.NDArray[np.int64]
"""int64, any shape: offsets, bin numbers, fixed-point sums."""

Words: TypeAlias = npt.NDArray[np.uint64]
"""uint64, any shape: hashes, and codes packed into 64-bit words."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""bool (n,): the rows that are meant."""

Vectors: TypeAlias = npt.NDArray[np.float16] | npt.NDArray[np.float32]
"""float16 or float32 (n, dim): embeddings, one row per input."""

HalfVectors: TypeAlias = npt.NDArray[np.float16]
"""float16 (n, dim): embeddings or points in the precision of the store."""

Codes: TypeAlias = npt.NDArray[np.int16]
"""int16 (n,): codes of one modality, one per input; -1 for none."""

CodeMatrix: TypeAlias = npt.NDArray[np.int16]
"""int16 (n, M): one row per track, one column per modality in token order; -1 for none."""

CodeColumns: TypeAlias = npt.NDArray[np.int16]
"""int16 (M, n), contiguous: a transposed code matrix."""

CodeTuple: TypeAlias = npt.NDArray[np.int16]
"""int16 (M,): the codes of one track in token order, -1 for none. A prefix of a tuple is shorter."""

Query: TypeAlias = npt.NDArray[np.int16]
"""int16 (M,): what was written per modality, in token order: a code, -1 for ``none``, -2 if not written."""

RowIndices: TypeAlias = npt.NDArray[np.int64]
"""int64 (n,): indices of rows of another array."""

Counts: TypeAlias = npt.NDArray[np.int64]
"""int64 (n,): numbers of occurrences, not negative."""

Ids: TypeAlias = npt.NDArray[np.int64]
"""int64, any shape: ids of a tokenizer's tokens, or of tracks."""

Scores: TypeAlias = npt.NDArray[np.float64]
"""float64 (n,): the higher, the better."""

Weights: TypeAlias = npt.NDArray[np.float64]
"""float64 (n,): weights of rows in a mean or a sum, not negative."""
