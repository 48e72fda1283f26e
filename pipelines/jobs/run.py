"""The run job: tokenize a catalog and publish a release. Five Beam jobs in a row, then small files are merged."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs.adopt_codebooks import AdoptedCodebooks
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.playlist_vectors import PlaylistsJob, refuse_two_sources
from tracktokens.pipelines.jobs.publish import PublishJob, Release
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.jobs.train import DEFAULT_CODEBOOK_SIZE, TrainJob, check_codebook_size
from tracktokens.pipelines.maintenance.compaction import compact_after
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.playlist_encoders import WORD2VEC
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.schemas.token_format import FurtherTokens
from tracktokens.transforms.playlists.playlist_encoder import encoders_of
from tracktokens.transforms.readers.fragments import check_table, find_fragments
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import frozen_bundle, latest_id
from tracktokens.transforms.store.snapshots import open_snapshot
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
    """

    release: Release
    catalog: CatalogManifest
    bundle: BundleManifest
    seconds: Mapping[str, float]


def ignore_stage(stage: str) -> None:
    """Do nothing when a stage starts."""


@dataclass(frozen=True, kw_only=True)
class RunJob:
    """Tokenize a catalog, from its tables to a release.

    A modality keeps the codebook of the newest release with this codebook size while its encoder is the same, so that
    tokens keep their meaning. A codebook is trained for every other modality.

    Attributes:
        source: the catalog and its encoders. Without playlists no track has a playlist token.
        store: root of the store; created when it does not exist.
        codebook_size: codes that the vocabulary reserves per modality.
        seed: seed of codebook training.
        playlist_encoder: ``word2vec``, ``als``, or ``auto`` for the one that continues held-out playlists best.
        max_churn: largest share of a modality's tokens, 0 to 1, that may differ from the latest release; None for any.
        tokens: tokens after the five of the modalities; by default those of the newest release with this codebook size.
        codebooks_from: root of another store whose latest codebooks this new store takes, so that tokens keep their
            numbers; None for none.
    """

    source: CatalogSource
    store: str
    codebook_size: int = DEFAULT_CODEBOOK_SIZE
    seed: int = 0
    playlist_encoder: str = WORD2VEC
    max_churn: float | None = None
    tokens: FurtherTokens = field(default_factory=FurtherTokens)
    codebooks_from: str | None = None

    def run(self, runner: PipelineRunner, start_stage: Callable[[str], None] = ignore_stage) -> RunResult:
        """Run all jobs. ``start_stage`` is called with each stage's name when the stage starts.

        Raises:
            UsageError, InvalidDataError, TracktokensError: as the jobs do. Nothing is published then.
        """
        check_codebook_size(self.codebook_size)
        if self.source.playlists is not None:
            encoders_of(self.playlist_encoder)  # a missing package must fail before hours of encoding
        self.source.check_reachable(self.store, runner)
        return self._run_locked(runner, start_stage)

    @writes("run", creates=True)
    def _run_locked(self, runner: PipelineRunner, start_stage: Callable[[str], None]) -> RunResult:
        self.source.check_apart_from(self.store)
        check_playlists(self.source)
        latest = latest_id(self.store)
        adopted = self._adopted()
        clock = StageClock(start_stage)
        only_source = self.source.playlists is None and not self.source.embeddings
        embed = EmbedJob(source=self.source, store=self.store, needs_inputs=only_source)
        if adopted is not None:
            adopted.require_encoders(embed.encoder_ids)  # before hours of encoding
        catalog = clock.time("embed", lambda: embed.run(runner))
        if self.source.playlists is not None:
            learn = PlaylistsJob(
                playlists=self.source.playlists,
                store=self.store,
                catalog_id=catalog.catalog_id,
                encoder=self.playlist_encoder,
                max_reject_rate=self.source.max_reject_rate,
            )
            clock.time("playlists", lambda: learn.run(runner))
        store = Store.open(self.store)
        if adopted is not None:
            adopted.require_encoders(open_snapshot(store, catalog.catalog_id).encoders)
        train = TrainJob(
            store=self.store,
            codebook_size=self.codebook_size,
            seed=self.seed,
            catalog_id=catalog.catalog_id,
            keep_from=frozen_bundle(store, self.codebook_size) if adopted is None else adopted.copy_to(store),
            tokens=self.tokens,
        )
        bundle = clock.time("train", lambda: train.run(runner))
        tokenize = TokenizeJob(store=self.store, bundle_id=bundle.bundle_id, catalog_id=catalog.catalog_id)
        clock.time("tokenize", lambda: tokenize.run(runner))
        publish = PublishJob(
            store=self.store,
            bundle_id=bundle.bundle_id,
            catalog_id=catalog.catalog_id,
            max_churn=self.max_churn,
            expected_latest=latest,
            options=self._own_options(),
        )
        release = clock.time("publish", lambda: publish.run(runner))
        clock.time("compact", lambda: compact_after(store, runner))
        return RunResult(release, catalog, bundle, clock.seconds)

    def _adopted(self) -> AdoptedCodebooks | None:
        if self.codebooks_from is None:
            return None
        return AdoptedCodebooks.read(self.codebooks_from, self.codebook_size, self.store)

    def _own_options(self) -> dict[str, Any]:
        """Options that are not the source's, as the release's manifest keeps them."""
        own: dict[str, Any] = {"codebook-size": self.codebook_size, "seed": self.seed, **self.tokens.to_options()}
        if self.source.playlists is not None:
            own["playlist-encoder"] = self.playlist_encoder
        return own if self.max_churn is None else {**own, "max-churn": self.max_churn}


def check_playlists(source: CatalogSource) -> None:
    """Check, before hours of encoding, that the playlists can be read, and that no embeddings replace them.

    Raises:
        UsageError: they are missing, or there are precomputed embeddings too.
        InvalidDataError: they lack a column.
    """
    if source.playlists is not None:
        refuse_two_sources(source.embeddings)
        check_table(find_fragments(files.absolute(source.playlists), "playlists"), PLAYLISTS)


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
