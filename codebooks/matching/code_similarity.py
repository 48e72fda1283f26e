"""How similar the codes of a modality are, by their centroids: 1 for the same code, 0 for strangers.

    similarity = max(0, 1 - squared distance / mean squared distance of two different codes)

Two codes that are as far apart as any two have similarity 0. Where centroids are equally far from their mean, this is
the cosine of the centroids with the mean taken off, at least 0. The plain cosine is not comparable between modalities:
all centroids of an encoder whose vectors share a direction look alike by it. Moving, turning or scaling a space changes
nothing here.

``none`` is similar to nothing but itself.
"""

import numpy as np

from tracktokens.codebooks.numerics.arrays import Floats, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE


class CodeSimilarity:
    """Similarities of one code to all others, taken when they are asked for: a table of all pairs is not kept."""

    def __init__(self, centroids: Floats) -> None:
        """Take the centroids, float32 (codes, dim); there may be none."""
        count = max(len(centroids), 1)
        self._points: Floats = centroids - centroids.sum(axis=0, dtype=np.float64).astype(np.float32) / count
        self._squares = np.einsum("ij,ij->i", self._points, self._points)
        # The mean over all pairs of different points, by what the variance says of it.
        self._mean_distance = 2 * float(self._squares.sum(dtype=np.float64)) / max(count - 1, 1)

    @property
    def size(self) -> int:
        """Number of codes."""
        return len(self._points)

    def to(self, code: int) -> Scores:
        """Similarity of each code to a given one, float64 (codes + 1,); that of ``none`` comes last, at -1.

        Args:
            code: a code, or -1 for ``none``. What is no code of these is similar to nothing.
        """
        similarities = np.zeros(self.size + 1)
        if 0 <= code < self.size and self._mean_distance > 0:
            distances = self._squares - 2 * (self._points @ self._points[code]) + self._squares[code]
            np.clip(1 - distances / self._mean_distance, 0, 1, out=similarities[:-1])
        if NONE <= code < self.size:
            similarities[code] = 1
        return similarities
