"""Playlist vectors: word2vec with tracks as words and playlists as sentences, trained on the catalog's playlists.

Its weights depend on the corpus, so the corpus digest is a part of its identity, and it computes the vectors of all
tracks of the corpus at once. Training is the only step that holds the whole corpus in memory: 4 bytes per entry, and
two float32 vectors and a name per distinct track.

Two runs over the same corpus compute the same bytes in any process: one worker thread, no salted hash, and a vocabulary
in key order. A different build of gensim's numeric libraries, or a different CPU, may round differently.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.playlist_encoders import WORD2VEC
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.playlists.corpus import require_playlists
from tracktokens.transforms.playlists.numbered_corpus import NumberedCorpus
from tracktokens.transforms.playlists.training_steps import Steps, uncounted
from tracktokens.transforms.playlists.warm_start import (
    LEARNING_RATE,
    PreviousVectors,
    fold_in_new_tracks,
    warm_start_epochs,
    without_vector,
    word2vec_settings,
)

if TYPE_CHECKING:
    from gensim.models.callbacks import CallbackAny2Vec

LONGEST_SENTENCE = 10_000
"""Words per sentence that gensim reads (its ``MAX_WORDS_IN_BATCH``). It drops the rest silently."""

RULES = 1
"""Version of the rules below and of the conversion of corpus to sentences. A change changes the vectors."""

PAIRS_PER_TRACK = 1_250
FEWEST_EPOCHS, MOST_EPOCHS = 5, 100
SMALLEST_SAMPLE, LARGEST_SAMPLE = 1e-4, 0.5
SAMPLE_TIMES_TRACKS = 3.0


@dataclass(frozen=True)
class Word2VecConfig:
    """Settings of the training.

    gensim's defaults suit words. These suit playlists, after Caselles-Dupré, Lesaint and
    Royo-Letelier, "Word2vec applied to recommendation: hyperparameters matter", RecSys 2018, arXiv 1804.04212.

    Attributes:
        dim: dimensions of a vector. On 2,952 real playlists 128 continued no better than 64, and took longer.
        window: largest distance of a neighbour, in entries. gensim draws a distance from 1 to this each time.
        ns_exponent: negatives are drawn with probability count ** ns_exponent; below 0, rare tracks more often.
        sample: share of all entries above which entries of a track are dropped at random; 0 keeps all. None takes
            :func:`sample_for`.
        negative: negatives per pair.
        epochs: epochs of a training from scratch. None takes :func:`epochs_for`.
        min_count: tracks with fewer entries get no vector.
        sg: 1 for skip-gram, 0 for CBOW.
        smallest_component: fewest tracks of a component whose tracks get vectors; see :mod:`.numbered_corpus`.
        seed: seed of the initial vectors of a training from scratch, and of every draw.
    """

    dim: int = 64
    window: int = 50
    ns_exponent: float = -0.5
    sample: float | None = None
    negative: int = 5
    epochs: int | None = None
    min_count: int = 1
    sg: int = 1
    seed: int = 0
    smallest_component: int = 30

    @property
    def name(self) -> str:
        """Name of this kind of encoder."""
        return WORD2VEC

    def identity(self, digest: str, start: PreviousVectors | None = None, isolated: int = 0) -> Mapping[str, object]:
        """Return everything that changes the vectors, as JSON values.

        Args:
            digest: the ``corpus_digest``.
            start: previous vectors that the training starts from.
            isolated: tracks that get no vector because they are isolated. Their limit is a part of the identity only
                where it leaves out a track, so that other encoders keep their ids.
        """
        own = {"name": WORD2VEC, "rules": RULES, "corpus": digest, "gensim": version("gensim"), **asdict(self)}
        if not isolated:
            del own["smallest_component"]
        return own if start is None else {**own, "start": {**start.identity(), **word2vec_settings()}}

    def encoder_id(self, digest: str, start: PreviousVectors | None = None, isolated: int = 0) -> str:
        """Id of the vectors trained on the corpus with this digest, from this start: 12 hex digits."""
        return identity_hash(self.identity(digest, start, isolated))

    def train(
        self, corpus: pa.Table, start: PreviousVectors | None = None, steps: Steps = uncounted
    ) -> tuple[pa.FixedSizeBinaryArray, npt.NDArray[np.float32]]:
        """Train a vector for each track of the corpus; see :func:`train`."""
        return train(corpus, self, start, steps)


def training_pairs(lengths: npt.NDArray[np.int64], window: int) -> int:
    """Return the largest number of (track, neighbour) pairs in one epoch, for playlists of these lengths.

    >>> training_pairs(np.array([3, 10]), window=4)  # 3 * 2 + 10 * 4
    46
    """
    return int((lengths * np.minimum(lengths - 1, window)).sum())


def epochs_for(tracks: int, pairs: int) -> int:
    """Return the number of epochs: until the mean track is in 1,250 pairs, within 5 to 100.

    A small corpus needs many epochs before its vectors leave their random start. A corpus whose tracks occur often
    needs few: with more it overfits, and tracks of one kind drift apart.

    >>> epochs_for(tracks=200, pairs=10_000)
    25

    Args:
        tracks: distinct tracks of the corpus.
        pairs: :func:`training_pairs` of the corpus.
    """
    return int(np.clip(-(-PAIRS_PER_TRACK * tracks // pairs), FEWEST_EPOCHS, MOST_EPOCHS))


def sample_for(tracks: int) -> float:
    """Return the share of all entries above which a track is frequent: 3 times the mean share, within [1e-4, 0.5].

    gensim keeps all entries of a track with up to 2.6 times this share. The customary 1e-4 is the mean share in a
    corpus of 10,000 tracks; with 200 tracks, whose mean share is 5e-3, it would drop five of six entries.

    >>> sample_for(300)
    0.01
    """
    return float(np.clip(SAMPLE_TIMES_TRACKS / tracks, SMALLEST_SAMPLE, LARGEST_SAMPLE))


def train(
    corpus: pa.Table, config: Word2VecConfig, start: PreviousVectors | None = None, steps: Steps = uncounted
) -> tuple[pa.FixedSizeBinaryArray, npt.NDArray[np.float32]]:
    """Train a vector for each track of the corpus that is not isolated or has a previous vector.

    Args:
        corpus: ``CORPUS``, in any order and any chunks.
        config: the settings.
        start: previous vectors of ``config.dim`` dimensions to start from; None trains from scratch.
        steps: receives the number of epochs, and when one is done.

    Returns:
        The tracks' keys, sorted, and float32 vectors (tracks, dim). All values are finite and fit into float16. Vectors
        are not normalised: those of frequent tracks are longer.

    Raises:
        InvalidDataError: the corpus has no playlist, no track has ``min_count`` entries or a previous vector, or the
            vectors diverged.
    """
    require_playlists(corpus)
    numbered = NumberedCorpus.of(corpus)
    counts, playlists = numbered.counts(), _sentences(numbered)
    kept = np.flatnonzero((counts >= config.min_count) & ~without_vector(numbered, config.smallest_component, start))
    if not len(kept):
        raise InvalidDataError(
            f"No track has {config.min_count} entries in the playlists: at most {counts.max()}. Lower min_count."
        )
    names = numbered.keys.take(pa.array(kept))
    if start is None:
        vectors = _fit(playlists, counts[kept], kept, config, steps)
    else:
        vectors = _train_warm(
            playlists, counts=counts[kept], kept=kept, config=config, steps=steps, start=start, rows=start.rows(names)
        )
    _check_range(vectors)
    return names, vectors


@dataclass(frozen=True)
class Sentences:
    """Playlists as sentences: an iterable that gensim reads once per epoch.

    Playlists of more than 10,000 entries are cut into chunks of nearly equal length, since gensim drops the entries
    after the 10,000th. Tracks on two sides of a cut are not neighbours there.

    Attributes:
        codes: int32 (entries,), track of each entry, playlist by playlist.
        offsets: int64 (playlists + 1,), start of each playlist in ``codes``, then the end of the last.
        words: object (codes,), the word of each code.
    """

    codes: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    words: npt.NDArray[np.object_]

    def __iter__(self) -> Iterator[list[str]]:
        for start, end in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True):
            for chunk in _chunks(self.codes[start:end]):
                yield self.words[chunk].tolist()

    def __len__(self) -> int:
        return int((-(-np.diff(self.offsets) // LONGEST_SENTENCE)).sum())


def _chunks(codes: npt.NDArray[np.int32]) -> list[npt.NDArray[np.int32]]:
    if len(codes) <= LONGEST_SENTENCE:
        return [codes]
    return np.array_split(codes, -(-len(codes) // LONGEST_SENTENCE))


def _sentences(corpus: NumberedCorpus) -> Sentences:
    words = np.array([str(track) for track in range(len(corpus.keys))], np.object_)
    return Sentences(corpus.tracks, corpus.offsets, words)


def _train_warm(
    playlists: Sentences,
    *,
    counts: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    config: Word2VecConfig,
    steps: Steps,
    start: PreviousVectors,
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Train tracks from their ``rows`` in the start, and fold in those that have none."""
    if not (rows >= 0).any():
        raise start.without_known_track()
    fitted = _fit(playlists, counts, kept, config, steps, (rows, start.vectors))
    rows_of_kept = np.full(len(playlists.words), -1, np.int32)
    rows_of_kept[kept] = np.arange(len(kept))
    return fold_in_new_tracks(
        playlists.offsets, rows_of_kept[playlists.codes], fitted, np.flatnonzero(rows < 0), config.window
    )


