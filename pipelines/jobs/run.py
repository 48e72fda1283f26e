"""The run job: tokenize a catalog and publish a release. Five Beam jobs in a row, then small files are merged."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tracktokens.codebooks.metrics.drift import DriftLimits
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs.adopt_codebooks import AdoptedCodebooks
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.playlist_vectors import PlaylistsJob, refuse_two_sources
from tracktokens.pipelines.jobs.publish import PublishJob, Release
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.jobs.train import TrainJob, check_codebook_size
from tracktokens.pipelines.jobs.up_to_date import hash_inputs, keep_up_to_date
from tracktokens.pipelines.jobs.vocabulary import PLAYLIST_ENCODER, KeptVocabulary, ReleasedVocabulary, new_format
from tracktokens.pipelines.maintenance.compaction import compact_after
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.playlist_encoders import WORD2VEC
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.schemas.token_format import FurtherTokens, TokenFormat
from tracktokens.transforms.gates.losses import LostValuesGate
from tracktokens.transforms.playlists.playlist_encoder import encoders_of
from tracktokens.transforms.readers.fragments import Fragment, check_table, find_fragments
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import frozen_bundle, latest_id
from tracktokens.transforms.store.writer_lock import writes

Result = TypeVar("Result")


@dataclass(frozen=True)
class RunResult:
    """The result of a run or a refresh.

    Attributes:
        release: the published release.
        catalog: manifest of the catalog snapshot.
        bundle: manifest of the codebooks.
        seconds: stage to wall time in seconds, in order.
        published: whether the job published the release. A refresh that finds nothing changed returns the one in use.
    """

    release: Release
    catalog: CatalogManifest
    bundle: BundleManifest
    seconds: Mapping[str, float]
    published: bool = True


def ignore_stage(stage: str) -> None:
    """Do nothing when a stage starts."""


@dataclass(frozen=True, kw_only=True)
class RunJob:
    """Tokenize a catalog, from its tables to a release.

    In a store with a release, tokens keep their meaning: a codebook is trained for a modality that had none, and a size
    or an encoder other than the release's is an error without ``new_vocabulary``. With it, a modality still keeps the
    codebook of the newest release with this codebook size, if its encoder is the same.

    Attributes:
        source: the catalog and its encoders. Without playlists no track has a playlist token.
        store: root of the store; created when it does not exist.
        codebook_size: codes that the vocabulary reserves per modality; None for those of the release in use, or 1,024.
        seed: seed of codebook training.
        playlist_encoder: ``word2vec``, ``als``, or ``auto`` for the one that continues held-out playlists best; None
            for that of the release in use, or ``word2vec``.
        max_churn: largest share of a modality's tokens, 0 to 1, that may differ from the latest release; None for any.
        tokens: tokens after the five of the modalities; by default those of the newest release with this codebook size.
        new_vocabulary: whether tokens of the release in use may be replaced.
        codebooks_from: root of another store whose latest codebooks this new store takes, so that tokens keep their
            numbers; None for none.
    """

    source: CatalogSource
    store: str
    codebook_size: int | None = None
    seed: int = 0
    playlist_encoder: str | None = None
    max_churn: float | None = None
    tokens: FurtherTokens = field(default_factory=FurtherTokens)
    new_vocabulary: bool = False
    codebooks_from: str | None = None

    def run(self, runner: PipelineRunner, start_stage: Callable[[str], None] = ignore_stage) -> RunResult:
        """Run all jobs. ``start_stage`` is called with each stage's name when the stage starts.

        Raises:
            UsageError, InvalidDataError, TracktokensError: as the jobs do. Nothing is published then.
        """
        check_codebook_size(self.codebook_size)
        self.source.check_reachable(self.store, runner)
        return self._run_locked(runner, start_stage)

    @writes("run", creates=True)
    def _run_locked(self, runner: PipelineRunner, start_stage: Callable[[str], None]) -> RunResult:
        self.source.check_apart_from(self.store)
        check_playlists(self.source)
        latest = latest_id(self.store)
        adopted = self._adopted()
        released = ReleasedVocabulary.of(self.store, may_change=self.new_vocabulary)
        token_format, playlist_encoder = self._format(released, adopted), self._kind(released)
        only_source = self.source.playlists is None and not self.source.embeddings
        embed = EmbedJob(source=self.source, store=self.store, needs_inputs=only_source)
        if adopted is not None:
            adopted.require_encoders(embed.encoder_ids)  # before hours of encoding
        if released is not None:
            released.check_format(token_format)
            self._check_modalities(released, embed.encoder_ids, playlist_encoder)
        # A refresh after this may fold tracks into the space of playlist vectors that were just learned.
        inputs = None if self.source.playlists is not None else hash_inputs(embed, [], DriftLimits())
        clock = StageClock(start_stage)
        catalog = clock.time("embed", lambda: embed.run(runner))
        if self.source.playlists is not None:
            learn = self._playlists_job(self.source.playlists, catalog, playlist_encoder, adopted or released)
            clock.time("playlists", lambda: learn.run(runner))
        store = Store.open(self.store)
        train = TrainJob(
            store=self.store,
            codebook_size=token_format.codebook_size,
            seed=self.seed,
            catalog_id=catalog.catalog_id,
            keep_from=frozen_bundle(store, token_format.codebook_size) if adopted is None else adopted.copy_to(store),
            tokens=self.tokens,
        )
        bundle = clock.time("train", lambda: train.run(runner))
        tokenize = TokenizeJob(store=self.store, bundle_id=bundle.bundle_id, catalog_id=catalog.catalog_id)
        clock.time("tokenize", lambda: tokenize.run(runner))
        own_options = self._own_options(token_format.codebook_size, playlist_encoder)
        publish = self._publish_job(bundle, catalog, latest, own_options)
        release = clock.time("publish", lambda: publish.run(runner))
        clock.time("compact", lambda: compact_after(store, runner))
        keep_up_to_date(store, release, inputs)
        return RunResult(release, catalog, bundle, clock.seconds)

    def _playlists_job(
        self, playlists: str, catalog: CatalogManifest, encoder: str, keeps: KeptVocabulary | None
    ) -> PlaylistsJob:
        return PlaylistsJob(
            playlists=playlists,
            store=self.store,
            catalog_id=catalog.catalog_id,
            encoder=encoder,
            max_reject_rate=self.source.max_reject_rate,
            keeps=keeps,
        )

    def _publish_job(
        self, bundle: BundleManifest, catalog: CatalogManifest, latest: str, options: Mapping[str, Any]
    ) -> PublishJob:
        return PublishJob(
            store=self.store,
            bundle_id=bundle.bundle_id,
            catalog_id=catalog.catalog_id,
            max_churn=self.max_churn,
            new_vocabulary=self.new_vocabulary,
            max_lost=self.source.max_lost,
            max_removed=self.source.max_removed,
            expected_latest=latest,
            options=options,
        )

    def _adopted(self) -> AdoptedCodebooks | None:
        if self.codebooks_from is None:
            return None
        return AdoptedCodebooks.read(self.codebooks_from, self.codebook_size, self.store)

    def _format(self, released: ReleasedVocabulary | None, adopted: AdoptedCodebooks | None) -> TokenFormat:
        if adopted is not None:
            return new_format(adopted.token_format, self.codebook_size, self.tokens)
        return new_format(None if released is None else released.token_format, self.codebook_size, self.tokens)

    def _check_modalities(
        self, released: ReleasedVocabulary, encoder_ids: Mapping[str, str], playlist_encoder: str
    ) -> None:
        """Check, before hours of encoding, that each modality of the release is given, and its encoder the same."""
        given = dict.fromkeys(encoder_ids, 1)
        if self.source.playlists is not None:
            given[PLAYLIST] = 1
            released.check_playlist_encoder(playlist_encoder)
        released.check_encoders(encoder_ids, self.source.to_options())
        LostValuesGate(self.source.max_removed).check(released.lost_modalities(given))

    def _kind(self, released: ReleasedVocabulary | None) -> str:
        """Choose the kind of playlist encoder, and check that its package is installed."""
        kind = self.playlist_encoder or (None if released is None else released.playlist_encoder) or WORD2VEC
        if self.source.playlists is not None:
            encoders_of(kind)
        return kind

    def _own_options(self, codebook_size: int, playlist_encoder: str) -> dict[str, Any]:
        """Options that are not the source's, as the release's manifest keeps them."""
        own: dict[str, Any] = {"codebook-size": codebook_size, "seed": self.seed, **self.tokens.to_options()}
        if self.source.playlists is not None:
            own[PLAYLIST_ENCODER] = playlist_encoder
        return own if self.max_churn is None else {**own, "max-churn": self.max_churn}


def check_playlists(source: CatalogSource) -> list[Fragment]:
    """Check, before hours of encoding, that the playlists can be read, and that no embeddings replace them.

    Returns:
        Fragments of the playlists table; none without playlists.

    Raises:
        UsageError: they are missing, or there are precomputed embeddings too.
        InvalidDataError: they lack a column.
    """
    if source.playlists is None:
        return []
    refuse_two_sources(source.embeddings)
    fragments = find_fragments(files.absolute(source.playlists), "playlists")
    check_table(fragments, PLAYLISTS)
    return fragments


@dataclass
class StageClock:
    """A clock that measures the wall time of each stage."""

    start_stage: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, stage: str, work: Callable[[], Result]) -> Result:
        """Run a stage, and record its wall time in seconds."""
        self.start_stage(stage)
        start = time.monotonic()
        result = work()
        self.seconds[stage] = time.monotonic() - start
        return result
