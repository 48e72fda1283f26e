"""The embed job: scan a catalog, and encode what was never encoded."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial

import apache_beam as beam
import pyarrow as pa

from tracktokens.pipelines.launch import Launch
from tracktokens.pipelines.snapshot import newest_catalog
from tracktokens.schemas.catalog_manifest import CatalogManifest
from tracktokens.schemas.encoder_manifest import EncoderManifest
from tracktokens.schemas.errors import DataRefusedError
from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, MODALITIES
from tracktokens.schemas.tracks import TRACKS
from tracktokens.schemas.vectors import VectorCounts
from tracktokens.transforms import files
from tracktokens.transforms.arrow_coder import Count, Keyed, ModalityKeyed
from tracktokens.transforms.counts import COUNTS_TAG, Totals, WriteCounts, read_counts, require_balance
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoding import DECODING, ENCODING, EncodeMissing
from tracktokens.transforms.given_vectors import PLACES_TAG, GivenVectors, ScanVectors, TakeVectors, vector_counts
from tracktokens.transforms.inputs.fragments import Fragment, check_table, estimate_rows, find_fragments
from tracktokens.transforms.progress import Board
from tracktokens.transforms.rejecting import REJECTS_TAG, WriteRejects
from tracktokens.transforms.scanning import INPUTS_TAG, ScanTracks
from tracktokens.transforms.settling import FindMissing, SettleTracks
from tracktokens.transforms.store import Catalog, Store, new_id
from tracktokens.transforms.writer_lock import writes

DEFAULT_MAX_REJECT_RATE = 0.05
COUNTS_FILE = "counts.json"

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
    vectors: Mapping[str, GivenVectors] = field(default_factory=dict)
    retry_rejects: bool = False

    @writes("embed", creates=True)
    def run(self, launch: Launch) -> CatalogManifest:
        """Run the job and return the manifest of the catalog snapshot that it wrote.

        Raises:
            UsageError: when an input is not there, or ``store`` is something else.
            DataRefusedError: when the catalog cannot be used, or too many of its rows are rejected.
        """
        fragments = find_fragments(files.absolute(self.tracks), "tracks")
        check_table(fragments, TRACKS)
        rows = estimate_rows(fragments)
        store = Store.open_or_create(self.store, rows)
        _describe_encoders(store, self.encoders, self.vectors)
        launch.board.add("scan", total=rows)
        catalog_id = new_id()
        catalog = store.catalog(catalog_id)
        read = ReadVectors(self.vectors, store.buckets, catalog, newest_catalog(store), launch.board)
        launch.run(partial(self._build, store, catalog, fragments, read, launch))
        return self._finish(store, catalog_id)

    @property
    def encoder_ids(self) -> dict[str, str]:
        """Modality to the name of its vectors, encoded or given."""
        encoded = {modality: encoder.encoder_id for modality, encoder in self.encoders.items()}
        return encoded | {modality: vectors.encoder_id for modality, vectors in self.vectors.items()}

    def _build(
        self,
        store: Store,
        catalog: Catalog,
        fragments: list[Fragment],
        read: "ReadVectors",
        launch: Launch,
        pipeline: beam.Pipeline,
    ) -> None:
        settle = SettleTracks(catalog, list(self.vectors))
        find = FindMissing(store, catalog, self.encoder_ids, list(self.vectors), self.retry_rejects, launch.board)
        scanned = self.scan(store, fragments, read, settle, find, launch, pipeline)
        counts = [*scanned.counts, *self._add_vectors(scanned.missing, store, catalog, launch)]
        for name, rejects in scanned.rejects.items():
            rejects | f"write {name} rejects" >> WriteRejects(catalog.rejects, name)
        counts | "all counts" >> beam.Flatten() | "write counts" >> WriteCounts(files.join(catalog.folder, COUNTS_FILE))

    def scan(
        self,
        store: Store,
        fragments: list[Fragment],
        read: "ReadVectors",
        settle: SettleTracks,
        find: FindMissing,
        launch: Launch,
        pipeline: beam.Pipeline,
    ) -> "Scanned":
        """Read the inputs, and find what was never encoded."""
        root = None if self.audio_root is None else files.absolute(self.audio_root)
        scanned = (
            pipeline
            | "fragments" >> beam.Create(fragments)
            | "spread fragments" >> beam.Reshuffle()  # Create gives them to one worker
            | "scan" >> _outputs(ScanTracks(store.buckets, root, list(self.encoders), launch.board), Keyed)
        )
        vectors = pipeline | "given vectors" >> read
        settled = (
            {"rows": scanned.main, "vectors": vectors.main}
            | "group by track bucket" >> beam.CoGroupByKey()
            | "settle" >> _outputs(settle, ModalityKeyed)
        )
        row_counts = [scanned[COUNTS_TAG], vectors[COUNTS_TAG], settled[COUNTS_TAG]] | "row counts" >> beam.Flatten()
        # Known before anything is encoded: nothing is, of a catalog that is refused.
        totals = row_counts | "row totals" >> Totals()
        refused = totals | "refuse" >> beam.Map(is_refused, self.max_reject_rate).with_output_types(bool)
        inputs = [scanned[INPUTS_TAG], settled[INPUTS_TAG]] | "all inputs" >> beam.Flatten()
        missing = (
            {"keys": settled.main, "inputs": inputs}
            | "group by key bucket" >> beam.CoGroupByKey()
            | "find missing"
            >> beam.ParDo(find, beam.pvalue.AsSingleton(refused))
            .with_output_types(
                pa.RecordBatch,
                **{COUNTS_TAG: Count, PLACES_TAG: ModalityKeyed},
                **dict.fromkeys(self.encoders, pa.RecordBatch),
            )
            .with_outputs(COUNTS_TAG, PLACES_TAG, *self.encoders)
        )
        parts = {"scan": scanned, "vectors": vectors, "settle": settled}
        rejects = {name: found[REJECTS_TAG] for name, found in parts.items()}
        return Scanned(missing, [row_counts, missing[COUNTS_TAG]], rejects)

    def _add_vectors(
        self, missing: beam.pvalue.DoOutputsTuple, store: Store, catalog: Catalog, launch: Launch
    ) -> Iterator[beam.PCollection]:
        """Encode what is missing, and take the given vectors that are; gives the counts of each."""
        for modality, encoder in self.encoders.items():
            encode = EncodeMissing(store, catalog, modality, encoder, launch.workers, launch.board)
            yield missing[modality] | f"encode {modality}" >> encode
        take = TakeVectors(self.vectors, store, launch.board)
        yield (
            missing[PLACES_TAG]
            | "group by row group" >> beam.GroupByKey()
            | "take vectors" >> beam.ParDo(take).with_output_types(Count)
        )

    def _finish(self, store: Store, catalog_id: str) -> CatalogManifest:
        """Reconcile the counts and complete the snapshot."""
        catalog = store.catalog(catalog_id)
        counts = read_counts(files.join(catalog.folder, COUNTS_FILE))
        manifest = CatalogManifest(
            catalog_id=catalog_id,
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
        reconcile(manifest, counts, self.max_reject_rate)
        if counts["audio_without_root"] and AUDIO not in manifest.encoders:
            _logger.warning("%d tracks have audio, which needs --audio-root", counts["audio_without_root"])
        files.write_bytes(catalog.manifest, manifest.to_json().encode())
        return manifest

    def _by_modality(self, counts: Mapping[str, int], name: str) -> dict[str, int]:
        """What was counted of each modality that has inputs in the catalog."""
        modalities = [m for m in MODALITIES if m in CONTENT_MODALITIES or m in self.vectors]
        return {modality: counts[f"{name}/{modality}"] for modality in modalities}


@dataclass(frozen=True)
class Scanned:
    """What a scan gives in a pipeline.

    Attributes:
        missing: an output a modality with batches of ``INPUTS`` that were never encoded; ``PLACES_TAG`` has those whose
            vectors are given.
        counts: collections of named counts.
        rejects: step to its rejects.
    """

    missing: beam.pvalue.DoOutputsTuple
    counts: list[beam.PCollection]
    rejects: Mapping[str, beam.PCollection]


def _seconds(milliseconds: Mapping[str, int]) -> dict[str, float]:
    return {modality: spent / 1000 for modality, spent in milliseconds.items()}


def reconcile(manifest: CatalogManifest, counts: Mapping[str, int], max_reject_rate: float) -> None:
    """Check that every row read was accepted or rejected, of tracks and of vectors, and that not too many were.

    Raises:
        DataRefusedError: when there are no rows, or too many were rejected, or no vector is of a track.
        TracktokensError: when rows are unaccounted for, which is a fault of ours.
    """
    read, rejected = manifest.rows_read, manifest.rows_rejected
    require_balance("rows", read, manifest.rows_accepted, "accepted", rejected)
    if not manifest.rows_accepted:
        raise DataRefusedError(f"none of {read} rows can be used ({_reasons(counts)}): mend the input")
    if exceeds(rejected, read, max_reject_rate):
        raise DataRefusedError(
            f"{rejected} of {read} rows rejected, more than {max_reject_rate:.1%} ({_reasons(counts)}): "
            "mend the input, or raise --max-reject-rate; nothing was published"
        )
    for modality, found in manifest.vectors.items():
        reconcile_vectors(modality, VectorCounts(**found), max_reject_rate)


def reconcile_vectors(modality: str, counts: VectorCounts, max_reject_rate: float) -> None:
    """Check that every row of a vectors table is accounted for, and that there is something to use; see above."""
    rows = f"rows of {modality} vectors"
    require_balance(rows, counts.read, counts.used + counts.absent + counts.unknown, "used or left", counts.rejected)
    if exceeds(counts.rejected, counts.read, max_reject_rate):
        raise DataRefusedError(
            f"{counts.rejected} of {counts.read} {rows} rejected, more than {max_reject_rate:.1%}: "
            "mend them, or raise --max-reject-rate; nothing was published"
        )
    if not counts.used:
        raise DataRefusedError(
            f"none of {counts.read} {rows} is of a track of the catalog ({counts.unknown} have another track_id): "
            "compare their track_id with the catalog's"
        )


def _reasons(counts: Mapping[str, int]) -> str:
    prefix = "rejects/"
    return ", ".join(
        f"{name.removeprefix(prefix)} {n}" for name, n in sorted(counts.items()) if name.startswith(prefix)
    )


def exceeds(rejected: int, read: int, max_reject_rate: float) -> bool:
    """Whether more rows were rejected than may be."""
    return rejected > max_reject_rate * read


def is_refused(counts: Mapping[str, int], max_reject_rate: float) -> bool:
    """Whether so many rows were lost, of tracks or of a modality's vectors, that the catalog is refused."""
    names = [("rows_rejected", "rows_read")]
    names += [(f"vectors_rejected/{modality}", f"vectors_read/{modality}") for modality in MODALITIES]
    return any(exceeds(counts.get(lost, 0), counts.get(read, 0), max_reject_rate) for lost, read in names)


