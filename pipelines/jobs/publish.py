"""The publish job: write a release, and point ``LATEST`` at it when all of it is there."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.codebook import save_sorted
from tracktokens.codebooks.metrics.churn import Churn
from tracktokens.codebooks.metrics.drift import DriftLimits, NewTrackFit
from tracktokens.codebooks.tokens.vocabulary import added_tokens_json, tokens_json
from tracktokens.pipelines.analysis.report import report_html
from tracktokens.pipelines.jobs.tokenize import open_with_bundle
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import DriftError, InvalidDataError, StoreBusyError, TracktokensError
from tracktokens.schemas.manifests.bundle import BundleManifest, UsageBaseline
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.rejects import REJECTS
from tracktokens.schemas.tables.token_changes import CHANGES
from tracktokens.transforms.quantization.train_codebooks import SampleVectors, threshold
from tracktokens.transforms.release.compare_tables import compare
from tracktokens.transforms.release.drift_baseline import (
    CatalogUsage,
    DriftReport,
    catalog_usage,
    drift_message,
    drift_report,
    modality_usages,
    usage_baseline,
    write_usage_baseline,
)
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
from tracktokens.transforms.release.metrics_json import release_metrics, training_variances
from tracktokens.transforms.release.token_changes import changes_by_modality, changes_folder
from tracktokens.transforms.release.write_tokens import (
    BUCKETS_SENT,
    CODES_RECEIVED,
    CODES_SENT,
    FAILURES_RECEIVED,
    FAILURES_SENT,
    FAILURES_TAG,
    NEW_TAG,
    QUALITY_TAG,
    PreviousRelease,
    SendCodes,
    WriteTokens,
)
from tracktokens.transforms.runtime.arrow_coder import Count, EveryKey, Keyed
from tracktokens.transforms.runtime.counters import (
    COUNTS_TAG,
    WriteCounts,
    first_imbalance,
    read_counts,
    require_balance,
)
from tracktokens.transforms.runtime.rejects import REJECTS_TAG, WriteRejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest
from tracktokens.transforms.store.layout import LATEST, Store, new_id
from tracktokens.transforms.store.releases import latest_id, latest_release
from tracktokens.transforms.store.snapshots import Snapshot
from tracktokens.transforms.store.token_tables import TokenTable
from tracktokens.transforms.store.writer_lock import writes

COUNTS_FILE = "counts.json"
MEASURES_FOLDER = "measures"
NEIGHBOUR_SEED = 0

LOST_BASELINE = "how bundle {} was used at first is not known any more: drift is measured from this release on"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """A published release: its manifest, where it lies, and its metrics as in ``metrics.json``."""

    manifest: ReleaseManifest
    folder: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class PublishJob:
    """Publish a catalog snapshot's tokens under a bundle.

    Attributes:
        store: root of the store.
        bundle_id: the codebooks.
        catalog_id: the snapshot; the newest complete one when it is None.
        max_churn: bound on the tokens that may be another than in the latest release; see :func:`largest_churn`.
        fail_on_drift: whether a catalog past a limit of ``limits`` is an error, in place of a warning.
        limits: how far a catalog may move away from what the bundle's first release was.
        neighbours: whether neighbours are measured, for which all vectors are read.
        expected_latest: what ``LATEST`` said when the work began that is published now, empty before the first
            release; nothing is published when it says something else at the end. None reads it when the job begins.
    """

    store: str
    bundle_id: str
    catalog_id: str | None = None
    max_churn: float | None = None
    fail_on_drift: bool = False
    limits: DriftLimits = field(default_factory=DriftLimits)
    neighbours: bool = True
    expected_latest: str | None = None

    @writes("publish")
    def run(self, runner: PipelineRunner) -> Release:
        """Run the job and return the release.

        Raises:
            UsageError: when the store lacks the bundle or a catalog.
            InvalidDataError: when they do not belong together, or too many tokens changed; then nothing is published.
            DriftError: when the catalog is past a limit and ``fail_on_drift``; then nothing is published.
            StoreBusyError: when another job published meanwhile; then nothing is published.
            TracktokensError: when rows are unaccounted for, which is a fault of ours; then nothing is published.
        """
        snapshot, bundle = open_with_bundle(self.store, self.bundle_id, self.catalog_id)
        expected = latest_id(snapshot.store.root) if self.expected_latest is None else self.expected_latest
        release_id = new_id()
        folder, before = snapshot.store.release(release_id), _comparable(snapshot, bundle)
        work = _Work(snapshot, bundle, release_id, folder, before, expected)
        self._write_tables(work, runner)
        return self._finish(work)

    def _write_tables(self, work: "_Work", runner: PipelineRunner) -> None:
        """Write all that is as long as the catalog; once more where something was lost."""
        runner.run(partial(self._build, work, runner))
        if lost := work.lost():
            _logger.warning("%s: they are sent once more", lost)
            files.delete_tree(work.folder)
            runner.in_process().run(partial(self._build, work, runner))
            if lost := work.lost():
                raise TracktokensError(f"{lost}: nothing was published; run this again")

    def _build(self, work: "_Work", runner: PipelineRunner, pipeline: beam.Pipeline) -> None:
        snapshot, bundle, folder = work.snapshot, work.bundle, work.folder
        catalog, before = snapshot.catalog, work.predecessor()
        learned = snapshot.playlists is not None
        send = SendCodes(snapshot.store, catalog, bundle, snapshot.encoders, learned, before)
        write = WriteTokens(catalog, folder, bundle.bundle_id, bundle.codebook_size, before)
        sent = (
            pipeline
            | "key buckets" >> beam.Create(snapshot.buckets())
            | "spread key buckets" >> beam.Reshuffle()
            | "send codes to tracks"
            >> beam.ParDo(send)
            .with_output_types(
                Keyed, **{FAILURES_TAG: Keyed, QUALITY_TAG: Measured, NEW_TAG: Measured, COUNTS_TAG: Count}
            )
            .with_outputs(FAILURES_TAG, QUALITY_TAG, NEW_TAG, COUNTS_TAG, main="main")
        )
        # Every bucket of tracks has a part of the table, also where no track of it has a code.
        every = pipeline | "every track bucket" >> EveryKey(range(catalog.buckets), Keyed)
        written = (
            {"codes": sent.main, "failures": sent[FAILURES_TAG], "every": every}
            | "group by track bucket" >> beam.CoGroupByKey()
            | "write tokens"
            >> beam.ParDo(write)
            .with_output_types(Keyed, **{REJECTS_TAG: Keyed, COUNTS_TAG: Count})
            .with_outputs(REJECTS_TAG, COUNTS_TAG, main="main")
        )
        written[REJECTS_TAG] | "write rejects" >> WriteRejects(files.join(folder, "rejects"), "encode")
        counts = [sent[COUNTS_TAG], written[COUNTS_TAG]] | "all counts" >> beam.Flatten()
        counts | "write counts" >> WriteCounts(files.join(folder, COUNTS_FILE))
        variances = training_variances(snapshot.store, bundle)
        sent[QUALITY_TAG] | "measure codebooks" >> WriteCodebookQuality(work.measures(CODEBOOKS_FILE), variances)
        uses = modality_usages(work.then) if work.then else {}
        sent[NEW_TAG] | "measure new codes" >> WriteNewTrackFit(work.measures(FIT_FILE), uses)
        written.main | "measure the table" >> WriteTableQuality(work.measures(TABLE_FILE))
        if self.neighbours:
            self._measure_neighbours(work, runner, pipeline)

    def _measure_neighbours(self, work: "_Work", runner: PipelineRunner, pipeline: beam.Pipeline) -> None:
        snapshot, bundle, catalog = work.snapshot, work.bundle, work.snapshot.catalog
        sizes = {modality: threshold(snapshot.inputs(modality), NEIGHBOUR_SAMPLE) for modality in snapshot.encoders}
        sample = SampleVectors(snapshot.store, catalog, snapshot.encoders, sizes, NEIGHBOUR_SEED)
        measure = MeasureNeighbours({m: bundle[m] for m in snapshot.encoders}, NEIGHBOUR_SEED, runner.workers)
        recall = WriteNeighbourRecall(work.measures(NEIGHBOURS_FILE), sample, snapshot.buckets(), measure)
        pipeline | "measure neighbours" >> recall

    def _finish(self, work: "_Work") -> Release:
        """Add what is small, reconcile, complete, and point ``LATEST`` at it."""
        snapshot, bundle, release_id, folder = work.snapshot, work.bundle, work.release_id, work.folder
        rows = _reconciled_rows(snapshot, folder)
        _gather_rejects(snapshot, files.join(folder, "rejects"))
        if work.before is not None:
            _complete(changes_folder(folder), CHANGES)
        write_vocabulary(bundle, files.join(folder, "vocabulary"))
        now = catalog_usage(files.read_json(work.measures(CODEBOOKS_FILE)), rows["published"], snapshot.playlists)
        drift = self._drift(work, now)
        metrics = {
            **release_metrics(snapshot, bundle, folder, files.join(folder, MEASURES_FOLDER), rows),
            "changes": work.changes(),
            "drift": drift and asdict(drift),
        }
        files.write_json(files.join(folder, "metrics.json"), metrics)
        files.write_bytes(files.join(folder, "report.html"), report_html(metrics, f"release {release_id}"))
        for working in (COUNTS_FILE, MEASURES_FOLDER):
            files.delete_tree(files.join(folder, working))
        manifest = ReleaseManifest(
            release_id=release_id,
            bundle_id=bundle.bundle_id,
            catalog_id=snapshot.manifest.catalog_id,
            codebook_size=bundle.codebook_size,
            encoders=snapshot.encoders,
            rows=rows,
            files=_file_hashes(folder),
            previous=work.before.release_id if work.before else None,
        )
        self._refuse_churn(snapshot, bundle, folder)
        if work.then is None:
            if work.before is not None and work.before.bundle_id == bundle.bundle_id:
                _logger.warning("%s", LOST_BASELINE.format(bundle.bundle_id))
            write_usage_baseline(snapshot.store, work.bundle_manifest, release_id, now)
        _point_latest(snapshot.store, folder, manifest, work.expected)
        return Release(manifest, folder, metrics)

    def _drift(self, work: "_Work", now: CatalogUsage) -> DriftReport | None:
        if work.then is None:
            return None
        fits = {m: NewTrackFit(**fit) for m, fit in files.read_json(work.measures(FIT_FILE)).items()}
        found = drift_report(work.then, now, fits, self.limits)
        if found.warnings and self.fail_on_drift:
            raise DriftError(f"{drift_message(found)}; nothing was published")
        if found.warnings:
            _logger.warning("%s", drift_message(found))
        return found

    def _refuse_churn(self, snapshot: Snapshot, bundle: Bundle, folder: str) -> None:
        latest = latest_release(snapshot.store)
        if self.max_churn is None or latest is None:
            return
        if latest.codebook_size != bundle.codebook_size:
            raise InvalidDataError(
                f"the latest release has {latest.codebook_size} codes per modality, this {bundle.codebook_size}: every "
                "token gets another id; publish without --max-churn if that is meant"
            )
        new = TokenTable(folder, bundle.bundle_id, snapshot.catalog)
        churn = compare(TokenTable.of(snapshot.store, latest), new, bundle.codebook_size)
        modality, share = largest_churn(churn)
        if share > self.max_churn:
            raise InvalidDataError(
                f"{share:.2%} of the {modality} tokens would be another than in {latest.release_id}, more than "
                f"{self.max_churn:.2%}: nothing was published; retrain from bundle {latest.bundle_id}, or raise "
                "--max-churn"
            )


@dataclass(frozen=True)
class _Work:
    """A release that is being made: of what, where, and what it is compared with."""

    snapshot: Snapshot
    bundle: Bundle
    release_id: str
    folder: str
    before: ReleaseManifest | None
    expected: str

    def measures(self, name: str) -> str:
        """Path of something that the job measures; not part of the release."""
        return files.join(self.folder, MEASURES_FOLDER, name)

    @cached_property
    def bundle_manifest(self) -> BundleManifest:
        """Manifest of the bundle."""
        return read_manifest(self.snapshot.store, self.bundle.bundle_id)

    @cached_property
    def then(self) -> UsageBaseline | None:
        """How the bundle was used when it was first published; None when that is now."""
        return usage_baseline(self.snapshot.store, self.bundle_manifest)

    def predecessor(self) -> PreviousRelease | None:
        """The latest release, whose tokens these follow."""
        if self.before is None:
            return None
        store = self.snapshot.store
        old = read_manifest(store, self.before.bundle_id).codebooks
        new = self.bundle_manifest.codebooks
        recoded = frozenset(m for m in MODALITIES if old[m]["content_hash"] != new[m]["content_hash"])
        same_bundle = self.before.bundle_id == self.bundle.bundle_id
        continued = same_bundle and self.before.catalog_id == self.snapshot.manifest.base
        return PreviousRelease(TokenTable.of(store, self.before), recoded, continued)

    def lost(self) -> str | None:
        """What was sent to the tracks and did not come there, in words; None where all did.

        In rare cases Beam's local runner with several workers loses a message.
        """
        counts = read_counts(files.join(self.folder, COUNTS_FILE))
        balances = {
            "buckets of codes": (len(self.snapshot.buckets()), counts[BUCKETS_SENT]),
            "codes": (counts[CODES_SENT], counts[CODES_RECEIVED]),
            "failures": (counts[FAILURES_SENT], counts[FAILURES_RECEIVED]),
            "tracks": (self.snapshot.manifest.rows_accepted, counts["rows_published"]),
        }
        return first_imbalance(balances, "came in")

    def changes(self) -> dict[str, dict[str, int]] | None:
        """How many tokens changed, by modality and why; None where there is nothing to compare with."""
        counts = read_counts(files.join(self.folder, COUNTS_FILE))
        return None if self.before is None else changes_by_modality(counts)


def _comparable(snapshot: Snapshot, bundle: Bundle) -> ReleaseManifest | None:
    """The latest release, where tokens of the same name may mean the same."""
    latest = latest_release(snapshot.store)
    return latest if latest is not None and latest.codebook_size == bundle.codebook_size else None


def refuse_overtaken(store: Store, expected: str) -> None:
    """Raise :class:`StoreBusyError` when ``LATEST`` no longer names what it did: somebody else wrote the store too."""
    found = latest_id(store.root)
    if found != expected:
        raise StoreBusyError(
            f"{files.join(store.root, LATEST)} names {found or 'nothing'} now, and {expected or 'nothing'} when this "
            "job began: another one has published; nothing was published, run this one again"
        )


def largest_churn(churn: Churn) -> tuple[str, float]:
    """The modality in which the largest share of codes changed, among tracks that have one before and now."""
    shares = {modality: found.recoded or 0.0 for modality, found in churn.modalities.items()}
    return max(shares.items(), key=lambda item: item[1])


def write_vocabulary(bundle: Bundle, folder: str) -> None:
    """Write the vocabulary pack: the tokens in order, as Hugging Face loads them, and the centroids behind them."""
    size = bundle.codebook_size
    files.write_json(files.join(folder, "tokens.json"), tokens_json(bundle.bundle_id, size))
    files.write_json(files.join(folder, "added_tokens.json"), added_tokens_json(size))
    centroids = {book.modality: np.ascontiguousarray(book.centroids) for book in bundle.codebooks}
    packed = save_sorted(centroids, {"bundle": bundle.bundle_id, "format": "1"})
    files.write_bytes(files.join(folder, "centroids.safetensors"), packed)


def _point_latest(store: Store, folder: str, manifest: ReleaseManifest, expected: str) -> None:
    """Complete a release, and let ``LATEST`` name it, unless that names another than is expected."""
    refuse_overtaken(store, expected)
    files.write_bytes(files.join(folder, "manifest.json"), manifest.to_json().encode())
    # A power failure must not leave a LATEST whose release was still on its way to the disk.
    files.sync(files.join(folder, path) for path in (*manifest.files, "manifest.json"))
    files.write_bytes(files.join(store.root, LATEST), f"{manifest.release_id}\n".encode())


def _gather_rejects(snapshot: Snapshot, rejects: str) -> None:
    """Put the rejects of reading beside those of encoding."""
    for folder in (snapshot.catalog.rejects, snapshot.catalog.playlist_rejects):
        files.copy_files(files.list_files(folder, ".parquet"), rejects)
    _complete(rejects, REJECTS)


def _reconciled_rows(snapshot: Snapshot, folder: str) -> dict[str, int]:
    """Count the rows that were really written against those that the scan read."""
    published = 0
    for path in files.list_files(files.join(folder, "tokens"), ".parquet"):
        with files.open_parquet(path) as file:
            published += file.metadata.num_rows
    read, rejected = snapshot.manifest.rows_read, snapshot.manifest.rows_rejected
    for kept in (published, read_counts(files.join(folder, COUNTS_FILE))["rows_published"]):
        require_balance("rows", read, kept, "in the token table", rejected)
    return {"read": read, "published": published, "rejected": rejected}


def _complete(folder: str, schema: pa.Schema) -> None:
    """Leave an empty file in a folder that has none: readers then find the schema."""
    if not files.list_files(folder, ".parquet"):
        files.write_batches(files.join(folder, "none.parquet"), schema, [])


def _file_hashes(folder: str) -> dict[str, dict[str, Any]]:
    return {
        path: {"bytes": size, "sha256": files.sha256(files.join(folder, path))}
        for path, size in files.list_tree(folder).items()
    }
