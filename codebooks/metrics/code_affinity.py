"""Affinity of the codes of one modality: which codes are found together in playlists.

The affinity of code d to code c is a lift: the probability that another track of a playlist with c has d, divided by
the probability that any track has d. A language model that is trained on tokens of playlists learns such pairs first.

    P(d | c) = (pairs(c, d) + PRIOR * prior(d | c)) / (pairs(c) + PRIOR)
    prior(d | c) = (1 - SAME) * P(d) + SAME if c = d

Each playlist counts every pair of its tracks with the weight 1 / (its tracks - 1). So a track counts for one pair in
each playlist that holds it, and a long playlist does not outweigh the others. P(d) counts a track once, and once more
for each playlist that holds it. A code without pairs has an affinity to itself alone. It is the larger the rarer the
code is, like the inverse document frequency of retrieval.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tracktokens.codebooks.numerics.arrays import Codes, Doubles, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PRIOR = 10.0
"""Pairs that the prior counts for."""

SAME = 0.5
"""Probability, in the prior, that the other track has the same code."""


@dataclass(frozen=True, eq=False)
class CodeAffinity:
    """Affinities of the codes of one modality.

    Attributes:
        pairs: float64 (codes, codes), weights of the pairs of tracks of one playlist, by their codes; symmetric.
        shares: float64 (codes,), probability of each code; they sum to 1.
    """

    pairs: "csr_matrix"
    shares: Doubles

    @classmethod
    def learn(cls, column: Codes, playlists: "csr_matrix", popularity: Doubles) -> "CodeAffinity":
        """Count pairs.

        Args:
            column: int16 (n,), codes of one modality, -1 for none.
            playlists: float64 (playlists, n), 1 where a playlist holds a row.
            popularity: float64 (n,), number of playlists that hold each row.
        """
        from scipy.sparse import diags

        owners = _code_of_rows(column)
        weights = 1 / np.maximum(np.asarray(playlists.sum(axis=1)).ravel() - 1, 1)
        held = playlists @ owners  # tracks of each playlist with each code
        itself = owners.T @ (playlists.T @ weights)  # a track forms no pair with itself
        pairs = (held.T @ diags(weights) @ held - diags(itself)).tocsr()
        pairs.data = np.maximum(pairs.data, 0)
        shares = owners.T @ (popularity + 1)
        return cls(pairs, shares / max(shares.sum(), 1))

    def log_lifts(self, seeds: Codes) -> Scores:
        """Average the logarithm of the affinity of each code over seeds: float64 (codes,), 0 for codes that no row has.

        Args:
            seeds: codes, at least one, none of them -1.
        """
        pairs = self.pairs[seeds].toarray()
        prior = np.tile((1 - SAME) * self.shares, (len(seeds), 1))
        prior[np.arange(len(seeds)), seeds] += SAME
        written = self.shares > 0
        chances = (pairs + PRIOR * prior)[:, written] / (pairs.sum(axis=1, keepdims=True) + PRIOR)
        lifts = np.zeros(len(self.shares))
        lifts[written] = np.log(chances / self.shares[written]).mean(axis=0)
        return lifts


def learn_affinities(columns: Iterable[Codes], playlists: "csr_matrix", popularity: Doubles) -> list[CodeAffinity]:
    """Learn the affinities of each modality; see :meth:`CodeAffinity.learn`."""
    return [CodeAffinity.learn(column, playlists, popularity) for column in columns]


def _code_of_rows(column: Codes) -> "csr_matrix":
    """Convert codes to float64 (n, codes), 1 at the code of each row."""
    from scipy.sparse import csr_matrix

    rows = np.flatnonzero(column != NONE)
    shape = (len(column), int(column.max(initial=NONE)) + 1)
    return csr_matrix((np.ones(len(rows)), (rows, column[rows])), shape=shape)
