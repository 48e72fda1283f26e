"""Warm start: train playlist vectors from previous ones, so that codes stay.

Word2vec from scratch moves every track, even after a rotation onto the previous space: two trainings on the same
playlists agree in little more than half of the codes. So tracks with a previous vector start from it, in the same
space, and are trained for a few epochs at a low rate. Output weights start at zero, as in every training. That keeps a
chain of warm starts from overfitting the playlists: with fitted output weights, or at the full rate, tracks of one kind
drift further apart each time. Means of previous and new vectors, rotated onto each other, change as few codes, but
continue playlists a little worse each time.

New tracks are folded in at the end (``codebooks.continuity.fold_in``): they have too few entries for so short a
training. ``benchmarks/bench_warm_start.py`` measures it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.continuity.fold_in import neighbour_sums
from tracktokens.codebooks.numerics.arrays import Floats, HalfVectors, Integers
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.playlists.numbered_corpus import Mask, NumberedCorpus
from tracktokens.transforms.store.keys import key_bytes

RULES = 1
"""Version of the rules in this module. A change of them changes the vectors."""

EPOCHS_SHARE = 0.25
"""Epochs, as a share of those of a training from scratch."""

LEARNING_RATE = 0.01
"""Initial rate, falling to gensim's 0.0001. A training from scratch starts at gensim's 0.025."""


@dataclass(frozen=True, eq=False)
class PreviousVectors:
    """Vectors of a previous encoder, for the tracks of the new corpus that have one.

    Attributes:
        encoder_id: the encoder.
        keys: the tracks' keys, sorted and distinct.
        vectors: float16 (keys, dim), as stored, not normalised.
    """

    encoder_id: str
    keys: pa.FixedSizeBinaryArray
    vectors: HalfVectors

    def identity(self) -> Mapping[str, object]:
        """Return everything about the vectors that changes the training, as JSON values.

        The vectors are a part of it, beside their encoder's id: a refresh adds the vectors of folded-in tracks.
        """
        digest = hashlib.blake2b(key_bytes(self.keys).tobytes(), digest_size=16)
        digest.update(np.ascontiguousarray(self.vectors, "<f2").tobytes())
        return {"encoder_id": self.encoder_id, "vectors": digest.hexdigest()}

    def rows(self, keys: pa.FixedSizeBinaryArray) -> Integers:
        """Return the row of each key, -1 where it has no previous vector."""
        rows: Integers = pc.fill_null(pc.index_in(keys, value_set=self.keys), -1).to_numpy().astype(np.int64)
        return rows

    def without_known_track(self) -> InvalidDataError:
        """Return the error for a corpus in which no track has a previous vector."""
        return InvalidDataError(
            f"No track in the playlists has a vector of encoder {self.encoder_id} to start from: train from scratch."
        )


def without_vector(corpus: NumberedCorpus, smallest_component: int, start: PreviousVectors | None) -> Mask:
    """Find the tracks of a corpus that get no vector: the isolated ones without a previous vector."""
    isolated = corpus.isolated(smallest_component)
    return isolated if start is None else isolated & (start.rows(corpus.keys) < 0)


def word2vec_settings() -> Mapping[str, object]:
    """Return the settings of a warm start of word2vec, as a part of its identity."""
    return {"rules": RULES, "epochs_share": EPOCHS_SHARE, "learning_rate": LEARNING_RATE}


def parent_encoder(identity: Mapping[str, object]) -> str | None:
    """Return the encoder whose space a playlist encoder shares, by its identity; None where it has its own."""
    start = identity.get("start")
    return str(start["encoder_id"]) if isinstance(start, Mapping) else None


def warm_start_epochs(epochs: int) -> int:
    """Return the epochs of a warm start, given those of a training from scratch.

    >>> warm_start_epochs(20)
    5
    """
    return max(1, round(EPOCHS_SHARE * epochs))


def fold_in_new_tracks(
    offsets: Integers, codes: npt.NDArray[np.int32], vectors: Floats, new: Integers, window: int
) -> Floats:
    """Fold the new tracks of a corpus in. Their vectors get the median length of the other tracks' vectors.

    Args:
        offsets: int64 (playlists + 1,), start of each playlist in ``codes``, then the end of the last.
        codes: int32 (entries,), track of each entry: a row of ``vectors``, or -1 for a track without one.
        vectors: float32 (tracks, dim), as trained.
        new: rows of the tracks without a previous vector; not all rows.
        window: largest distance of a neighbour, in entries, in either direction.

    Returns:
        The vectors, those of new tracks replaced. A new track without an old neighbour keeps its trained vector.
    """
    old = np.setdiff1d(np.arange(len(vectors)), new)
    # Entries without a track get one extra row with a zero vector: they are neither neighbours nor folded in.
    rows = np.full(len(vectors) + 1, -1)
    rows[old], rows[-1] = np.arange(len(old)), len(old)
    padded = np.concatenate([vectors[old], np.zeros((1, vectors.shape[1]), np.float32)])
    sums = neighbour_sums(offsets, np.where(codes < 0, len(vectors), codes), rows, padded, window)
    length = np.float32(np.median(np.linalg.norm(vectors[old], axis=1)))
    folded = length * Preprocessing(unit_length=True).apply(sums.folded())
    directed = folded.any(axis=1)
    result = vectors.copy()
    result[sums.tracks[directed]] = folded[directed]
    return result
