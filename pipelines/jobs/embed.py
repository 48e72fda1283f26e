"""The embed job: scan a catalog, and encode the inputs that are not in the store."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial

import apache_beam as beam
import pyarrow as pa

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.maintenance.bucket_jobs import working_folder
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, MODALITIES, MODALITY_OF_COLUMN
from tracktokens.schemas.tables.rejects import TRACKS_TABLE
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.column_losses import IgnoredColumns, column_losses, reject_example
from tracktokens.transforms.catalog.find_missing import WANTED_TAG, CutBatches
from tracktokens.transforms.catalog.reconcile import find_loss, reconcile_inputs, reconcile_rows
from tracktokens.transforms.catalog.scan_catalog import ReadMissing, ScanCatalog, ScanInputs
from tracktokens.transforms.catalog.snapshot_writer import BucketWriter, SnapshotWriter
from tracktokens.transforms.embedding.batches import DECODING, ENCODING
from tracktokens.transforms.embedding.encode_missing import EncodeMissing
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.gates.input_rows import InputRows, input_rows
from tracktokens.transforms.gates.scan import PreviousScan, ScanGates
from tracktokens.transforms.precomputed.load_vectors import LOCATIONS_TAG, AddPrecomputed
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings, vector_counts
from tracktokens.transforms.precomputed.vector_tables import ignored_vector_columns
from tracktokens.transforms.readers.file_discovery import JSONL
from tracktokens.transforms.readers.fragments import Fragment, check_table, estimate_rows, find_fragments
from tracktokens.transforms.readers.row_chunks import ignored_columns
from tracktokens.transforms.release.input_warnings import catalog_warning, ignored_columns_warning
from tracktokens.transforms.runtime.counters import WriteCounts, read_counts
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import WriteRejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Catalog, Store, encoder_manifest, new_id
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
        needs_inputs: whether a tracks table without a column that an encoder reads is refused: set where nothing else
            gives tokens.
    """

    source: CatalogSource
    store: str
    retry_rejects: bool = False
    needs_inputs: bool = False

    def run(self, runner: PipelineRunner) -> CatalogManifest:
        """Run the job and return the manifest of the catalog snapshot that it wrote.

        Raises:
            UsageError: an input is missing, the choice of encoders makes no sense, or ``store`` is not a store.
            InvalidDataError: the catalog or an encoder cannot be used, or too many rows are rejected.
        """
        self.source.check_reachable(self.store, runner)
        return self._run_locked(runner)

    @writes("embed", creates=True)
    def _run_locked(self, runner: PipelineRunner) -> CatalogManifest:
        self.source.check_apart_from(self.store)
        fragments = self.fragments
        encoders, precomputed = self.encoders, self.precomputed  # before a store is created: they may fail
        if self.source.encoders is None and not runner.names_runner:  # else models may be on other machines
            self._check_encoders()
        store = Store.open_or_create(self.store, estimate_rows(fragments))
        _describe_encoders(store, encoders, precomputed)
        base = self.base(store)
        catalog = self._scan(store, fragments, base, runner)
        counts = read_counts(catalog.counts)
        loss = find_loss(counts, refused=self.gates.is_refused(counts))
        if loss is not None:
            _logger.warning("%s: scanning the catalog again, in-process and without a base snapshot", loss)
            files.delete_tree(catalog.folder)
            base, catalog = None, self._scan(store, fragments, None, runner.in_process())
        return self._finish(catalog, base)

    def _check_encoders(self) -> None:
        """Check the encoders that the store does not know yet, each once."""
        root = files.absolute(self.store)
        unknown = {
            encoder.encoder_id: encoder
            for modality, encoder in self.encoders.items()
            if not files.exists(encoder_manifest(root, modality, encoder.encoder_id))
        }
        for encoder in unknown.values():
            encoder.check()

    @cached_property
    def gates(self) -> ScanGates:
        """Conditions of the scan, some of which compare it with the latest release of the store, which exists."""
        return ScanGates(
            max_reject_rate=self.source.max_reject_rate,
            losses=self.source.loss_limits,
            encoded=tuple(self.encoders),
            precomputed=tuple(self.precomputed),
            audio_root=self.source.audio_root,
            previous=PreviousScan.of(Store.open(self.store)),
        )

    @cached_property
    def fragments(self) -> list[Fragment]:
        """Fragments of the tracks table, found once per job, when it is checked that they can be read.

        Raises:
            UsageError: there are none.
            InvalidDataError: they lack a column.
        """
        fragments = find_fragments(files.absolute(self.source.tracks), "tracks")
        columns = check_table(fragments, TRACKS)
        # Only the first lines of JSON Lines are known yet: the gate of the release checks the rest.
        if self.needs_inputs and not any(fragment.format == JSONL for fragment in fragments):
            self._require_inputs(columns)
        return fragments

    def _require_inputs(self, columns: Collection[str]) -> None:
        """Raise :class:`InvalidDataError` where no column is an input of an encoder."""
        inputs = [name for name, modality in MODALITY_OF_COLUMN.items() if modality in self.encoders]
        if set(inputs).intersection(columns):
            return
        ignored = IgnoredColumns.of_names(ignored_columns(columns, TRACKS), inputs)
        names = f"; it has columns that are not read: {ignored.describe()}" if ignored.names else ""
        root = "; audio_path needs --audio-root" if "audio_path" in columns else ""
        raise InvalidDataError(
            f"no track of {self.source.tracks} would have a token, since it has none of the columns "
            f"{', '.join(inputs)}{names}{root}: rename or add columns; nothing was published"
        )

    @cached_property
    def encoders(self) -> Mapping[str, Encoder]:
        """Modality to encoder, made once per job."""
        return self.source.make_encoders()

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
        content = None if catalog is None else files.read_existing(catalog.manifest)
        if catalog is None or content is None:
            return None
        manifest = CatalogManifest.from_json(content, catalog.manifest)
        return catalog if dict(manifest.encoders) == self.encoder_ids else None

    def _scan(self, store: Store, fragments: list[Fragment], base: Catalog | None, runner: PipelineRunner) -> Catalog:
        """Scan the inputs into a new snapshot; its manifest is not written yet."""
        catalog = store.catalog(new_id())
        runner.progress.add("scan", total=estimate_rows(fragments))
        with working_folder(store, runner) as working:
            inputs = ScanInputs.spill(fragments, self.precomputed, working)
            runner.run(partial(self._build, store, catalog, base, inputs, runner))
        return catalog

    def _build(
        self,
        store: Store,
        catalog: Catalog,
        base: Catalog | None,
        inputs: ScanInputs,
        runner: PipelineRunner,
        pipeline: beam.Pipeline,
    ) -> None:
        scanned = self.scan(store, inputs, base, SnapshotWriter(catalog), runner.progress).add_to(pipeline)
        added = self._add_vectors(scanned.missing, store, catalog, inputs, runner)
        for name, rejects in scanned.rejects.items():
            rejects | f"write {name} rejects" >> WriteRejects(catalog.rejects, name)
        [*scanned.counts, *added] | "all counts" >> beam.Flatten() | "write counts" >> WriteCounts(catalog.counts)

    def scan(
        self,
        store: Store,
        inputs: ScanInputs,
        base: Catalog | None,
        writer: BucketWriter,
        progress: ProgressReporter,
    ) -> ScanCatalog:
        """Build the scan of the catalog, which also finds the inputs that are not encoded."""
        return ScanCatalog(
            store=store,
            inputs=inputs,
            base=base,
            writer=writer,
            encoded={modality: encoder.encoder_id for modality, encoder in self.encoders.items()},
            audio_root=self.source.absolute_audio_root,
            retry_rejects=self.retry_rejects,
            is_refused=self.gates.is_refused,
            progress=progress,
        )

    def _add_vectors(
        self,
        missing: beam.pvalue.DoOutputsTuple,
        store: Store,
        catalog: Catalog,
        inputs: ScanInputs,
        runner: PipelineRunner,
    ) -> Iterator[beam.PCollection]:
        """Encode the missing inputs, and store the missing precomputed embeddings. Yield the counts of each."""
        batches = (
            missing[WANTED_TAG]
            | ReadMissing(inputs.fragments, store.buckets, self.source.absolute_audio_root)
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
                workers=runner.processes_per_machine,
                progress=runner.progress,
                hints=runner.encoder_hints,
            )
            yield batches[modality] | f"encode {modality}" >> encode
        yield missing[LOCATIONS_TAG] | "add precomputed embeddings" >> AddPrecomputed(
            inputs.embeddings, store, runner.progress
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
            ignored_columns=list(IgnoredColumns.of_counts(counts).names),
            options=self.source.to_options(),
        )
        reconcile_rows(manifest)
        self._check(catalog, counts)
        reconcile_inputs(counts)
        if counts["audio_without_root"] and AUDIO not in manifest.encoders:
            _logger.warning(
                "%d tracks have audio that was not encoded: give --audio-root", counts["audio_without_root"]
            )
        files.write_bytes(catalog.manifest, manifest.to_json().encode())
        return manifest

    def _check(self, catalog: Catalog, counts: Mapping[str, int]) -> None:
        """Check the gates of the scan, and warn of everything else that was not used."""
        self.gates.check(counts, catalog.rejects)
        losses = column_losses(counts)
        example = reject_example(catalog.rejects, losses) if losses else None
        self.warn(counts, list(input_rows(counts, self.precomputed)), example)

    def warn(self, counts: Mapping[str, int], rows: Sequence[InputRows] = (), example: str | None = None) -> None:
        """Warn of the columns, rows and values that are not used.

        Args:
            counts: named counts of a scan.
            rows: row counts of each table.
            example: one rejected value, for people.
        """
        messages = [ignored_columns_warning(TRACKS_TABLE, IgnoredColumns.of_counts(counts))]
        for modality, vectors in self.precomputed.items():
            ignored = IgnoredColumns.of_names(ignored_vector_columns(vectors.table), ())
            messages.append(ignored_columns_warning(f"{modality} vectors", ignored))
        for message in [*messages, catalog_warning(rows, column_losses(counts), example)]:
            if message is not None:
                _logger.warning("%s", message)

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
    known = store.find_encoder(modality, encoder_id)
    if known is None:
        files.write_bytes(store.encoder(modality, encoder_id), manifest.to_json().encode())
    return known or manifest
