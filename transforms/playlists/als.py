"""Playlist vectors: matrix factorization by alternating least squares, with playlists as users and tracks as items.

A track's vector is its factor of the matrix of playlists and tracks (Hu, Koren and Volinsky, "Collaborative filtering
for implicit feedback datasets", ICDM 2008; the solver is that of the package ``implicit``). The order within a playlist
does not matter. Where word2vec needs many entries per track, this also learns from short lists.

The confidence in an entry falls with the number of playlists that contain the track, so that the entries of each track
together weigh the same. Directions of vectors are what codes are made of, and with equal confidences the popular tracks
determine them all.

Two runs over the same corpus compute the same bytes, with any number of threads: each factor is solved in one thread,
and the matrix products before it run in one BLAS thread. In memory are 16 bytes per entry, and 4 bytes per dimension of
each playlist and each track: 1 GB for a million playlists of 50 entries and a million tracks, with 64 dimensions.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tracktokens.codebooks.numerics.arrays import Floats, HalfVectors, Integers
from tracktokens.schemas.playlist_encoders import ALS
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.playlists.corpus import require_playlists
from tracktokens.transforms.playlists.numbered_corpus import NumberedCorpus
from tracktokens.transforms.playlists.training_steps import Steps, uncounted
from tracktokens.transforms.playlists.warm_start import PreviousVectors, without_vector
from tracktokens.transforms.runtime.threads import thread_share

if TYPE_CHECKING:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

RULES = 1
"""Version of the rules in this module. A change of them changes the vectors."""

WARM_ITERATIONS = 2
"""Iterations of a training that continues from previous vectors."""


@dataclass(frozen=True)
class AlsConfig:
    """Settings of the factorization.

    Attributes:
        dim: dimensions of a vector.
        regularization: weight of the factors' squared lengths in the loss.
        confidence: mean confidence in an entry; that in a missing entry is 1.
        popularity_exponent: confidence falls with the number of the track's playlists to this power.
        iterations: iterations of a training from scratch.
        smallest_component: fewest tracks of a component whose tracks get vectors; see :mod:`.numbered_corpus`. Any list
            has a direction of its own here, but a code for fewer tracks is wasted.
        seed: seed of the initial factors.
    """

    dim: int = 64
    regularization: float = 1.0
    confidence: float = 100.0
    popularity_exponent: float = 1.0
    iterations: int = 15
    smallest_component: int = 10
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of this kind of encoder."""
        return ALS

    def identity(self, digest: str, start: PreviousVectors | None = None, isolated: int = 0) -> Mapping[str, object]:
        """Return everything that changes the vectors, as JSON values; see :meth:`.Word2VecConfig.identity`."""
        own = {"name": ALS, "rules": RULES, "corpus": digest, "implicit": version("implicit"), **asdict(self)}
        return own if start is None else {**own, "start": {**start.identity(), "iterations": WARM_ITERATIONS}}

    def encoder_id(self, digest: str, start: PreviousVectors | None = None, isolated: int = 0) -> str:
        """Id of the vectors trained on the corpus with this digest, from this start: 12 hex digits."""
        return identity_hash(self.identity(digest, start, isolated))

    def train(
        self, corpus: pa.Table, start: PreviousVectors | None = None, steps: Steps = uncounted
    ) -> tuple[pa.FixedSizeBinaryArray, Floats]:
        """Train a vector for each track of the corpus; see :func:`train`."""
        return train(corpus, self, start, steps)


def is_installed() -> bool:
    """Return whether the package ``implicit`` is installed."""
    return importlib.util.find_spec("implicit") is not None


def train(
    corpus: pa.Table, config: AlsConfig, start: PreviousVectors | None = None, steps: Steps = uncounted
) -> tuple[pa.FixedSizeBinaryArray, Floats]:
    """Train a vector for each track of the corpus that is not isolated or has a previous vector.

    Args:
        corpus: ``CORPUS``, in any order and any chunks.
        config: the settings.
        start: previous vectors of ``config.dim`` dimensions to start from; None trains from scratch.
        steps: receives the number of iterations, and when one is done.

    Returns:
        The tracks' keys, sorted, and float32 vectors (tracks, dim). Vectors are not normalised: those of tracks whose
        playlists agree are longer.

    Raises:
        InvalidDataError: the corpus has no playlist, or no track of it has a previous vector.
    """
    require_playlists(corpus)
    numbered = NumberedCorpus.of(corpus)
    rows = np.full(len(numbered.keys), -1) if start is None else start.rows(numbered.keys)
    kept = np.flatnonzero(~without_vector(numbered, config.smallest_component, start))
    entries = confidences(membership(numbered)[:, kept], config)
    model = _model(config)
    with one_blas_thread():
        if start is not None:
            _warm_up(model, entries, rows[kept], start, config)
        done = steps(model.iterations)
        model.fit(entries, show_progress=False, callback=lambda *_: done())
    return numbered.keys.take(pa.array(kept)), model.item_factors


