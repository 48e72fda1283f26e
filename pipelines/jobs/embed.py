"""The embed job: scan a catalog, and encode what was never encoded."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial

import apache_beam as beam
import pyarrow as pa

from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, MODALITIES
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.find_missing import WANTED_TAG, CutBatches, FindMissing
from tracktokens.transforms.catalog.reconcile import find_loss, reconcile_inputs, reconcile_rows
from tracktokens.transforms.catalog.scan_catalog import ReadMissing, ScanCatalog
from tracktokens.transforms.catalog.scan_tracks import ScanTracks
from tracktokens.transforms.catalog.snapshot_tracks import FailureFolder, WriteSnapshotBucket
from tracktokens.transforms.embedding.batches import DECODING, ENCODING
from tracktokens.transforms.embedding.encode_missing import EncodeMissing
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.precomputed.load_vectors import LOCATIONS_TAG, AddPrecomputed
from tracktokens.transforms.precomputed.scan_cache import ScanCache
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings, ScanVectors, vector_counts
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

DEFAULT_MAX_REJECT_RATE = 0.05

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedJob:
    """Scan ``tracks`` into the store at ``store``, and encode with one encoder a modality.

    Attributes:
        tracks: file, folder or glob of the tracks table.
        store: root of the store; made when it is not there.
        encoders: modality to encoder. A modality that is neither here nor in ``vectors`` keeps its place in the
            vocabulary and gets no codes.
        audio_root: folder below which audio paths lie, or None: then no track has audio.
        max_reject_rate: share of rows that may be lost before the catalog is refused.
        vectors: modality to vectors that exist already, in place of an encoder.
        retry_rejects: whether inputs that failed for good are tried again.
    """

    tracks: str
    store: str
    encoders: Mapping[str, Encoder]
    audio_root: str | None = None
    max_reject_rate: float = DEFAULT_MAX_REJECT_RATE
    vectors: Mapping[str, PrecomputedEmbeddings] = field(default_factory=dict)
    retry_rejects: bool = False

    @writes("embed", creates=True)
    def run(self, runner: PipelineRunner) -> CatalogManifest:
        """Run the job and return the manifest of the catalog snapshot that it wrote.

        Raises:
            UsageError: when an input is not there, or ``store`` is something else.
            InvalidDataError: when the catalog cannot be used, or too many of its rows are rejected.
        """
        fragments = find_fragments(files.absolute(self.tracks), "tracks")
        check_table(fragments, TRACKS)
        store = Store.open_or_create(self.store, estimate_rows(fragments))
        _describe_encoders(store, self.encoders, self.vectors)
        base = self.base(store)
        catalog = self._scan(store, fragments, base, runner)
        counts = read_counts(catalog.counts)
        lost = None if self.gate.is_exceeded(counts) else find_loss(counts)
        if lost is not None:
            _logger.warning("%s: the catalog is scanned once more, and compared with nothing", lost)
            files.delete_tree(catalog.folder)
            base, catalog = None, self._scan(store, fragments, None, runner.in_process())
        return self._finish(catalog, base)

    @property
    def gate(self) -> RejectRateGate:
        """The bound on the rejects of each input table."""
        return RejectRateGate(self.max_reject_rate)

    @property
    def encoder_ids(self) -> dict[str, str]:
        """Modality to the name of its vectors, encoded or given."""
        encoded = {modality: encoder.encoder_id for modality, encoder in self.encoders.items()}
        return encoded | {modality: vectors.encoder_id for modality, vectors in self.vectors.items()}

    def base(self, store: Store) -> Catalog | None:
        """The catalog to compare with: the latest release's, or else the newest, if its inputs are encoded alike."""
        latest = latest_release(store)
        catalog = newest_catalog(store) if latest is None else store.catalog(latest.catalog_id)
        if catalog is None or not files.exists(catalog.manifest):
            return None
        manifest = CatalogManifest.from_json(files.read_bytes(catalog.manifest), catalog.manifest)
        return catalog if dict(manifest.encoders) == self.encoder_ids else None

    def _scan(self, store: Store, fragments: list[Fragment], base: Catalog | None, runner: PipelineRunner) -> Catalog:
        """Scan the inputs into a new catalog, which lacks its manifest yet."""
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
        scans = self.look_at_vectors(base)
        settle = WriteSnapshotBucket(
            catalog, base, list(self.encoders), list(self.vectors), scans, self.tried_again(store)
        )
        find = FindMissing(
            store, catalog, base, self.encoder_ids, list(self.vectors), self.retry_rejects, runner.progress
        )
        scanned = self.scan(store, fragments, settle, find, scans, runner.progress).add_to(pipeline)
        added = self._add_vectors(scanned.missing, store, catalog, fragments, runner)
        for name, rejects in scanned.rejects.items():
            rejects | f"write {name} rejects" >> WriteRejects(catalog.rejects, name)
        [*scanned.counts, *added] | "all counts" >> beam.Flatten() | "write counts" >> WriteCounts(catalog.counts)

    def tried_again(self, store: Store) -> list[FailureFolder]:
        """Where the lasting failures lie that are to be tried again."""
        if not self.retry_rejects:
            return []
        return [FailureFolder(m, store.all_failures(m, encoder_id)) for m, encoder_id in self.encoder_ids.items()]

    def look_at_vectors(self, base: Catalog | None) -> ScanCache:
        """Find out which row groups of the vectors have to be read."""
        return ScanCache.of({modality: given.table for modality, given in self.vectors.items()}, base)

    def scan(
        self,
        store: Store,
        fragments: list[Fragment],
        settle: WriteSnapshotBucket,
        find: FindMissing,
        scans: ScanCache,
        progress: ProgressReporter,
    ) -> ScanCatalog:
        """The part that reads the inputs and finds what was never encoded."""
        root = None if self.audio_root is None else files.absolute(self.audio_root)
        tracks = ScanTracks(store.buckets, root, list(self.encoders), progress)
        vectors = ScanVectors(self.vectors, store.buckets, scans, progress)
        refused = self.gate.is_exceeded
        return ScanCatalog(store.buckets, fragments, list(scans.told), tracks, vectors, settle, find, refused)

    def _add_vectors(
        self,
        missing: beam.pvalue.DoOutputsTuple,
        store: Store,
        catalog: Catalog,
        fragments: list[Fragment],
        runner: PipelineRunner,
    ) -> Iterator[beam.PCollection]:
        """Encode what is missing, and take the given vectors that are; gives the counts of each."""
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
        yield missing[LOCATIONS_TAG] | "add given vectors" >> AddPrecomputed(self.vectors, store, runner.progress)

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
            vectors={modality: asdict(vector_counts(counts, modality)) for modality in self.vectors},
            ignored_columns=sorted(name.split("/", 1)[1] for name in counts if name.startswith("ignored/")),
        )
        reconcile_rows(manifest)
        for rows in input_rows(manifest, counts):
            self.gate.check(rows)
        reconcile_inputs(counts)
        if counts["audio_without_root"] and AUDIO not in manifest.encoders:
            _logger.warning("%d tracks have audio, which needs --audio-root", counts["audio_without_root"])
        files.write_bytes(catalog.manifest, manifest.to_json().encode())
        return manifest

    def _by_modality(self, counts: Mapping[str, int], name: str) -> dict[str, int]:
        """What was counted of each modality that has inputs in the catalog."""
        modalities = [m for m in MODALITIES if m in CONTENT_MODALITIES or m in self.vectors]
        return {modality: counts[f"{name}/{modality}"] for modality in modalities}


