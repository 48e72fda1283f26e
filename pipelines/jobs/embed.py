"""The embed job: scan a catalog, and encode the inputs that are not in the store."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial

import apache_beam as beam
import pyarrow as pa

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.input_paths import check_apart
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, MODALITIES
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.find_missing import WANTED_TAG, CutBatches
from tracktokens.transforms.catalog.reconcile import find_loss, reconcile_inputs, reconcile_rows
from tracktokens.transforms.catalog.scan_catalog import ReadMissing, ScanCatalog
from tracktokens.transforms.catalog.snapshot_writer import BucketWriter, SnapshotWriter
from tracktokens.transforms.embedding.batches import DECODING, ENCODING
from tracktokens.transforms.embedding.encode_missing import EncodeMissing
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.precomputed.load_vectors import LOCATIONS_TAG, AddPrecomputed
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings, vector_counts
from tracktokens.transforms.readers.fragments import Fragment, check_table, estimate_rows, find_fragments
from tracktokens.transforms.release.gates import RejectRateGate, input_rows
from tracktokens.transforms.runtime.counters import WriteCounts, read_counts
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import WriteRejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Catalog, Store, new_id
from tracktokens.transforms.store.releases import latest_release
from tracktokens.transforms.store.snapshots import newest_catalog
from tracktokens.transforms.store.writer_lock import writes

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EmbedJob:
    """Scan a catalog into a store, and encode with one encoder per modality.

    Attributes:
        source: the catalog. A modality without an encoder and without precomputed embeddings keeps its place in the
            vocabulary and gets no codes.
        store: root of the store; created when it does not exist.
        retry_rejects: whether inputs that failed permanently are encoded again.
    """

    source: CatalogSource
    store: str
    retry_rejects: bool = False

    @writes("embed", creates=True)
    def run(self, runner: PipelineRunner) -> CatalogManifest:
        """Run the job and return the manifest of the catalog snapshot that it wrote.

        Raises:
            UsageError: an input is missing, the choice of encoders makes no sense, or ``store`` is not a store.
            InvalidDataError: the catalog or an encoder cannot be used, or too many rows are rejected.
        """
        self.source.check_apart_from(self.store)
        fragments = self.find_tracks()
        encoders, precomputed = self.encoders, self.precomputed  # before a store is created: they may fail
        store = Store.open_or_create(self.store, estimate_rows(fragments))
        _describe_encoders(store, encoders, precomputed)
        base = self.base(store)
        catalog = self._scan(store, fragments, base, runner)
        counts = read_counts(catalog.counts)
        loss = None if self.gate.is_exceeded(counts) else find_loss(counts)
        if loss is not None:
            _logger.warning("%s: scanning the catalog again, in-process and without a base snapshot", loss)
            files.delete_tree(catalog.folder)
            base, catalog = None, self._scan(store, fragments, None, runner.in_process())
        return self._finish(catalog, base)

    @property
    def gate(self) -> RejectRateGate:
        """The bound on the rejects of each input table."""
        return RejectRateGate(self.source.max_reject_rate)

    def find_tracks(self) -> list[Fragment]:
        """Find the files of the tracks table, and check that they can be read.

        Raises:
            UsageError: there are none.
            InvalidDataError: they lack a column.
        """
        fragments = find_fragments(files.absolute(self.source.tracks), "tracks")
        check_table(fragments, TRACKS)
        return fragments

    @cached_property
    def encoders(self) -> Mapping[str, Encoder]:
        """Modality to encoder, made once per job.

        Raises:
            UsageError: a choice is wrong, or the store and the audio root overlap.
        """
        encoders = self.source.make_encoders()
        check_apart(self.store, {"audio-root": self.source.audio_root})
        return encoders

    @cached_property
    def precomputed(self) -> Mapping[str, PrecomputedEmbeddings]:
        """Modality to precomputed embeddings, opened once per job."""
        return self.source.open_embeddings()

    @property
    def encoder_ids(self) -> dict[str, str]:
        """Modality to encoder id, of encoders and of precomputed embeddings."""
        encoded = {modality: encoder.encoder_id for modality, encoder in self.encoders.items()}
        return encoded | {modality: vectors.encoder_id for modality, vectors in self.precomputed.items()}

    def base(self, store: Store) -> Catalog | None:
        """Find the base snapshot: the latest release's, or else the newest; None if its encoders are different."""
        latest = latest_release(store)
        catalog = newest_catalog(store) if latest is None else store.catalog(latest.catalog_id)
        if catalog is None or not files.exists(catalog.manifest):
            return None
        manifest = CatalogManifest.from_json(files.read_bytes(catalog.manifest), catalog.manifest)
        return catalog if dict(manifest.encoders) == self.encoder_ids else None

    def _scan(self, store: Store, fragments: list[Fragment], base: Catalog | None, runner: PipelineRunner) -> Catalog:
        """Scan the inputs into a new snapshot; its manifest is not written yet."""
        catalog = store.catalog(new_id())
        runner.progress.add("scan", total=estimate_rows(fragments))
        runner.run(partial(self._build, store, catalog, base, fragments, runner))
        return catalog

    def _build(
        self,
        store: Store,
        catalog: Catalog,
        base: Catalog | None,
        fragments: list[Fragment],
        runner: PipelineRunner,
        pipeline: beam.Pipeline,
    ) -> None:
        scanned = self.scan(store, fragments, base, SnapshotWriter(catalog), runner.progress).add_to(pipeline)
        added = self._add_vectors(scanned.missing, store, catalog, fragments, runner)
        for name, rejects in scanned.rejects.items():
            rejects | f"write {name} rejects" >> WriteRejects(catalog.rejects, name)
        [*scanned.counts, *added] | "all counts" >> beam.Flatten() | "write counts" >> WriteCounts(catalog.counts)

    def scan(
        self,
        store: Store,
        fragments: list[Fragment],
        base: Catalog | None,
        writer: BucketWriter,
        progress: ProgressReporter,
    ) -> ScanCatalog:
        """Build the scan of the catalog, which also finds the inputs that are not encoded."""
        return ScanCatalog(
            store=store,
            fragments=fragments,
            base=base,
            writer=writer,
            encoded={modality: encoder.encoder_id for modality, encoder in self.encoders.items()},
            embeddings=self.precomputed,
            audio_root=self.source.absolute_audio_root,
            retry_rejects=self.retry_rejects,
            is_refused=self.gate.is_exceeded,
            progress=progress,
        )

    def _add_vectors(
        self,
        missing: beam.pvalue.DoOutputsTuple,
        store: Store,
        catalog: Catalog,
        fragments: list[Fragment],
        runner: PipelineRunner,
    ) -> Iterator[beam.PCollection]:
        """Encode the missing inputs, and store the missing precomputed embeddings. Yield the counts of each."""
        batches = (
            missing[WANTED_TAG]
            | ReadMissing(fragments, store.buckets)
            | "group inputs" >> beam.GroupByKey()
            | "cut batches"
            >> beam.ParDo(CutBatches())
            .with_output_types(pa.RecordBatch, **dict.fromkeys(self.encoders, pa.RecordBatch))
            .with_outputs(*self.encoders)
        )
        for modality, encoder in self.encoders.items():
            encode = EncodeMissing(
                store=store,
                catalog=catalog,
                modality=modality,
                encoder=encoder,
                workers=runner.workers,
                progress=runner.progress,
            )
            yield batches[modality] | f"encode {modality}" >> encode
        yield missing[LOCATIONS_TAG] | "add precomputed embeddings" >> AddPrecomputed(
            self.precomputed, store, runner.progress
        )

    def _finish(self, catalog: Catalog, base: Catalog | None) -> CatalogManifest:
        """Reconcile the counts and complete the snapshot."""
        counts = read_counts(catalog.counts)
        manifest = CatalogManifest(
            catalog_id=catalog.name,
            base=None if base is None else base.name,
            rows_read=counts["rows_read"],
            rows_accepted=counts["rows_accepted"],
            rows_rejected=counts["rows_rejected"],
            encoders=self.encoder_ids,
            tracks_with=self._by_modality(counts, "tracks_with"),
            inputs=self._by_modality(counts, "inputs"),
            encoded=self._by_modality(counts, "encoded"),
            failed=self._by_modality(counts, "failed"),
            encoding_seconds=_seconds(self._by_modality(counts, ENCODING)),
            decoding_seconds=_seconds(self._by_modality(counts, DECODING)),
            vectors={modality: asdict(vector_counts(counts, modality)) for modality in self.precomputed},
            ignored_columns=sorted(name.split("/", 1)[1] for name in counts if name.startswith("ignored/")),
            options=self.source.to_options(),
        )
        reconcile_rows(manifest)
        for rows in input_rows(manifest, counts):
            self.gate.check(rows)
        reconcile_inputs(counts)
        if counts["audio_without_root"] and AUDIO not in manifest.encoders:
            _logger.warning(
                "%d tracks have audio that was not encoded: give --audio-root", counts["audio_without_root"]
            )
        files.write_bytes(catalog.manifest, manifest.to_json().encode())
        return manifest

    def _by_modality(self, counts: Mapping[str, int], name: str) -> dict[str, int]:
        """Counts of one kind, for each modality that has inputs in the catalog."""
        modalities = [m for m in MODALITIES if m in CONTENT_MODALITIES or m in self.precomputed]
        return {modality: counts[f"{name}/{modality}"] for modality in modalities}


