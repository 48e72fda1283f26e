"""Scorers that know more, or less, than tokens: vectors, popularity, artists, and the training playlists themselves."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tracktokens.codebooks.metrics.token_features import DIGITS
from tracktokens.codebooks.numerics.arrays import Doubles, Floats, Integers, RowIndices, Scores

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ALS_FACTORS = 64
"""Factors of a track in ALS."""


@dataclass(frozen=True, eq=False)
class VectorScorer:
    """Scores by full vectors: the weighted sum over the modalities of a row's mean cosine to the seeds.

    Attributes:
        vectors: modality to float32 (n, dim) of unit length; zero for rows without the modality.
        weights: modality to weight.
    """

    vectors: Mapping[str, Floats]
    weights: Mapping[str, float]

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows."""
        total: Scores = sum(
            self.weights[modality] * (rows @ rows[seeds].mean(axis=0)).astype(np.float64)
            for modality, rows in self.vectors.items()
        )
        return total


@dataclass(frozen=True, eq=False)
class FixedScorer:
    """Scores that do not depend on the seeds, such as popularity.

    Attributes:
        values: float64 (n,).
    """

    values: Scores

    def scores(self, seeds: RowIndices) -> Scores:
        """Return the fixed scores."""
        return self.values


@dataclass(frozen=True, eq=False)
class ArtistScorer:
    """Scores tracks by an artist of the seeds above all others, each of both by popularity.

    Attributes:
        artists: int64 (n,), number of each row's artist, -1 if it is not known.
        popularity: float64 (n,), not negative.
    """

    artists: Integers
    popularity: Scores

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows."""
        wanted = self.artists[seeds][self.artists[seeds] >= 0]
        same = np.isin(self.artists, wanted)
        scores: Scores = self.popularity + same * (1 + self.popularity.max(initial=0.0))
        return scores


@dataclass(frozen=True, eq=False)
class ItemKnnScorer:
    """Scores by co-occurrence: the sum over the seeds of the cosine of the rows' playlists.

    Attributes:
        playlists: float64 (playlists, n), 1 where a training playlist holds a row.
    """

    playlists: "csr_matrix"

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows."""
        held = self._by_row[:, seeds] @ self._scales[seeds]
        scores: Scores = np.round((self.playlists.T @ held) * self._scales, DIGITS)
        return scores

    @cached_property
    def _by_row(self) -> Any:
        return self.playlists.tocsc()

    @cached_property
    def _scales(self) -> Doubles:
        """1 / length of each row's vector of playlists, float64 (n,)."""
        lengths: Doubles = np.sqrt(np.maximum(np.asarray(self.playlists.sum(axis=0)).ravel(), 1))
        return 1 / lengths


@dataclass(frozen=True, eq=False)
class AlsScorer:
    """Scores by ALS (Hu, Koren, Volinsky, ICDM 2008): the seeds are folded in as a new playlist.

    Attributes:
        model: a fitted model of the package ``implicit``.
        tracks: number of rows.
    """

    model: Any
    tracks: int

    @classmethod
    def fit(cls, playlists: "csr_matrix", seed: int) -> "AlsScorer":
        """Fit a model to training playlists, float64 (playlists, n), in one thread, so that it can be repeated."""
        from threadpoolctl import threadpool_limits

        als = importlib.import_module("implicit.als")
        with threadpool_limits(1):
            model = als.AlternatingLeastSquares(factors=ALS_FACTORS, random_state=seed, num_threads=1)
            model.fit(playlists.astype(np.float32), show_progress=False)
        return cls(model, playlists.shape[1])

    def scores(self, seeds: RowIndices) -> Scores:
        """Score all rows."""
        from scipy.sparse import csr_matrix

        listed = csr_matrix((np.ones(len(seeds), np.float32), (np.zeros(len(seeds), int), seeds)), (1, self.tracks))
        factors = np.ravel(self.model.recalculate_user(0, listed))
        scores: Scores = (self.model.item_factors @ factors).astype(np.float64)
        return scores
