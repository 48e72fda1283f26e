"""Playlist vectors: word2vec with tracks for words and playlists for sentences, trained on the catalog's own playlists.

Unlike the other encoders it has no weights before it has seen the corpus, so the corpus's digest is a part of its
identity, and it yields the vectors of every track of the corpus at once. Training is the one step that holds the whole
corpus in memory: 4 bytes an entry, and for each distinct track two float32 vectors and its name.

Two runs over the same corpus give the same bytes, in whatever process: one worker thread, no salted hash, and a
vocabulary in the order of the keys. Another build of gensim's numeric libraries, or another kind of CPU, may round
differently.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.playlists.corpus import in_order, require_playlists
from tracktokens.transforms.playlists.warm_start import LEARNING_RATE, OldVectors, epochs_from, fold_new

NAME = "word2vec"
"""Of this kind of encoder, in its identity."""

LONGEST_SENTENCE = 10_000
"""Words that gensim reads of one sentence (its ``MAX_WORDS_IN_BATCH``). It drops the rest without a word."""

RULES = 1
"""Version of the rules below and of the way the corpus becomes sentences: a change of them changes the vectors."""

PAIRS_A_TRACK = 1_250
FEWEST_EPOCHS, MOST_EPOCHS = 5, 100
SMALLEST_SAMPLE, LARGEST_SAMPLE = 1e-4, 0.5
SAMPLE_TIMES_TRACKS = 3.0


@dataclass(frozen=True)
class Word2VecConfig:
    """Settings of the training.

    gensim's own defaults are made for words. These are made for playlists, after Caselles-Dupré, Lesaint and
    Royo-Letelier, "Word2vec applied to recommendation: hyperparameters matter", RecSys 2018, arXiv 1804.04212.

    Attributes:
        dim: values a vector. On 2,952 real playlists 128 continued no better than 64, and took longer.
        window: furthest entry, either way, that a track is learned from. Each time gensim draws one from 1 to this.
        ns_exponent: negatives are drawn with probability count ** ns_exponent: below 0, rare tracks more often.
        sample: frequency, as a share of all entries, above which entries of a track are left out at random; 0 keeps
            all. None: :func:`sample_for`.
        negative: negatives drawn for each pair.
        epochs: times the corpus is read, in a training from nothing. None: :func:`epochs_for`.
        min_count: tracks with fewer entries get no vector.
        sg: 1 for skip-gram, 0 for CBOW.
        seed: of the initial vectors, where there are no old ones, and of every draw.
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

    def identity(self, digest: str, start: OldVectors | None = None) -> Mapping[str, object]:
        """Return everything that changes the vectors, as JSON values; ``digest`` is the corpus's ``corpus_digest``."""
        own = {"name": NAME, "rules": RULES, "corpus": digest, "gensim": version("gensim"), **asdict(self)}
        return own if start is None else {**own, "start": start.identity()}

    def encoder_id(self, digest: str, start: OldVectors | None = None) -> str:
        """Name of the vectors learned from the corpus with this digest, and this start: 12 hex digits."""
        return identity_hash(self.identity(digest, start))


def training_pairs(lengths: npt.NDArray[np.int64], window: int) -> int:
    """Return how many (track, neighbour) pairs one epoch shows at most, for playlists of these lengths."""
    return int((lengths * np.minimum(lengths - 1, window)).sum())


