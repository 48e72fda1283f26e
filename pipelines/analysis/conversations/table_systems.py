"""The systems of the table, made from a release one after the other."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import attrgetter

from tracktokens.codebooks.matching.token_index import Matching
from tracktokens.codebooks.metrics.rival_scorers import FixedScorer
from tracktokens.codebooks.metrics.token_features import WeightedScorer
from tracktokens.pipelines.analysis.conversations.documents import FROM_TABLE, KEPT, track_documents
from tracktokens.pipelines.analysis.conversations.model_systems import ModelSystem, RerankedSystem
from tracktokens.pipelines.analysis.conversations.systems import (
    Answer,
    NamedTracksSystem,
    RandomSystem,
    System,
    Taste,
)
from tracktokens.pipelines.analysis.conversations.text_systems import (
    Bm25System,
    DenseSystem,
    TextSpace,
    TextToMusicSystem,
    Words,
)
from tracktokens.pipelines.analysis.evaluation_scorers import ReleaseScorers
from tracktokens.pipelines.encoder_config import TextEncoderConfig, make_text_encoder
from tracktokens.pipelines.option_fields import from_options
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import PLAYLIST, TEXT_MODALITIES
from tracktokens.serving.generation.precision import AUTO
from tracktokens.serving.generation.recommender import Recommender
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store.bundles import read_codebook

POPULARITY = "popularity"
RANDOM = "random"
BM25 = "BM25"
BM25_REQUEST = "BM25, last message"
DENSE = "dense, two stages"
TO_TOKENS = "text to tokens"
TO_TOKENS_REQUEST = "text to tokens, last message"
PLAYLIST_VECTORS = "playlist vectors"
AFFINITY = "tokens, affinity"
MODEL = "tokens, model"
RERANKED = "tokens, model, reranked"

NAMES = (
    POPULARITY,
    RANDOM,
    BM25,
    BM25_REQUEST,
    DENSE,
    TO_TOKENS,
    TO_TOKENS_REQUEST,
    PLAYLIST_VECTORS,
    AFFINITY,
    MODEL,
    RERANKED,
)
"""All systems, in the order of the table."""

_CONVERSATION: Words = attrgetter("text")
_REQUEST: Words = attrgetter("request")


def submitted_system(name: str | None, model: str | None, systems: Sequence[str] = ()) -> str:
    """Choose the system whose predictions are submitted: a named one, the model, or the only one that is measured.

    Raises:
        UsageError: the name is unknown, or nothing is chosen.
    """
    chosen = name or (MODEL if model else systems[0] if len(systems) == 1 else None)
    if chosen not in NAMES:
        problem = (
            "a submission needs --model or --submission-system" if chosen is None else f"unknown system {chosen!r}"
        )
        raise UsageError(f"{problem}: choose one of {'; '.join(NAMES)}")
    return chosen


class _LeftOutError(Exception):
    """A system cannot be made. The message is the reason."""


@dataclass(eq=False)
class TableSystems:
    """Makes the systems of a release. What one of them reads is kept for the others.

    Attributes:
        release: the release, with its training playlists.
        model: folder of a language model, or None.
        tracks: tracks table with albums and lyrics, or None.
        precision: precision of the model's products.
        left_out: system that cannot be made to the reason.
        notes: what a reader of the table should know.
    """

    release: ReleaseScorers
    model: str | None = None
    tracks: str | None = None
    precision: str = AUTO
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def available(self, wanted: Collection[str] = ()) -> Iterator[str]:
        """Yield the names of the systems to make, in the order of the table; all by default."""
        chosen = set(wanted or NAMES)
        if RERANKED in chosen:
            chosen.add(MODEL)
        return (name for name in NAMES if name in chosen and (self.model or wanted or name not in (MODEL, RERANKED)))

    def make(self, name: str, answers: Mapping[str, Sequence[Answer]]) -> System | None:
        """Make a system; None if it is left out, with the reason in ``left_out``.

        Args:
            name: one of :data:`NAMES`.
            answers: answers of the systems before it.
        """
        makers: dict[str, Callable[[], System]] = {
            POPULARITY: lambda: NamedTracksSystem(FixedScorer(self.release.playlists), self.release.playlists),
            RANDOM: lambda: RandomSystem(len(self.release.codes), self.release.seed),
            BM25: partial(self._bm25, _CONVERSATION),
            BM25_REQUEST: partial(self._bm25, _REQUEST),
            DENSE: self._dense,
            TO_TOKENS: partial(self._text_to_tokens, _CONVERSATION),
            TO_TOKENS_REQUEST: partial(self._text_to_tokens, _REQUEST),
            PLAYLIST_VECTORS: self._playlist_vectors,
            AFFINITY: self._affinity,
            MODEL: self._model,
            RERANKED: partial(self._reranked, answers),
        }
        try:
            return makers[name]()
        except _LeftOutError as reason:
            self.left_out[name] = str(reason)
            return None

    def _bm25(self, words: Words) -> System:
        return Bm25System(self._documents, words)

    @cached_property
    def _documents(self) -> list[str]:
        used = KEPT if self.tracks is None else (*KEPT, *FROM_TABLE)
        without = "" if self.tracks else f"; {' and '.join(FROM_TABLE)} are left out without --tracks"
        self.notes.append(f"BM25 reads {', '.join(used)}{without}")
        return track_documents(self.release.index, self.tracks)

    def _dense(self) -> DenseSystem:
        return DenseSystem(self._space, self._taste, _CONVERSATION)

    def _text_to_tokens(self, words: Words) -> System:
        space, index = self._space, self.release.index
        names = index.table.token_format.names
        columns = {modality: names.index(modality) for modality in space.codebooks}
        return TextToMusicSystem(space, index.index, columns, Matching(self.release.weights), words)

    def _playlist_vectors(self) -> System:
        if self._taste is None:
            raise _LeftOutError("the release has no playlist vectors")
        usable = self._taste.vectors.any(axis=1)
        return NamedTracksSystem(self._taste, self.release.playlists, usable)

    def _affinity(self) -> System:
        features = self.release.affinity
        return NamedTracksSystem(WeightedScorer(features, features.weights), self.release.playlists)

    def _model(self) -> System:
        if self.model is None:
            raise _LeftOutError("it needs --model")
        folder = self.release.index.table.release.folder
        recommender = Recommender.open(self.model, folder, precision=self.precision)
        return ModelSystem(recommender, self.release.index.track_ids)

    def _reranked(self, answers: Mapping[str, Sequence[Answer]]) -> System:
        if MODEL not in answers:
            raise _LeftOutError(self.left_out[MODEL])
        return RerankedSystem(answers[MODEL], self._dense().relevance)

    @cached_property
    def _taste(self) -> Taste | None:
        vectors = self.release.unit_vectors(PLAYLIST)
        return None if vectors is None else Taste(vectors)

    @cached_property
    def _space(self) -> TextSpace:
        """The text model that made the text vectors of the release."""
        encoders = self.release.snapshot.encoders
        try:
            encoder = make_text_encoder(from_options(TextEncoderConfig, self.release.release.options or {}), None)
        except UsageError as error:
            raise _LeftOutError(f"the text model of the release cannot be used: {error}") from error
        modalities = [modality for modality in TEXT_MODALITIES if encoders.get(modality) == encoder.encoder_id]
        vectors = {modality: self.release.unit_vectors(modality) for modality in modalities}
        present = {modality: rows for modality, rows in vectors.items() if rows is not None}
        if not present:
            raise _LeftOutError("no text vectors of the release are from its text model on this machine")
        others = [modality for modality in TEXT_MODALITIES if modality in encoders and modality not in present]
        if others:
            self.notes.append(f"{', '.join(others)} are from other models, and no request is compared with them")
        store, bundle = self.release.snapshot.store, self.release.release.bundle_id
        books = {modality: read_codebook(store, bundle, modality) for modality in present}
        return TextSpace(encoder.load(thread_share(1)), books, present)
