"""The main job: a catalog comes in, a release goes out. Five Beam jobs, one after the other, and small files merged."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tracktokens.pipelines.jobs.embed import DEFAULT_MAX_REJECT_RATE, EmbedJob
from tracktokens.pipelines.jobs.playlist_vectors import PlaylistsJob, refuse_two_sources
from tracktokens.pipelines.jobs.publish import PublishJob, Release
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.jobs.train import DEFAULT_CODEBOOK_SIZE, TrainJob, check_codebook_size
from tracktokens.pipelines.maintenance.compaction import compact_after
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings
from tracktokens.transforms.readers.fragments import check_table, find_fragments
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import frozen_bundle, latest_id
from tracktokens.transforms.store.writer_lock import writes

Result = TypeVar("Result")


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        release: the published release.
        catalog: what the scan found.
        bundle: the codebooks that were used.
        seconds: stage to wall time in seconds, in order.
    """

    release: Release
    catalog: CatalogManifest
    bundle: BundleManifest
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class RunJob:
    """Tokenize a catalog from its tables to a release.

    A modality keeps the codebook of the newest release with this codebook size as long as its encoder is the same, so
    that tokens keep their meaning; where it is not, it is trained.

    Attributes:
        tracks: file, folder or glob of the tracks table.
        store: root of the store; made when it is not there.
        encoders: modality to encoder.
        playlists: file, folder or glob of the playlists table, or None: then no track has a playlist token.
        audio_root: folder below which audio paths lie, or None: then no track has an audio token.
        codebook_size: codes that the vocabulary reserves for each modality.
        max_reject_rate: share of rows that may be lost before the catalog is refused.
        seed: of codebook training.
        vectors: modality to vectors that exist already, in place of an encoder.
        max_churn: bound on the tokens that may be another than in the latest release, or None.
    """

    tracks: str
    store: str
    encoders: Mapping[str, Encoder]
    playlists: str | None = None
    audio_root: str | None = None
    codebook_size: int = DEFAULT_CODEBOOK_SIZE
    max_reject_rate: float = DEFAULT_MAX_REJECT_RATE
    seed: int = 0
    vectors: Mapping[str, PrecomputedEmbeddings] = field(default_factory=dict)
    max_churn: float | None = None

    @writes("run", creates=True)
    def run(self, runner: PipelineRunner, enter: Callable[[str], None] = lambda stage: None) -> RunResult:
        """Run all jobs; ``enter`` is told each stage's name as it begins.

        Raises:
            UsageError, InvalidDataError, TracktokensError: as the jobs do. Nothing is published then.
        """
        check_codebook_size(self.codebook_size)
        self._check_playlists()
        latest = latest_id(self.store)
        clock = StageClock(enter)
        embed = EmbedJob(self.tracks, self.store, self.encoders, self.audio_root, self.max_reject_rate, self.vectors)
        catalog = clock.time("embed", lambda: embed.run(runner))
        if self.playlists is not None:
            learn = PlaylistsJob(self.playlists, self.store, catalog.catalog_id)
            clock.time("playlists", lambda: learn.run(runner))
        frozen = frozen_bundle(Store.open(self.store), self.codebook_size)
        train = TrainJob(self.store, self.codebook_size, self.seed, catalog.catalog_id, frozen)
        bundle = clock.time("train", lambda: train.run(runner))
        tokenize = TokenizeJob(self.store, bundle.bundle_id, catalog.catalog_id)
        clock.time("tokenize", lambda: tokenize.run(runner))
        publish = PublishJob(self.store, bundle.bundle_id, catalog.catalog_id, self.max_churn, expected_latest=latest)
        release = clock.time("publish", lambda: publish.run(runner))
        clock.time("compact", lambda: compact_after(Store.open(self.store), runner))
        return RunResult(release, catalog, bundle, clock.seconds)

    def _check_playlists(self) -> None:
        """Refuse playlists that cannot be read, or are not needed, before hours go into encoding."""
        if self.playlists is not None:
            refuse_two_sources(self.vectors)
            check_table(find_fragments(files.absolute(self.playlists), "playlists"), PLAYLISTS)


@dataclass
class StageClock:
    """Times stages by wall clock."""

    enter: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, stage: str, work: Callable[[], Result]) -> Result:
        """Do some work as a stage of this name."""
        self.enter(stage)
        start = time.monotonic()
        result = work()
        self.seconds[stage] = time.monotonic() - start
        return result