def epochs_for(tracks: int, pairs: int) -> int:
    """Return how often a corpus is read: until the mean track was in 1,250 pairs, at least 5 and at most 100 times.

    A small corpus needs many epochs before its vectors leave their random start. One whose tracks occur often needs
    few: read on, it learns by heart which tracks happened to meet, and tracks of one kind drift apart.

    Args:
        tracks: distinct tracks of the corpus.
        pairs: :func:`training_pairs` of the corpus.
    """
    return int(np.clip(-(-PAIRS_A_TRACK * tracks // pairs), FEWEST_EPOCHS, MOST_EPOCHS))


def sample_for(tracks: int) -> float:
    """Return the share of all entries above which a track is frequent: 3 times the mean share, within [1e-4, 0.5].

    gensim keeps every entry of a track with up to 2.6 times this share. The customary 1e-4 is the mean share in a
    corpus of 10,000 tracks; with 200 tracks, whose mean share is 5e-3, it would leave out five entries of six.
    """
    return float(np.clip(SAMPLE_TIMES_TRACKS / tracks, SMALLEST_SAMPLE, LARGEST_SAMPLE))


def train(
    corpus: pa.Table, config: Word2VecConfig, start: OldVectors | None = None
) -> tuple[pa.FixedSizeBinaryArray, npt.NDArray[np.float32]]:
    """Learn a vector for each track of the corpus.

    Args:
        corpus: ``CORPUS``, in any order and any chunks: it is learned from in the order of its positions.
        config: the settings.
        start: what to go on from, with vectors of ``config.dim`` values; None to start from nothing.

    Returns:
        The tracks' keys, sorted, and float32 vectors of shape (tracks, dim), a row for each key. Every value is finite
        and small enough for float16. Vectors have the length that training gives them: longer for tracks that were
        learned from more often.

    Raises:
        InvalidDataError: the corpus has no playlist, no track has ``min_count`` entries or an old vector to start
            from, or the vectors diverged.
    """
    require_playlists(corpus)
    keys, playlists = _encode(corpus)
    counts = np.bincount(playlists.codes, minlength=len(keys))
    kept = np.flatnonzero(counts >= config.min_count)
    if not len(kept):
        raise InvalidDataError(
            f"No track has {config.min_count} entries in the playlists: at most {counts.max()}. Lower min_count."
        )
    names = keys.take(pa.array(kept))
    if start is None:
        vectors = _fit(playlists, counts[kept], kept, config)
    else:
        vectors = _go_on(playlists, counts[kept], kept, config, start, start.rows(names))
    _check_range(vectors)
    return names, vectors


@dataclass(frozen=True)
class Sentences:
    """Playlists as sentences, made anew in each epoch: an iterable that gensim can read more than once.

    Playlists of more than 10,000 entries are cut into pieces of nearly equal length, none longer than that: gensim
    would drop what comes after the 10,000th. Tracks on two sides of a cut are not learned from each other there.

    Attributes:
        codes: int32 array, every entry's track, playlist by playlist.
        offsets: int64 array, where each playlist begins in ``codes``, and the end of the last.
        words: object array of strings, the word for each code.
    """

    codes: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    words: npt.NDArray[np.object_]

    def __iter__(self) -> Iterator[list[str]]:
        for start, end in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True):
            for piece in _pieces(self.codes[start:end]):
                yield self.words[piece].tolist()

    def __len__(self) -> int:
        return int((-(-np.diff(self.offsets) // LONGEST_SENTENCE)).sum())


def _pieces(codes: npt.NDArray[np.int32]) -> list[npt.NDArray[np.int32]]:
    if len(codes) <= LONGEST_SENTENCE:
        return [codes]
    return np.array_split(codes, -(-len(codes) // LONGEST_SENTENCE))


def _encode(corpus: pa.Table) -> tuple[pa.FixedSizeBinaryArray, Sentences]:
    """Return the distinct keys, sorted, and the playlists with each track as the rank of its key."""
    lists = in_order(corpus.to_batches()).column("track_keys")
    entries = pc.list_flatten(lists)
    distinct = entries.unique()
    keys = distinct.take(pc.sort_indices(distinct))
    codes = pc.index_in(entries, value_set=keys).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(lists).to_numpy(), dtype=np.int64)])
    return keys, Sentences(codes, offsets, np.array([str(code) for code in range(len(keys))], np.object_))


def _go_on(
    playlists: Sentences,
    counts: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    config: Word2VecConfig,
    start: OldVectors,
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Train tracks on from their ``rows`` in the start, and fold in those that have none."""
    if not (rows >= 0).any():
        raise InvalidDataError(
            f"No track in the playlists has a vector of encoder {start.encoder_id} to go on from: start from nothing."
        )
    fitted = _fit(playlists, counts, kept, config, (rows, start.vectors))
    places = np.full(len(playlists.words), -1, np.int32)
    places[kept] = np.arange(len(kept))
    return fold_new(playlists.offsets, places[playlists.codes], fitted, np.flatnonzero(rows < 0), config.window)


def _fit(
    playlists: Sentences,
    counts: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    config: Word2VecConfig,
    start: tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]] | None = None,
) -> npt.NDArray[np.float32]:
    """Train; return the vectors of the tracks ``kept``, which have ``counts`` entries each.

    ``start`` is each track's row among old vectors, -1 where it has none, and these.
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
    if start is None:
        model.train(playlists, total_examples=len(playlists), epochs=epochs)
    else:
        known, old = start[0] >= 0, start[1]
        model.wv.vectors[rows[known]] = old[start[0][known]]
        few = epochs_from(epochs)
        model.train(playlists, total_examples=len(playlists), epochs=few, start_alpha=LEARNING_RATE)
    vectors: npt.NDArray[np.float32] = model.wv.vectors[rows]
    return vectors


def _fixed_hash(word: str) -> int:
    """Hash a word the same way in every process: Python's ``hash`` is salted."""
    return crc32(word.encode("utf-8"))


def _check_range(vectors: npt.NDArray[np.float32]) -> None:
    largest = np.abs(vectors).max()
    if not largest <= np.finfo(np.float16).max:  # NaN as well
        raise InvalidDataError(f"The playlist vectors diverged: their largest value is {largest}. Train fewer epochs.")
