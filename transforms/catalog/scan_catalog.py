"""Steps that scan a catalog: read, group by track, diff against the base, and find inputs that were never encoded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import apache_beam as beam
import pyarrow as pa

from tracktokens.schemas.modalities import AUDIO, MODALITIES
from tracktokens.transforms.catalog.find_missing import WANTED_TAG, FindMissing, ReadInputs
from tracktokens.transforms.catalog.scan_tracks import ScanTracks
from tracktokens.transforms.catalog.snapshot_tracks import FailureFolder, WriteSnapshotBucket
from tracktokens.transforms.catalog.snapshot_writer import BucketWriter
from tracktokens.transforms.precomputed.load_vectors import LOCATIONS_TAG
from tracktokens.transforms.precomputed.scan_cache import RowGroupScan, ScanCache
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings, ScanVectors, spill_embeddings
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.runtime.arrow_coder import Count, EveryBucket, Keyed, ModalityKeyed
from tracktokens.transforms.runtime.counters import COUNTS_TAG, OnTotals
from tracktokens.transforms.runtime.forgotten_tracks import ForgottenTracks
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import REJECTS_TAG
from tracktokens.transforms.runtime.spilled import CreateSpilled, SpilledList, spill
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Catalog, Store


@dataclass(frozen=True)
class ScanOutputs:
    """Collections that a scan adds to a pipeline.

    Attributes:
        missing: locations of the inputs that were never encoded: the outputs of ``FindMissing``.
        counts: collections of named counts.
        rejects: stage to its rejects.
    """

    missing: beam.pvalue.DoOutputsTuple
    counts: list[beam.PCollection]
    rejects: Mapping[str, beam.PCollection]


@dataclass(frozen=True)
class ScanInputs:
    """Input tables of a scan. The lists of their files are in a folder from which workers read them.

    Attributes:
        fragments: fragments of the tracks table.
        embeddings: modality to its precomputed embeddings.
        folder: the folder.
    """

    fragments: SpilledList[Fragment]
    embeddings: Mapping[str, PrecomputedEmbeddings]
    folder: str

    @classmethod
    def spill(
        cls, fragments: Sequence[Fragment], embeddings: Mapping[str, PrecomputedEmbeddings], folder: str
    ) -> "ScanInputs":
        """Write the lists of files into a folder."""
        return cls(spill(fragments, files.join(folder, "tracks.json")), spill_embeddings(embeddings, folder), folder)

    def row_groups(self, base: Catalog | None) -> SpilledList[RowGroupScan]:
        """Look up the row groups of the embeddings in the base snapshot, and write them into the folder."""
        tables = {modality: vectors.table for modality, vectors in self.embeddings.items()}
        return spill(ScanCache.of(tables, base).row_groups, files.join(self.folder, "row-groups.json"))


@dataclass(frozen=True, kw_only=True)
class ScanCatalog:
    """Scan of a catalog: it writes a snapshot, diffs it against the base, and finds inputs that were never encoded.

    Attributes:
        store: the store.
        inputs: the input tables.
        base: snapshot to diff against; None makes every key new.
        writer: destination of the snapshot.
        encoded: modality to encoder id, for the modalities that have an encoder.
        audio_root: folder that audio paths are relative to, or None.
        retry_rejects: whether permanent failures are encoded again. Transient failures of the base always are.
        is_refused: decides from the counts of rows to refuse the catalog; nothing of a refused catalog is encoded.
        progress: receives the progress of the steps.
    """

    store: Store
    inputs: ScanInputs
    base: Catalog | None
    writer: BucketWriter
    encoded: Mapping[str, str]
    audio_root: str | None
    retry_rejects: bool
    is_refused: Callable[[Mapping[str, int]], bool]
    progress: ProgressReporter

    def add_to(self, pipeline: beam.Pipeline) -> ScanOutputs:
        """Add the steps to a pipeline."""
        row_groups = self.inputs.row_groups(self.base)
        scans = ScanCache(row_groups)
        scanned = (
            pipeline
            | "fragments" >> CreateSpilled(self.inputs.fragments)
            | "scan" >> _outputs(self._scan_tracks(), Keyed)
        )
        vectors = (
            pipeline
            | "row groups" >> CreateSpilled(row_groups)
            | "scan vectors" >> _outputs(self._scan_vectors(), Keyed)
        )
        # Buckets without a current track are written too: they may have had tracks in the base.
        track_buckets = pipeline | "every track bucket" >> EveryBucket(self.store.buckets)
        written = (
            {"rows": scanned.main, "vectors": vectors.main, "every": track_buckets}
            | "group by track bucket" >> beam.CoGroupByKey()
            | "write snapshot" >> _outputs(self._write_snapshot(scans), ModalityKeyed)
        )
        row_counts = [scanned[COUNTS_TAG], vectors[COUNTS_TAG], written[COUNTS_TAG]] | "row counts" >> beam.Flatten()
        # Encoding waits for these totals, so nothing of a refused catalog is encoded.
        refused = row_counts | "refuse" >> OnTotals(self.is_refused, bool)
        missing = (
            {
                "changes": written.main,
                "every": pipeline | "every key bucket" >> EveryBucket(self.store.buckets, MODALITIES),
            }
            | "group by key bucket" >> beam.CoGroupByKey()
            | "find missing"
            >> beam.ParDo(self._find_missing(), beam.pvalue.AsSingleton(refused))
            .with_output_types(pa.RecordBatch, **{COUNTS_TAG: Count, LOCATIONS_TAG: ModalityKeyed, WANTED_TAG: Keyed})
            .with_outputs(COUNTS_TAG, LOCATIONS_TAG, WANTED_TAG)
        )
        stages = {"scan": scanned, "vectors": vectors, "settle": written}  # prefixes of file names
        rejects = {name: outputs[REJECTS_TAG] for name, outputs in stages.items()}
        return ScanOutputs(missing, [row_counts, missing[COUNTS_TAG]], rejects)

    @property
    def _encoder_ids(self) -> dict[str, str]:
        """Modality to encoder id, of encoders and of precomputed embeddings."""
        return {
            **self.encoded,
            **{modality: vectors.encoder_id for modality, vectors in self.inputs.embeddings.items()},
        }

    def _scan_tracks(self) -> ScanTracks:
        return ScanTracks(
            buckets=self.store.buckets,
            audio_root=self.audio_root,
            encoded=list(self.encoded),
            progress=self.progress,
            forgotten=self._forgotten,
        )

    def _scan_vectors(self) -> ScanVectors:
        return ScanVectors(
            embeddings=self.inputs.embeddings,
            buckets=self.store.buckets,
            progress=self.progress,
            forgotten=self._forgotten,
        )

    @cached_property
    def _forgotten(self) -> ForgottenTracks:
        """Tracks that were taken down from the store."""
        return ForgottenTracks.of(self.store)

    def _write_snapshot(self, scans: ScanCache) -> WriteSnapshotBucket:
        return WriteSnapshotBucket(
            writer=self.writer,
            buckets=self.store.buckets,
            base=self.base,
            encoded=list(self.encoded),
            precomputed=list(self.inputs.embeddings),
            scans=scans,
            retried=self._permanent_failures(),
        )

    def _find_missing(self) -> FindMissing:
        return FindMissing(
            store=self.store,
            writer=self.writer,
            base=self.base,
            encoders=self._encoder_ids,
            precomputed=list(self.inputs.embeddings),
            retry=self.retry_rejects,
            progress=self.progress,
        )

    def _permanent_failures(self) -> list[FailureFolder]:
        """Permanent failures to retry: all of them if asked for, else the misjudged ones of audio."""
        retried = {
            m: i for m, i in self._encoder_ids.items() if self.retry_rejects or (m == AUDIO and m in self.encoded)
        }
        only_misjudged = not self.retry_rejects
        return [FailureFolder(m, self.store.all_failures(m, i), only_misjudged) for m, i in retried.items()]


class ReadMissing(beam.PTransform):
    """Read inputs from their locations: ``INPUTS`` by modality and bucket of key."""

    def __init__(self, fragments: SpilledList[Fragment], buckets: int, audio_root: str | None) -> None:
        super().__init__()
        self._read = ReadInputs(fragments=fragments, buckets=buckets, audio_root=audio_root)

    def expand(self, wanted: beam.PCollection) -> beam.PCollection:
        """Read each fragment once."""
        return (
            wanted
            | "group by fragment" >> beam.GroupByKey()
            | "read inputs" >> beam.ParDo(self._read).with_output_types(ModalityKeyed)
        )


def _outputs(dofn: beam.DoFn, main: object) -> beam.PTransform:
    """Make a ParDo with a typed main output, rejects and counts."""
    typed = beam.ParDo(dofn).with_output_types(main, **{REJECTS_TAG: Keyed, COUNTS_TAG: Count})
    return typed.with_outputs(REJECTS_TAG, COUNTS_TAG, main="main")