def _seconds(milliseconds: Mapping[str, int]) -> dict[str, float]:
    return {modality: spent / 1000 for modality, spent in milliseconds.items()}


def _describe_encoders(
    store: Store, encoders: Mapping[str, Encoder], precomputed: Mapping[str, PrecomputedEmbeddings]
) -> None:
    """Write the identity of each encoder, which its id is a hash of, and whether training standardizes its vectors."""
    for modality, encoder in encoders.items():
        _describe(store, modality, encoder.encoder_id, EncoderManifest(encoder.standardize, encoder.identity()))
    for modality, vectors in precomputed.items():
        manifest = EncoderManifest(standardize=False, identity=vectors.identity())
        described = _describe(store, modality, vectors.encoder_id, manifest)
        if described.identity["dim"] != vectors.table.dim:
            raise InvalidDataError(
                f"{modality} embeddings {vectors.source} have {vectors.table.dim} dimensions, and those in the store "
                f"{described.identity['dim']}: another encoder made them, so give another --embeddings-version"
            )


def _describe(store: Store, modality: str, encoder_id: str, manifest: EncoderManifest) -> EncoderManifest:
    """Write the manifest of an encoder unless there is one; return the one in the store."""
    path = store.encoder(modality, encoder_id)
    if files.exists(path):
        return store.read_encoder(modality, encoder_id)
    files.write_bytes(path, manifest.to_json().encode())
    return manifest
