"""The publish job: write a release, check its gates, and point ``LATEST`` at it."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import apache_beam as beam

from tracktokens.codebooks.metrics.drift import DriftLimits, NewTrackFit
from tracktokens.pipelines.analysis.atlas.page import atlas_page
from tracktokens.pipelines.analysis.atlas.source import AtlasSource
from tracktokens.pipelines.catalog_source import MAX_LOST, MAX_REMOVED
from tracktokens.pipelines.jobs.tokenize import open_with_bundle
from tracktokens.pipelines.jobs.vocabulary import ReleasedVocabulary
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.column_losses import IgnoredColumns
from tracktokens.transforms.gates.losses import LostInputs, LostInputsGate, LostValuesGate
from tracktokens.transforms.quantization.train_codebooks import SampleVectors, hash_threshold
from tracktokens.transforms.release.assemble import assemble, reconcile_published, release_manifest
from tracktokens.transforms.release.compare_tables import compare
from tracktokens.transforms.release.count_playlists import CountPlaylists
from tracktokens.transforms.release.draft import ReleaseDraft
from tracktokens.transforms.release.drift_baseline import (
    CatalogUsage,
    DriftReport,
    catalog_usage,
    drift_report,
    modality_usages,
    write_usage_baseline,
)
from tracktokens.transforms.release.gates import ChurnGate, DriftGate, ReleaseChurn, ReleaseTokens, TokenGate
from tracktokens.transforms.release.input_warnings import failure_warning
from tracktokens.transforms.release.measure_release import (
    CODEBOOKS_FILE,
    FIT_FILE,
    NEIGHBOUR_SAMPLE,
    NEIGHBOURS_FILE,
    TABLE_FILE,
    Measured,
    MeasureNeighbours,
    WriteCodebookQuality,
    WriteNeighbourRecall,
    WriteNewTrackFit,
    WriteTableQuality,
)
from tracktokens.transforms.release.metrics_json import count_failures, count_rejects, training_variances
from tracktokens.transforms.release.number_tracks import NumberTuples, SendTuples
from tracktokens.transforms.release.write_tokens import (
    FAILURES_TAG,
    NEW_TAG,
    QUALITY_TAG,
    JoinCodes,
    PreviousRelease,
    SendCodes,
    WriteTokens,
)
from tracktokens.transforms.runtime.arrow_coder import Count, EveryBucket, Keyed
from tracktokens.transforms.runtime.counters import COUNTS_TAG, WriteCounts
from tracktokens.transforms.runtime.rejects import REJECTS_TAG, WriteRejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import ReleasePaths, Store
from tracktokens.transforms.store.releases import latest_id, latest_release, point_latest, require_latest
from tracktokens.transforms.store.token_tables import TokenTable
from tracktokens.transforms.store.writer_lock import writes

NEIGHBOUR_SEED = 0

LOST_BASELINE = (
    "the usage baseline of bundle {} is missing, although it has releases: drift is measured from this release on"
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """A published release: its manifest, its folder, and the content of its ``metrics.json``."""

    manifest: ReleaseManifest
    folder: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class PublishJob:
    """Publish the tokens of a catalog snapshot under a bundle.

    Attributes:
        store: root of the store.
        bundle_id: the codebooks.
        catalog_id: the snapshot; the newest complete one when it is None.
        max_churn: largest share of a modality's tokens that may change since the latest release; None for any.
        new_vocabulary: whether the release in use may have another codebook size, or other tokens per track.
        max_lost: largest share of a modality's inputs of which nothing can be used.
        max_removed: below 1, no modality may lose all of its tokens.
        fail_on_drift: whether drift past a limit of ``limits`` is an error; otherwise it is a warning.
        limits: largest drift of the catalog since the bundle's usage baseline.
        neighbours: whether the recall of neighbours is measured, which reads all vectors.
        expected_latest: release that ``LATEST`` named when the work for this release began, empty before the first.
            Nothing is published when it names another at the end. None reads it when the job begins.
        options: long option name to value: options of the calling job, kept in the manifest beside the catalog's.
    """

    store: str
    bundle_id: str
    catalog_id: str | None = None
    max_churn: float | None = None
    new_vocabulary: bool = False
    max_lost: float = MAX_LOST
    max_removed: float = MAX_REMOVED
    fail_on_drift: bool = False
    limits: DriftLimits = field(default_factory=DriftLimits)
    neighbours: bool = True
    expected_latest: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self, runner: PipelineRunner) -> Release:
        """Run the job and return the release. Nothing is published where it raises.

        Raises:
            UsageError: the store lacks the bundle or a catalog, or the release in use has another vocabulary than the
                bundle and not ``new_vocabulary``.
            InvalidDataError: bundle and catalog do not belong together, too many tokens changed, or too much is lost.
            DriftError: the catalog is past a limit and ``fail_on_drift``.
            StoreBusyError: another job published meanwhile.
            TracktokensError: rows are unaccounted for, which is a bug in tracktokens.
        """
        runner.check_reachable({"store": self.store})
        return self._run_locked(runner)

    @writes("publish")
    def _run_locked(self, runner: PipelineRunner) -> Release:
        snapshot, bundle = open_with_bundle(self.store, self.bundle_id, self.catalog_id)
        expected = latest_id(snapshot.store.root) if self.expected_latest is None else self.expected_latest
        released = ReleasedVocabulary.of(self.store)
        if released is not None and not self.new_vocabulary:
            released.check_format(bundle.token_format)
        draft = ReleaseDraft.new(snapshot, bundle)
        self._write_tables(draft, runner)
        return self._publish(draft, expected)

    def _write_tables(self, draft: ReleaseDraft, runner: PipelineRunner) -> None:
        """Write the tables of the release. Retry in-process, where Beam cannot drop messages."""
        runner.run(partial(self._build, draft, runner))
        loss = draft.find_loss()
        if loss is not None:
            _logger.warning("%s: writing the tables once more, in-process", loss)
            files.delete_tree(draft.folder)
            runner.in_process().run(partial(self._build, draft, runner))
            loss = draft.find_loss()
        if loss is not None:
            raise TracktokensError(f"{loss}: nothing was published; run this again")

    def _build(self, draft: ReleaseDraft, runner: PipelineRunner, pipeline: beam.Pipeline) -> None:
        """Build the graph: codes go to the buckets of their tracks, and both sides are measured."""
        previous = draft.previous_release()
        sent = self._send_codes(draft, previous, pipeline)
        # Every bucket of tracks has a part of the table, even if none of its tracks has a code.
        every = pipeline | "every track bucket" >> EveryBucket(draft.snapshot.catalog.buckets)
        listed = pipeline | "playlists" >> CountPlaylists(draft.snapshot.catalog, draft.popularity)
        join = JoinCodes(draft.snapshot.catalog, draft.bundle.token_format, previous, draft.popularity)
        numbers = _number_tracks(join, sent.main, listed.main, every) if draft.bundle.numbers else None
        codes = sent.main if numbers is None else [sent.main, numbers.main] | "codes and numbers" >> beam.Flatten()
        written = self._write_tokens(
            draft, join, {"codes": codes, "failures": sent[FAILURES_TAG], "playlists": listed.main, "every": every}
        )
        written[REJECTS_TAG] | "write rejects" >> WriteRejects(draft.paths.rejects, "encode")
        counted = [part[COUNTS_TAG] for part in (sent, listed, numbers, written) if part is not None]
        counted | "all counts" >> beam.Flatten() | "write counts" >> WriteCounts(draft.counts)
        self._measure(draft, sent, written.main)
        if self.neighbours:
            self._measure_neighbours(draft, runner, pipeline)

    def _send_codes(
        self, draft: ReleaseDraft, previous: PreviousRelease | None, pipeline: beam.Pipeline
    ) -> beam.pvalue.DoOutputsTuple:
        snapshot, bundle = draft.snapshot, draft.bundle
        send = SendCodes(
            store=draft.store,
            catalog=snapshot.catalog,
            bundle_id=bundle.bundle_id,
            token_format=bundle.token_format,
            centroids={codebook.name: codebook.num_centroids for codebook in bundle.codebooks},
            encoders=snapshot.encoders,
            playlists_learned=snapshot.playlists is not None,
            previous=previous,
        )
        return (
            pipeline
            | "key buckets" >> beam.Create(draft.buckets)
            | "send codes to tracks"
            >> beam.ParDo(send)
            .with_output_types(
                Keyed, **{FAILURES_TAG: Keyed, QUALITY_TAG: Measured, NEW_TAG: Measured, COUNTS_TAG: Count}
            )
            .with_outputs(FAILURES_TAG, QUALITY_TAG, NEW_TAG, COUNTS_TAG, main="main")
        )

    def _write_tokens(
        self,
        draft: ReleaseDraft,
        join: JoinCodes,
        parts: Mapping[str, beam.PCollection],
    ) -> beam.pvalue.DoOutputsTuple:
        write = WriteTokens(join, draft.paths, draft.bundle.bundle_id)
        return (
            dict(parts)
            | "group by track bucket" >> beam.CoGroupByKey()
            | "write tokens"
            >> beam.ParDo(write)
            .with_output_types(Keyed, **{REJECTS_TAG: Keyed, COUNTS_TAG: Count})
            .with_outputs(REJECTS_TAG, COUNTS_TAG, main="main")
        )

    def _measure(self, draft: ReleaseDraft, sent: beam.pvalue.DoOutputsTuple, tuples: beam.PCollection) -> None:
        measures, variances = draft.measures, training_variances(draft.store, draft.bundle)
        baselines = modality_usages(draft.baseline) if draft.baseline else {}
        quality = WriteCodebookQuality(files.join(measures, CODEBOOKS_FILE), variances)
        sent[QUALITY_TAG] | "measure codebooks" >> quality
        sent[NEW_TAG] | "measure new codes" >> WriteNewTrackFit(files.join(measures, FIT_FILE), baselines)
        tuples | "measure the table" >> WriteTableQuality(files.join(measures, TABLE_FILE), draft.bundle.token_format)

    def _measure_neighbours(self, draft: ReleaseDraft, runner: PipelineRunner, pipeline: beam.Pipeline) -> None:
        snapshot = draft.snapshot
        sizes = {
            modality: hash_threshold(snapshot.inputs(modality), NEIGHBOUR_SAMPLE) for modality in snapshot.encoders
        }
        sample = SampleVectors(
            store=draft.store,
            catalog=snapshot.catalog,
            encoders=snapshot.encoders,
            thresholds=sizes,
            seed=NEIGHBOUR_SEED,
        )
        measure = MeasureNeighbours(draft.store, draft.bundle.bundle_id, NEIGHBOUR_SEED, runner.processes_per_machine)
        path = files.join(draft.measures, NEIGHBOURS_FILE)
        pipeline | "measure neighbours" >> WriteNeighbourRecall(path, sample, snapshot.buckets(), measure)

    def _publish(self, draft: ReleaseDraft, expected: str) -> Release:
        """Complete the folder, check the gates, and point ``LATEST`` at the release."""
        rows = reconcile_published(draft)
        quality = files.read_json(files.join(draft.measures, CODEBOOKS_FILE))
        usage = catalog_usage(quality, rows["published"], draft.snapshot.playlists)
        TokenGate().check(_release_tokens(draft, rows["published"], quality))
        failures = count_failures(draft.snapshot.catalog.rejects, draft.paths.rejects)
        self._check_losses(draft, quality, failures)
        drift = self._check_drift(draft, usage)
        metrics = assemble(draft, rows, drift)
        files.write_bytes(draft.paths.report, atlas_page(AtlasSource.draft(draft, metrics)))
        _warn_of_failures(draft, metrics, failures)
        _warn_of_overflow(metrics)
        manifest = release_manifest(draft, rows, self.options)
        self._check_churn(draft)
        _keep_baseline(draft, usage)
        _complete_release(draft.store, draft.paths, manifest, expected)
        return Release(manifest, draft.folder, metrics)

    def _check_drift(self, draft: ReleaseDraft, usage: CatalogUsage) -> DriftReport | None:
        """Measure the drift since the usage baseline; None for the first release of a bundle."""
        if draft.baseline is None:
            return None
        fits = files.read_json(files.join(draft.measures, FIT_FILE))
        report = drift_report(
            draft.baseline, usage, {m: NewTrackFit.from_json(fit) for m, fit in fits.items()}, self.limits
        )
        DriftGate(self.fail_on_drift).check(report)
        return report

    def _check_losses(
        self, draft: ReleaseDraft, quality: Mapping[str, Any], failures: Mapping[str, Mapping[str, int]]
    ) -> None:
        """Check how many inputs of each modality failed, and that no modality lost all of its tokens."""
        tokens = {name: part["quality"]["tracks"] for name, part in quality.items()}
        for modality, reasons in failures.items():
            lost = sum(reasons.values())
            given = tokens.get(modality, 0) + lost
            inputs = LostInputs(modality=modality, given=given, lost=lost, reasons=reasons)
            LostInputsGate(self.max_lost).check(inputs)
        released = ReleasedVocabulary.of(self.store)
        if released is not None:
            LostValuesGate(self.max_removed).check(released.lost_modalities(tokens))

    def _check_churn(self, draft: ReleaseDraft) -> None:
        latest = latest_release(draft.store)
        if self.max_churn is None or latest is None:
            return
        size, churn = draft.bundle.codebook_size, None
        if latest.codebook_size == size:
            churn = compare(TokenTable.of(draft.store, latest), draft.table)
        ChurnGate(self.max_churn).check(ReleaseChurn(latest, size, churn))


def _release_tokens(draft: ReleaseDraft, tracks: int, quality: Mapping[str, Any]) -> ReleaseTokens:
    """Count the tokens of a release, and describe what was given and not used."""
    reasons: Counter[str] = Counter()
    for folder in (draft.snapshot.catalog.rejects, draft.paths.rejects):
        for counts in count_rejects(folder).values():
            reasons.update(counts)
    return ReleaseTokens(
        tracks=tracks,
        tokens=sum(part["quality"]["tracks"] for part in quality.values()),
        ignored_columns=IgnoredColumns.of_names(draft.snapshot.manifest.ignored_columns, TRACKS.names).describe(),
        reasons=reasons,
    )


def _warn_of_failures(
    draft: ReleaseDraft, metrics: Mapping[str, Any], failures: Mapping[str, Mapping[str, int]]
) -> None:
    """Warn of the inputs that could not be encoded."""
    for modality, reasons in failures.items():
        tokens = metrics["modalities"][modality]["tracks"]
        _logger.warning("%s", failure_warning(modality, tokens, reasons, draft.paths.rejects))


def _warn_of_overflow(metrics: Mapping[str, Any]) -> None:
    """Warn of tracks that share the last number of their tuple."""
    numbers = metrics.get("numbers")
    if numbers and numbers["overflow"]:
        _logger.warning(
            "%d tracks share the last number of their tokens with others: %d numbers are too few; give a larger "
            "--number, or another of --levels",
            numbers["overflow"],
            numbers["size"],
        )


def _number_tracks(
    join: JoinCodes, codes: beam.PCollection, listed: beam.PCollection, every: beam.PCollection
) -> beam.pvalue.DoOutputsTuple:
    """Number the tracks: their codes meet at a hash of all codes, and the numbers go to the buckets of the tracks."""
    number = NumberTuples(join.token_format, join.catalog.buckets)
    return (
        {"codes": codes, "playlists": listed, "every": every}
        | "group codes by track bucket" >> beam.CoGroupByKey()
        | "send tuples" >> beam.ParDo(SendTuples(join)).with_output_types(Keyed)
        | "group by tuple" >> beam.GroupByKey()
        | "number tracks"
        >> beam.ParDo(number).with_output_types(Keyed, **{COUNTS_TAG: Count}).with_outputs(COUNTS_TAG, main="main")
    )


def _keep_baseline(draft: ReleaseDraft, usage: CatalogUsage) -> None:
    """Write the usage baseline of a bundle with its first release."""
    if draft.baseline is not None:
        return
    if draft.previous is not None and draft.previous.bundle_id == draft.bundle.bundle_id:
        _logger.warning("%s", LOST_BASELINE.format(draft.bundle.bundle_id))
    write_usage_baseline(draft.store, draft.bundle_manifest, draft.release_id, usage)


def _complete_release(store: Store, paths: ReleasePaths, manifest: ReleaseManifest, expected: str) -> None:
    """Write the manifest of a release and make ``LATEST`` name it, if ``LATEST`` still names ``expected``."""
    require_latest(store, expected)  # before the manifest, so that a release that is not published stays incomplete
    files.write_bytes(paths.manifest, manifest.to_json().encode())
    # A power failure must not leave a LATEST whose release was still on its way to the disk.
    files.sync([*(files.join(paths.folder, path) for path in manifest.files), paths.manifest])
    point_latest(store, manifest.release_id, expected)
