"""The nightly job: what changed in a catalog is encoded and gets the codes of the codebooks in use; then a release."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tracktokens.codebooks.metrics.drift import DriftLimits
from tracktokens.pipelines.jobs.embed import DEFAULT_MAX_REJECT_RATE, EmbedJob
from tracktokens.pipelines.jobs.playlist_vectors import PlaylistsJob, refuse_two_sources
from tracktokens.pipelines.jobs.publish import PublishJob
from tracktokens.pipelines.jobs.run import RunResult, StageClock
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.maintenance.compaction import compact_after
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.catalog import CatalogManifest, PlaylistsManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings
from tracktokens.transforms.readers.fragments import check_table, find_fragments
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest, read_released_bundle
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release
from tracktokens.transforms.store.snapshots import Snapshot, released_snapshot
from tracktokens.transforms.store.writer_lock import writes


@dataclass(frozen=True)
class RefreshJob:
    """Bring the latest release up to date with a catalog. Nothing is trained: every token goes on meaning what it did.

    What is stored costs nothing again. A track that is new in playlists is folded into the space of the playlist
    vectors (``codebooks.folding``); whoever has a playlist token keeps it, whatever the playlists say now.

    Attributes:
        tracks: file, folder or glob of the tracks table: the whole catalog as it is now.
        store: root of the store, which has a release.
        encoders: modality to encoder, the same as the release's.
        playlists: file, folder or glob of the playlists table, or None: then no track gets its first playlist token.
        audio_root: folder below which audio paths lie.
        max_reject_rate: share of rows that may be lost before the catalog is refused.
        vectors: modality to vectors that exist already, in place of an encoder.
        retry_rejects: whether inputs that were rejected for good are tried again.
        fail_on_drift: whether a catalog past a limit of ``limits`` is an error, in place of a warning.
        limits: how far a catalog may move away from what the codebooks were learned from.
    """

    tracks: str
    store: str
    encoders: Mapping[str, Encoder]
    playlists: str | None = None
    audio_root: str | None = None
    max_reject_rate: float = DEFAULT_MAX_REJECT_RATE
    vectors: Mapping[str, PrecomputedEmbeddings] = field(default_factory=dict)
    retry_rejects: bool = False
    fail_on_drift: bool = False
    limits: DriftLimits = field(default_factory=DriftLimits)

    @writes("refresh")
    def run(self, runner: PipelineRunner, enter: Callable[[str], None] = lambda stage: None) -> RunResult:
        """Run all jobs; ``enter`` is told each stage's name as it begins.

        Raises:
            UsageError: there is no store with a release, or an input is not there.
            InvalidDataError: the release's catalog or bundle is damaged, the encoders are not the release's, or the
                data cannot be used. Nothing is published then.
            StoreBusyError: another job writes the store, or has published meanwhile. Nothing is published then.
            DriftError: the catalog is past a limit and ``fail_on_drift``. Nothing is published then.
        """
        store = Store.open(self.store)
        latest = published_release(store)
        before = released_snapshot(store, latest)
        read_released_bundle(store, latest)  # before hours go into encoding for a codebook that is damaged
        embed = self.embed_job()
        check_sources(before, latest.release_id, embed.encoder_ids)
        self._check_playlists(before, latest, embed)
        clock = StageClock(enter)
        catalog = clock.time("embed", lambda: embed.run(runner))
        if learns_playlists(latest, embed):
            clock.time("playlists", lambda: self._fold(before, latest, catalog, runner))
        tokenize = TokenizeJob(self.store, latest.bundle_id, catalog.catalog_id)
        clock.time("tokenize", lambda: tokenize.run(runner))
        publish = PublishJob(
            self.store,
            latest.bundle_id,
            catalog.catalog_id,
            fail_on_drift=self.fail_on_drift,
            limits=self.limits,
            neighbours=False,
            expected_latest=latest.release_id,
        )
        release = clock.time("publish", lambda: publish.run(runner))
        clock.time("compact", lambda: compact_after(store, runner))
        return RunResult(release, catalog, read_manifest(store, latest.bundle_id), clock.seconds)

    def embed_job(self) -> EmbedJob:
        """The job that scans the catalog and encodes what changed."""
        return EmbedJob(
            self.tracks,
            self.store,
            self.encoders,
            self.audio_root,
            self.max_reject_rate,
            self.vectors,
            self.retry_rejects,
        )

    def _check_playlists(self, before: Snapshot, latest: ReleaseManifest, embed: EmbedJob) -> None:
        """Refuse playlists that cannot be read, or have no space to be folded into, before anything is encoded."""
        if self.playlists is None:
            if learns_playlists(latest, embed) and before.playlists is None:
                raise InvalidDataError(
                    f"{before.catalog.playlists_manifest} is gone, and release {latest.release_id} has playlist "
                    "tokens: give --playlists, which makes it anew, or restore it from a backup"
                )
            return
        refuse_two_sources(self.vectors)
        if PLAYLIST not in latest.encoders:
            raise InvalidDataError(
                f"release {latest.release_id} has no playlist tokens, so there is no space that new tracks could be "
                "folded into: `tracktokens run` learns one, or leave out --playlists"
            )
        check_table(find_fragments(files.absolute(self.playlists), "playlists"), PLAYLISTS)

    def _fold(
        self, before: Snapshot, latest: ReleaseManifest, catalog: CatalogManifest, runner: PipelineRunner
    ) -> PlaylistsManifest:
        if self.playlists is not None:
            return PlaylistsJob(self.playlists, self.store, catalog.catalog_id, frozen=latest).run(runner)
        return keep_playlists(before, catalog)


def learns_playlists(latest: ReleaseManifest, embed: EmbedJob) -> bool:
    """Whether a release has playlist tokens out of playlists, and not out of vectors that are given."""
    return PLAYLIST in latest.encoders and PLAYLIST not in embed.encoder_ids


def check_sources(before: Snapshot, release_id: str, encoder_ids: Mapping[str, str]) -> None:
    """Check that inputs are encoded as those of a release were; learned playlist vectors are kept by themselves.

    Raises:
        InvalidDataError: a modality's encoder is missing, new, or another one.
    """
    for modality in MODALITIES:
        old, new = before.manifest.encoders.get(modality), encoder_ids.get(modality)
        if old != new:
            raise InvalidDataError(
                f"{modality}: release {release_id} has vectors of encoder {old or 'none'}, and this refresh "
                f"{f'would make some of {new}' if new else 'has none'}: give the options that the release was made "
                "with; `tracktokens run` takes another encoder, and learns new tokens"
            )


def keep_playlists(before: Snapshot, catalog: CatalogManifest) -> PlaylistsManifest:
    """Give a catalog the playlist vectors of an older one, as they are."""
    known = before.playlists
    if known is None:
        raise ValueError("the older catalog has no playlist vectors")
    manifest = PlaylistsManifest(known.encoder_id, 0, 0, 0, 0, 0, known.tracks, trained=False)
    files.write_bytes(before.store.catalog(catalog.catalog_id).playlists_manifest, manifest.to_json().encode())
    return manifest
