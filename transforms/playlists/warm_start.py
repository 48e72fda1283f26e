"""Where a training of playlist vectors goes on from: the vectors of an older one, so that codes stay.

Word2vec that is learned anew puts every track somewhere else, even once turned onto the old space: two trainings on the
same playlists agree in little more than half of the codes. So tracks that have an old vector start there, in the same
space, and are trained on for a few epochs at a low rate. Output weights start at zero as in every training, which is
what keeps a chain of such trainings from learning the playlists by heart: with output weights that fit, or at the full
rate, tracks of one kind drift further apart each time. Means of old and newly learned vectors, turned onto each other,
change as few codes, but continue playlists a little worse each time.

New tracks are folded in at the end, see ``codebooks.folding``: they have too few entries to find their place in so
short a training. ``benchmarks/bench_warm_start.py`` measures.
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
from tracktokens.transforms.store.keys import key_bytes

RULES = 1
"""Version of the rules below and in this module: a change of them changes the vectors."""

EPOCHS_SHARE = 0.25
"""Epochs, as a share of those of a training from nothing."""

LEARNING_RATE = 0.01
"""At the start, falling to gensim's 0.0001. A training from nothing starts at gensim's 0.025."""


@dataclass(frozen=True, eq=False)
class OldVectors:
    """Vectors of an older encoder, of the tracks in the new corpus that have one.

    Attributes:
        encoder_id: the encoder.
        keys: the tracks' keys, sorted and distinct.
        vectors: float16 (keys, dim), as the store has them, lengths and all.
    """

    encoder_id: str
    keys: pa.FixedSizeBinaryArray
    vectors: HalfVectors

    def identity(self) -> Mapping[str, object]:
        """Return everything that changes what is learned from here, as JSON values.

        The vectors are a part of it, beside their encoder's id: a night that folded tracks in has added some.
        """
        digest = hashlib.blake2b(key_bytes(self.keys).tobytes(), digest_size=16)
        digest.update(np.ascontiguousarray(self.vectors, "<f2").tobytes())
        settings = {"rules": RULES, "epochs_share": EPOCHS_SHARE, "learning_rate": LEARNING_RATE}
        return {"encoder_id": self.encoder_id, "vectors": digest.hexdigest(), **settings}

    def rows(self, keys: pa.FixedSizeBinaryArray) -> Integers:
        """Return the row of each key, -1 where it has no old vector."""
        found: Integers = pc.fill_null(pc.index_in(keys, value_set=self.keys), -1).to_numpy().astype(np.int64)
        return found


def started_from(identity: Mapping[str, object]) -> str | None:
    """Return the encoder whose space a word2vec encoder with this identity lies in; None where it has its own."""
    start = identity.get("start")
    return str(start["encoder_id"]) if isinstance(start, Mapping) else None


def epochs_from(epochs: int) -> int:
    """Return how often the corpus is read, where a training from nothing reads it ``epochs`` times."""
    return max(1, round(EPOCHS_SHARE * epochs))


def fold_new(offsets: Integers, codes: npt.NDArray[np.int32], vectors: Floats, new: Integers, window: int) -> Floats:
    """Fold the new ones among the tracks of a corpus in, as long as the median old track's vector.

    Args:
        offsets: int64 (playlists + 1,), where each playlist begins in ``codes``, and the end of the last.
        codes: int32 (entries,), every entry's track: a row of ``vectors``, or -1 for a track that gets none.
        vectors: float32 (tracks, dim), as trained.
        new: rows of tracks that had no vector before; not all of them.
        window: furthest entry, either way, that says something.

    Returns:
        The vectors, those of new tracks replaced. A new track keeps its own where no old one stands near it.
    """
    old = np.setdiff1d(np.arange(len(vectors)), new)
    # Entries without a track get a place of their own, whose vector is zero: no neighbours, and not folded.
    rows = np.full(len(vectors) + 1, -1)
    rows[old], rows[-1] = np.arange(len(old)), len(old)
    given = np.concatenate([vectors[old], np.zeros((1, vectors.shape[1]), np.float32)])
    sums = neighbour_sums(offsets, np.where(codes < 0, len(vectors), codes), rows, given, window)
    length = np.float32(np.median(np.linalg.norm(vectors[old], axis=1)))
    folded = length * Preprocessing(unit_length=True).apply(sums.folded())
    directed = folded.any(axis=1)
    result = vectors.copy()
    result[sums.tracks[directed]] = folded[directed]
    return result