def _seconds(milliseconds: Mapping[str, int]) -> dict[str, float]:
    return {modality: spent / 1000 for modality, spent in milliseconds.items()}


def _describe_encoders(
    store: Store, encoders: Mapping[str, Encoder], vectors: Mapping[str, PrecomputedEmbeddings]
) -> None:
    """Leave beside the vectors what their encoder id is a hash of, and how to train on them."""
    for modality, encoder in encoders.items():
        _describe(store, modality, encoder.encoder_id, EncoderManifest(encoder.standardize, encoder.identity()))
    for modality, given in vectors.items():
        manifest = EncoderManifest(standardize=False, identity=given.identity())
        described = _describe(store, modality, given.encoder_id, manifest)
        if described.identity["dim"] != given.table.dim:
            raise InvalidDataError(
                f"{modality} vectors {given.source} have {given.table.dim} dimensions, and those in the store "
                f"{described.identity['dim']}: they are of another encoder, so give another --vectors-id"
            )


def _describe(store: Store, modality: str, encoder_id: str, manifest: EncoderManifest) -> EncoderManifest:
    """Describe an encoder unless it is described; return what stands there."""
    path = store.encoder(modality, encoder_id)
    if files.exists(path):
        return store.read_encoder(modality, encoder_id)
    files.write_bytes(path, manifest.to_json().encode())
    return manifest
