"""The embed job: scan a catalog, and encode what was never encoded."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import apache_beam as beam
import pyarrow as pa

from tracktokens.pipelines.launch import Launch
from tracktokens.schemas.catalog_manifest import CatalogManifest
from tracktokens.schemas.encoder_manifest import EncoderManifest
from tracktokens.schemas.errors import DataRefusedError
from tracktokens.schemas.modalities import CONTENT_MODALITIES
from tracktokens.schemas.tracks import TRACKS
from tracktokens.transforms import files
from tracktokens.transforms.arrow_coder import Count, Keyed, ModalityKeyed
from tracktokens.transforms.counts import COUNTS_TAG, Totals, WriteCounts, read_counts, require_balance
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoding import DECODING, ENCODING, EncodeMissing
from tracktokens.transforms.inputs.fragments import Fragment, check_table, estimate_rows, find_fragments
from tracktokens.transforms.rejecting import REJECTS_TAG, WriteRejects
from tracktokens.transforms.scanning import INPUTS_TAG, ScanTracks
from tracktokens.transforms.settling import FindMissing, SettleTracks
from tracktokens.transforms.store import Store, new_id

DEFAULT_MAX_REJECT_RATE = 0.05
COUNTS_FILE = "counts.json"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedJob:
    """Scan ``tracks`` into the store at ``store``, and encode with one encoder a modality.

    Attributes:
        tracks: file, folder or glob of the tracks table.
        store: root of the store; made when it is not there.
        encoders: modality to encoder. A modality without one keeps its place in the vocabulary and gets no codes.
        audio_root: folder below which audio paths lie, or None: then no track has audio.
        max_reject_rate: share of rows that may be lost before the catalog is refused.
    """

    tracks: str
    store: str
    encoders: Mapping[str, Encoder]
    audio_root: str | None = None
    max_reject_rate: float = DEFAULT_MAX_REJECT_RATE

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
        _describe_encoders(store, self.encoders)
        launch.board.add("scan", total=rows)
        catalog_id = new_id()
        launch.run(partial(self._build, store, catalog_id, fragments, launch))
        return self._finish(store, catalog_id)

    def _build(
        self, store: Store, catalog_id: str, fragments: list[Fragment], launch: Launch, pipeline: beam.Pipeline
    ) -> None:
        catalog = store.catalog(catalog_id)
        encoder_ids = {modality: encoder.encoder_id for modality, encoder in self.encoders.items()}
        root = None if self.audio_root is None else files.absolute(self.audio_root)
        scanned = (
            pipeline
            | "fragments" >> beam.Create(fragments)
            | "spread fragments" >> beam.Reshuffle()  # Create gives them to one worker
            | "scan" >> _outputs(ScanTracks(store.buckets, root, list(encoder_ids), launch.board), Keyed)
        )
        settled = (
            scanned.main
            | "group by track bucket" >> beam.GroupByKey()
            | "settle" >> _outputs(SettleTracks(catalog), ModalityKeyed)
        )
        row_counts = [scanned[COUNTS_TAG], settled[COUNTS_TAG]] | "row counts" >> beam.Flatten()
        # Known before anything is encoded: nothing is, of a catalog that is refused.
        totals = row_counts | "row totals" >> Totals()
        refused = totals | "refuse" >> beam.Map(is_refused, self.max_reject_rate).with_output_types(bool)
        missing = (
            {"keys": settled.main, "inputs": scanned[INPUTS_TAG]}
            | "group by key bucket" >> beam.CoGroupByKey()
            | "find missing"
            >> beam.ParDo(FindMissing(store, catalog, encoder_ids, launch.board), beam.pvalue.AsSingleton(refused))
            .with_output_types(pa.RecordBatch, **{COUNTS_TAG: Count}, **dict.fromkeys(encoder_ids, pa.RecordBatch))
            .with_outputs(COUNTS_TAG, *encoder_ids)
        )
        counts = [row_counts, missing[COUNTS_TAG]]
        for modality, encoder in self.encoders.items():
            encode = EncodeMissing(store, catalog, modality, encoder, launch.workers, launch.board)
            counts.append(missing[modality] | f"encode {modality}" >> encode)
        for name, rejected in (("scan", scanned[REJECTS_TAG]), ("settle", settled[REJECTS_TAG])):
            rejected | f"write {name} rejects" >> WriteRejects(catalog.rejects, name)
        counts | "all counts" >> beam.Flatten() | "write counts" >> WriteCounts(files.join(catalog.folder, COUNTS_FILE))

    def _finish(self, store: Store, catalog_id: str) -> CatalogManifest:
        """Reconcile the counts and complete the snapshot."""
        catalog = store.catalog(catalog_id)
        counts = read_counts(files.join(catalog.folder, COUNTS_FILE))
        manifest = CatalogManifest(
            catalog_id=catalog_id,
            rows_read=counts["rows_read"],
            rows_accepted=counts["rows_accepted"],
            rows_rejected=counts["rows_rejected"],
            encoders={modality: encoder.encoder_id for modality, encoder in self.encoders.items()},
            tracks_with={modality: counts[f"tracks_with/{modality}"] for modality in CONTENT_MODALITIES},
            inputs={modality: counts[f"inputs/{modality}"] for modality in CONTENT_MODALITIES},
            encoded={modality: counts[f"encoded/{modality}"] for modality in CONTENT_MODALITIES},
            failed={modality: counts[f"failed/{modality}"] for modality in CONTENT_MODALITIES},
            encoding_seconds=_seconds(counts, ENCODING),
            decoding_seconds=_seconds(counts, DECODING),
            ignored_columns=sorted(name.split("/", 1)[1] for name in counts if name.startswith("ignored/")),
        )
        reconcile(manifest, counts, self.max_reject_rate)
        if counts["audio_without_root"]:
            _logger.warning("%d tracks have audio, which needs --audio-root", counts["audio_without_root"])
        files.write_bytes(catalog.manifest, manifest.to_json().encode())
        return manifest


def _seconds(counts: Mapping[str, int], step: str) -> dict[str, float]:
    return {modality: counts[f"{step}/{modality}"] / 1000 for modality in CONTENT_MODALITIES}


def reconcile(manifest: CatalogManifest, counts: Mapping[str, int], max_reject_rate: float) -> None:
    """Check that every row read was accepted or rejected, and that not too many were.

    Raises:
        DataRefusedError: when there are no rows, or too many were rejected.
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