class ReadVectors(beam.PTransform):
    """Scans the vectors that are given: places by bucket of track, rejects, counts; all empty where none are."""

    def __init__(
        self,
        given: Mapping[str, GivenVectors],
        buckets: int,
        now: Catalog | None,
        before: Catalog | None,
        board: Board,
    ) -> None:
        super().__init__()
        self._fragments = [
            (modality, part.number) for modality, vectors in given.items() for part in vectors.table.fragments
        ]
        self._scan = ScanVectors(given, buckets, now, before, board)

    def expand(self, start: beam.pvalue.PBegin) -> beam.PCollection:
        """Spread the row groups over the workers, and scan them."""
        return (
            start
            | "row groups" >> beam.Create(self._fragments)
            | "spread row groups" >> beam.Reshuffle()
            | "scan" >> _outputs(self._scan, Keyed)
        )


def _outputs(dofn: beam.DoFn, main: object) -> beam.PTransform:
    """A ParDo with a typed main output, and inputs, rejects and counts beside it."""
    typed = beam.ParDo(dofn).with_output_types(
        main, **{INPUTS_TAG: ModalityKeyed, REJECTS_TAG: Keyed, COUNTS_TAG: Count}
    )
    return typed.with_outputs(INPUTS_TAG, REJECTS_TAG, COUNTS_TAG, main="main")


def _describe_encoders(store: Store, encoders: Mapping[str, Encoder], vectors: Mapping[str, GivenVectors]) -> None:
    """Leave beside the vectors what their encoder id is a hash of, and how to train on them."""
    for modality, encoder in encoders.items():
        _describe(store, modality, encoder.encoder_id, EncoderManifest(encoder.standardize, encoder.identity()))
    for modality, given in vectors.items():
        manifest = EncoderManifest(standardize=False, identity=given.identity())
        described = _describe(store, modality, given.encoder_id, manifest)
        if described.identity["dim"] != given.table.dim:
            raise DataRefusedError(
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