def fold_in(known: "csr_matrix", vectors: HalfVectors | Floats, new: "csr_matrix", config: AlsConfig) -> Floats:
    """Compute vectors of new tracks in the space of known ones, which do not change.

    The factor of each playlist is the least-squares solution for its known tracks, and the vector of a new track is
    that for the factors of its playlists.

    Args:
        known: float32 (playlists, known tracks), confidence in each entry, 0 where there is none.
        vectors: float16 or float32 (known tracks, dim).
        new: float32 (playlists, new tracks), the same for the new tracks.
        config: the settings of the known vectors.

    Returns:
        Float32 vectors (new tracks, dim): zero for a track that is in no playlist with a known track.
    """
    model = _model(config)
    model.item_factors = np.ascontiguousarray(vectors, np.float32)
    with one_blas_thread():
        model.user_factors = model.recalculate_user(np.arange(known.shape[0]), known)
        factors: Floats = model.recalculate_item(np.arange(new.shape[1]), new.T.tocsr())
    return factors


def membership(corpus: NumberedCorpus) -> "csr_matrix":
    """Build the matrix of playlists and tracks: float32, 1 where a playlist contains a track, however often."""
    from scipy.sparse import csr_matrix

    shape = (len(corpus.offsets) - 1, len(corpus.keys))
    ones = np.ones(len(corpus.tracks), np.float32)
    matrix = csr_matrix((ones, corpus.tracks, corpus.offsets), shape, copy=True)  # Arrow's arrays cannot be sorted.
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def confidences(matrix: "csr_matrix", config: AlsConfig) -> "csr_matrix":
    """Replace the entries of a membership matrix by confidences, whose mean is ``config.confidence``.

    Example:
        >>> from scipy.sparse import csr_matrix
        >>> playlists = csr_matrix([[1, 1, 0], [0, 1, 0], [0, 1, 1]], dtype=np.float32)
        >>> confidences(playlists, AlsConfig(confidence=3)).toarray().tolist()  # each track's sum is 5
        [[5.0, 1.6666666269302368, 0.0], [0.0, 1.6666666269302368, 0.0], [0.0, 1.6666666269302368, 5.0]]
    """
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float64)
    weights = np.maximum(counts, 1) ** -config.popularity_exponent
    weights *= config.confidence * matrix.nnz / max(float(weights @ counts), 1.0)
    weighted = matrix.copy()
    weighted.data = weights.astype(np.float32)[matrix.indices]
    return weighted


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run BLAS in one thread: with several, sums are rounded differently."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _warm_up(
    model: "AlternatingLeastSquares",
    entries: "csr_matrix",
    rows: Integers,
    start: PreviousVectors,
    config: AlsConfig,
) -> None:
    """Let a training begin with the ``rows`` of tracks in the start. Those with row -1 are folded in."""
    known, new = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
    if not len(known):
        raise start.without_known_track()
    factors = np.random.default_rng(config.seed).random((len(rows), config.dim), np.float32) * np.float32(0.01)
    factors[known] = start.vectors[rows[known]]
    if len(new):
        folded = fold_in(entries[:, known], factors[known], entries[:, new], config)
        near = folded.any(axis=1)
        factors[new[near]] = folded[near]
    model.item_factors = factors
    model.user_factors = model.recalculate_user(np.arange(entries.shape[0]), entries)
    model.iterations = WARM_ITERATIONS


def _model(config: AlsConfig) -> "AlternatingLeastSquares":
    from implicit.cpu.als import AlternatingLeastSquares

    with one_blas_thread():  # The constructor warns of more threads.
        return AlternatingLeastSquares(
            factors=config.dim,
            regularization=config.regularization,
            iterations=config.iterations,
            random_state=config.seed,
            num_threads=thread_share(1),
        )