def _reasons(counts: Mapping[str, int]) -> str:
    prefix = "rejects/"
    return ", ".join(
        f"{name.removeprefix(prefix)} {n}" for name, n in sorted(counts.items()) if name.startswith(prefix)
    )


def exceeds(rejected: int, read: int, max_reject_rate: float) -> bool:
    """Whether more rows were rejected than may be."""
    return rejected > max_reject_rate * read


def is_refused(counts: Mapping[str, int], max_reject_rate: float) -> bool:
    """Whether so many rows were lost that the catalog is refused."""
    return exceeds(counts.get("rows_rejected", 0), counts.get("rows_read", 0), max_reject_rate)


def _outputs(dofn: beam.DoFn, main: object) -> beam.PTransform:
    """A ParDo with a typed main output, and inputs, rejects and counts beside it."""
    typed = beam.ParDo(dofn).with_output_types(
        main, **{INPUTS_TAG: ModalityKeyed, REJECTS_TAG: Keyed, COUNTS_TAG: Count}
    )
    return typed.with_outputs(INPUTS_TAG, REJECTS_TAG, COUNTS_TAG, main="main")


def _describe_encoders(store: Store, encoders: Mapping[str, Encoder]) -> None:
    """Leave beside the vectors what their encoder id is a hash of, and how to train on them."""
    for modality, encoder in encoders.items():
        path = store.encoder(modality, encoder.encoder_id)
        if not files.exists(path):
            manifest = EncoderManifest(encoder.standardize, encoder.identity())
            files.write_bytes(path, manifest.to_json().encode())
