"""Similarity of the codes of a modality, by their centroids: 1 for the same code, 0 for unrelated codes.

    closeness = max(0, 1 - squared distance / mean squared distance of two different codes)
    similarity = closeness ** SHARPNESS, rounded down to a multiple of 1 / LEVELS

Two codes at the mean distance or further apart have closeness 0. If all centroids are equally far from their mean,
closeness is the cosine of the centered centroids, at least 0. The plain cosine is not comparable between modalities: if
the vectors of an encoder share a direction, all its centroids have a high cosine. Translating, rotating or scaling a
space does not change similarities.

Closeness alone ranks worse than equality of codes where tokens tie often: almost no two tracks have the same sum, so
that tiny differences decide where popularity ranks better. Hence the levels. The power keeps vaguely close codes, which
are about half of all, from outvoting an equal one. ``docs/matching.md`` has the figures.

``none`` is similar only to itself.
"""

from collections.abc import Mapping

import numpy as np

from tracktokens.codebooks.numerics.arrays import Floats, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.token_format import TokenFormat

SHARPNESS = 4
"""Power of closeness: of the codes of a modality only the nearest few keep a similarity above 0."""

LEVELS = 4
"""Number of similarities above 0: tracks at the same level tie, and the more popular comes first."""

_ROUNDING = 1e-6
"""Bound on the rounding of float32 distances: a closeness at the edge of a level is in it."""


class CodeSimilarity:
    """Similarities of one code to all codes, computed on demand: no table of all pairs is kept.

    Example:
        >>> import numpy as np
        >>> similarity = CodeSimilarity(np.array([[0, 0], [1, 0], [5, 0]], np.float32))
        >>> similarity.to(0).round(2).tolist()
        [1.0, 0.5, 0.0, 0.0]
    """

    def __init__(self, centroids: Floats) -> None:
        """Center the centroids, float32 (codes, dim); there may be none."""
        count = max(len(centroids), 1)
        self._points: Floats = centroids - centroids.sum(axis=0, dtype=np.float64).astype(np.float32) / count
        self._squares = np.einsum("ij,ij->i", self._points, self._points)
        # The mean over all pairs of different points follows from the variance.
        self._mean_distance = 2 * float(self._squares.sum(dtype=np.float64)) / max(count - 1, 1)

    @property
    def size(self) -> int:
        """Number of codes."""
        return len(self._points)

    def to(self, code: int) -> Scores:
        """Compute the similarity of each code to one code, float64 (codes + 1,); that of ``none`` is last, at -1.

        Args:
            code: a code, or -1 for ``none``. For any other value all similarities are 0.
        """
        similarities = np.zeros(self.size + 1)
        if 0 <= code < self.size and self._mean_distance > 0:
            distances = self._squares - 2 * (self._points @ self._points[code]) + self._squares[code]
            closeness = np.clip(1 - distances / self._mean_distance, 0, 1)
            similarities[:-1] = np.floor(closeness**SHARPNESS * LEVELS + _ROUNDING) / LEVELS
        if NONE <= code < self.size:
            similarities[code] = 1
        return similarities


def code_similarities(centroids: Mapping[str, Floats], token_format: TokenFormat) -> list[CodeSimilarity]:
    """Return the similarity of the codes of each column of a format. Different numbers have none.

    Args:
        centroids: name of each column that has a codebook to its centroids, float32 (codes, dim).
        token_format: the columns.
    """
    return [
        CodeSimilarity(centroids[column.name] if column.has_none else np.zeros((column.size, 0), np.float32))
        for column in token_format.columns
    ]
