"""The refresh job: encode the changes of a catalog, assign codes of the codebooks in use, and publish a release."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tracktokens.codebooks.metrics.drift import DriftLimits
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.playlist_vectors import PlaylistsJob
from tracktokens.pipelines.jobs.publish import PublishJob, Release
from tracktokens.pipelines.jobs.run import RunResult, StageClock, check_playlists, ignore_stage
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.jobs.up_to_date import hash_inputs, is_up_to_date, keep_up_to_date
from tracktokens.pipelines.maintenance.compaction import compact_after
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.catalog import CatalogManifest, PlaylistsManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.transforms.playlists.playlist_encoder import require_installed
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest, read_released_bundle
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release
from tracktokens.transforms.store.snapshots import Snapshot, is_migrated, released_snapshot
from tracktokens.transforms.store.writer_lock import writes


@dataclass(frozen=True, kw_only=True)
class RefreshJob:
    """Bring the latest release up to date with a catalog. Nothing is trained: every token keeps its meaning.

    Where no input changed since the last job, nothing is published (:mod:`tracktokens.pipelines.jobs.up_to_date`).

    Inputs in the store are not encoded again. A track that is new in the playlists is folded into the space of the
    playlist vectors (:mod:`tracktokens.codebooks.continuity.fold_in`); a track with a playlist token keeps it, whatever
    the playlists contain now.

    Attributes:
        source: the whole catalog as it is now, with the encoders of the release
            (:func:`tracktokens.pipelines.released_options.released_source` reads it from the release). Without
            playlists no track gets its first playlist token.
        store: root of a store that has a release.
        retry_rejects: whether inputs that were rejected permanently are encoded again.
        fail_on_drift: whether a catalog past a limit is an error; otherwise it is a warning.
        limits: how far a catalog may drift from the one that the codebooks were trained on.
    """

    source: CatalogSource
    store: str
    retry_rejects: bool = False
    fail_on_drift: bool = False
    limits: DriftLimits = field(default_factory=DriftLimits)

    def run(self, runner: PipelineRunner, start_stage: Callable[[str], None] = ignore_stage) -> RunResult:
        """Run all jobs. ``start_stage`` is called with each stage's name when the stage starts.

        Raises:
            UsageError: the store is missing or has no release, or an input is missing.
            InvalidDataError: the release's catalog or bundle is damaged, the encoders are not the release's, or the
                data cannot be used. Nothing is published then.
            StoreBusyError: another job writes the store, or published meanwhile. Nothing is published then.
            DriftError: the catalog is past a limit and ``fail_on_drift``. Nothing is published then.
        """
        self.source.check_reachable(self.store, runner)
        return self._run_locked(runner, start_stage)

    @writes("refresh")
    def _run_locked(self, runner: PipelineRunner, start_stage: Callable[[str], None]) -> RunResult:
        self.source.check_apart_from(self.store)
        store = Store.open(self.store)
        latest = published_release(store)
        previous = None if is_migrated(store, latest) else released_snapshot(store, latest)
        read_released_bundle(store, latest)  # a damaged codebook must fail before hours of encoding
        embed = self.embed_job(latest)
        check_encoders(_encoders(previous, latest, embed), latest.release_id, embed.encoder_ids)
        playlists = self._check_playlists(store, previous, latest, embed)
        inputs = hash_inputs(embed, playlists, self.limits)
        if not self.retry_rejects and previous is not None and is_up_to_date(store, latest.release_id, inputs):
            return _unchanged(previous, latest)
        clock = StageClock(start_stage)
        catalog = clock.time("embed", lambda: embed.run(runner))
        if learns_playlists(latest, embed):
            clock.time("playlists", lambda: self._fold_in(previous, latest, catalog, runner))
        tokenize = TokenizeJob(store=self.store, bundle_id=latest.bundle_id, catalog_id=catalog.catalog_id)
        clock.time("tokenize", lambda: tokenize.run(runner))
        publish = PublishJob(
            store=self.store,
            bundle_id=latest.bundle_id,
            catalog_id=catalog.catalog_id,
            max_lost=self.source.max_lost,
            max_removed=self.source.max_removed,
            fail_on_drift=self.fail_on_drift,
            limits=self.limits,
            neighbours=False,
            expected_latest=latest.release_id,
            options={"fail-on-drift": self.fail_on_drift},
        )
        release = clock.time("publish", lambda: publish.run(runner))
        clock.time("compact", lambda: compact_after(store, runner))
        keep_up_to_date(store, release, inputs)
        return RunResult(release, catalog, read_manifest(store, latest.bundle_id), clock.seconds)

    def embed_job(self, latest: ReleaseManifest) -> EmbedJob:
        """Make the job that scans the catalog and encodes the changes since a release."""
        only_source = PLAYLIST not in latest.encoders and not self.source.embeddings
        return EmbedJob(
            source=self.source, store=self.store, retry_rejects=self.retry_rejects, needs_inputs=only_source
        )

    def _check_playlists(
        self, store: Store, previous: Snapshot | None, latest: ReleaseManifest, embed: EmbedJob
    ) -> list[Fragment]:
        """Check, before anything is encoded, that the playlists can be read and folded in; return their fragments."""
        if self.source.playlists is None:
            if learns_playlists(latest, embed) and (previous is None or previous.playlists is None):
                missing = store.catalog(latest.catalog_id).playlists_manifest
                raise InvalidDataError(
                    f"{missing} is missing, and release {latest.release_id} has playlist "
                    "tokens: give --playlists, which writes it again, or restore it from a backup"
                )
            return []
        fragments = check_playlists(self.source)
        if PLAYLIST not in latest.encoders:
            raise InvalidDataError(
                f"release {latest.release_id} has no playlist tokens, so new tracks cannot be folded into their "
                "space: leave out --playlists, or train playlist codes with `tracktokens run`"
            )
        identity = store.read_encoder(PLAYLIST, latest.encoders[PLAYLIST]).identity
        require_installed(str(identity["name"]))
        return fragments

    def _fold_in(
        self, previous: Snapshot | None, latest: ReleaseManifest, catalog: CatalogManifest, runner: PipelineRunner
    ) -> PlaylistsManifest:
        if self.source.playlists is None:
            return keep_playlists(previous, catalog)
        fold_in = PlaylistsJob(
            playlists=self.source.playlists,
            store=self.store,
            catalog_id=catalog.catalog_id,
            frozen=latest,
            max_reject_rate=self.source.max_reject_rate,
        )
        return fold_in.run(runner)


def _unchanged(previous: Snapshot, latest: ReleaseManifest) -> RunResult:
    """Make the result of a refresh that found nothing changed: the release in use."""
    store, paths = previous.store, previous.store.release(latest.release_id)
    release = Release(latest, paths.folder, files.read_json(paths.metrics))
    return RunResult(release, previous.manifest, read_manifest(store, latest.bundle_id), {}, published=False)


def learns_playlists(latest: ReleaseManifest, embed: EmbedJob) -> bool:
    """Check that a release has playlist tokens, and that they were learned from playlists, not precomputed."""
    return PLAYLIST in latest.encoders and PLAYLIST not in embed.encoder_ids


def _encoders(previous: Snapshot | None, latest: ReleaseManifest, embed: EmbedJob) -> Mapping[str, str]:
    """Modality to the encoder of a release, apart from learned playlist vectors. Its catalog may be migrated."""
    if previous is not None:
        return previous.manifest.encoders
    learned = PLAYLIST if learns_playlists(latest, embed) else None
    return {modality: encoder for modality, encoder in latest.encoders.items() if modality != learned}


def check_encoders(encoders: Mapping[str, str], release_id: str, encoder_ids: Mapping[str, str]) -> None:
    """Check that the encoders are those of a release. Learned playlist vectors are checked elsewhere.

    Raises:
        InvalidDataError: a modality's encoder is missing, new, or different.
    """
    for modality in MODALITIES:
        old, new = encoders.get(modality), encoder_ids.get(modality)
        if old != new:
            raise InvalidDataError(
                f"{modality}: release {release_id} has vectors of encoder {old or 'none'}, and this refresh "
                f"{f'would make vectors of {new}' if new else 'has none'}: give the options that the release was made "
                "with, or train codebooks for another encoder with `tracktokens run --new-vocabulary`"
            )


def keep_playlists(previous: Snapshot | None, catalog: CatalogManifest) -> PlaylistsManifest:
    """Write the playlists manifest of a catalog whose playlist vectors are those of the previous snapshot."""
    known = None if previous is None else previous.playlists
    if previous is None or known is None:
        raise ValueError("the previous snapshot has no playlist vectors")
    manifest = PlaylistsManifest(known.encoder_id, 0, 0, 0, 0, 0, known.tracks, trained=False)
    files.write_bytes(previous.store.catalog(catalog.catalog_id).playlists_manifest, manifest.to_json().encode())
    return manifest