def _fit(
    playlists: Sentences,
    counts: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    config: Word2VecConfig,
    steps: Steps,
    start: tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]] | None = None,
) -> npt.NDArray[np.float32]:
    """Train the vectors of the tracks ``kept``, which have ``counts`` entries each.

    ``start`` holds each track's row among the previous vectors, -1 where it has none, and these vectors.
    """
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=config.dim,
        window=config.window,
        ns_exponent=config.ns_exponent,
        sample=sample_for(len(kept)) if config.sample is None else config.sample,
        negative=config.negative,
        min_count=config.min_count,
        sg=config.sg,
        seed=config.seed,
        workers=1,
        hashfxn=_fixed_hash,
        batch_words=LONGEST_SENTENCE,
    )
    # Counting here keeps the vocabulary's ties in the order of the keys, not of the first appearance.
    words = playlists.words[kept].tolist()
    model.build_vocab_from_freq(dict(zip(words, counts.tolist(), strict=True)), corpus_count=len(playlists))
    rows = np.array([model.wv.key_to_index[word] for word in words])
    pairs = training_pairs(np.diff(playlists.offsets), config.window)
    epochs = epochs_for(len(kept), pairs) if config.epochs is None else config.epochs
    rate = None  # gensim's
    if start is not None:
        known, old = start[0] >= 0, start[1]
        model.wv.vectors[rows[known]] = old[start[0][known]]
        epochs, rate = warm_start_epochs(epochs), LEARNING_RATE
    counter = _epoch_counter(steps(epochs))
    model.train(playlists, total_examples=len(playlists), epochs=epochs, start_alpha=rate, callbacks=[counter])
    vectors: npt.NDArray[np.float32] = model.wv.vectors[rows]
    return vectors


def _epoch_counter(done: Callable[[], None]) -> "CallbackAny2Vec":
    """Make the callback of gensim that reports each epoch."""
    from gensim.models.callbacks import CallbackAny2Vec

    class EpochCounter(CallbackAny2Vec):
        def on_epoch_end(self, model: object) -> None:
            done()

    return EpochCounter()


def _fixed_hash(word: str) -> int:
    """Hash a word alike in every process: Python's ``hash`` is salted."""
    return crc32(word.encode("utf-8"))


def _check_range(vectors: npt.NDArray[np.float32]) -> None:
    largest = np.abs(vectors).max()
    if not largest <= np.finfo(np.float16).max:  # NaN as well
        raise InvalidDataError(f"The playlist vectors diverged: their largest value is {largest}. Train fewer epochs.")
