"""Steps that scan a catalog: read, group by track, diff against the base, and find inputs that were never encoded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.catalog.find_missing import WANTED_TAG, FindMissing, ReadInputs
from tracktokens.transforms.catalog.scan_tracks import ScanTracks
from tracktokens.transforms.catalog.snapshot_tracks import WriteSnapshotBucket
from tracktokens.transforms.precomputed.load_vectors import LOCATIONS_TAG
from tracktokens.transforms.precomputed.scan_cache import RowGroup
from tracktokens.transforms.precomputed.scan_vectors import ScanVectors
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.runtime.arrow_coder import Count, EveryKey, Keyed, ModalityKeyed
from tracktokens.transforms.runtime.counters import COUNTS_TAG, Totals
from tracktokens.transforms.runtime.rejects import REJECTS_TAG


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


@dataclass(frozen=True, kw_only=True)
class ScanCatalog:
    """Steps of a catalog scan, connected.

    Attributes:
        buckets: number of buckets of the store.
        fragments: fragments of the tracks table.
        row_groups: row groups of the precomputed embeddings.
        scan_tracks, scan_vectors, write_snapshot, find_missing: the steps.
        is_refused: decides from the counts of rows to refuse the catalog; nothing of a refused catalog is encoded.
    """

    buckets: int
    fragments: Sequence[Fragment]
    row_groups: Sequence[RowGroup]
    scan_tracks: ScanTracks
    scan_vectors: ScanVectors
    write_snapshot: WriteSnapshotBucket
    find_missing: FindMissing
    is_refused: Callable[[Mapping[str, int]], bool]

    def add_to(self, pipeline: beam.Pipeline) -> ScanOutputs:
        """Add the steps to a pipeline."""
        scanned = (
            pipeline
            | "fragments" >> beam.Create(self.fragments)
            | "spread fragments" >> beam.Reshuffle()  # Create puts them all on one worker
            | "scan" >> _outputs(self.scan_tracks, Keyed)
        )
        vectors = (
            pipeline
            | "row groups" >> beam.Create(self.row_groups)
            | "spread row groups" >> beam.Reshuffle()
            | "scan vectors" >> _outputs(self.scan_vectors, Keyed)
        )
        # Buckets without a current track are written too: they may have had tracks in the base.
        every = range(self.buckets)
        track_buckets = pipeline | "every track bucket" >> EveryKey(every, Keyed)
        written = (
            {"rows": scanned.main, "vectors": vectors.main, "every": track_buckets}
            | "group by track bucket" >> beam.CoGroupByKey()
            | "write snapshot" >> _outputs(self.write_snapshot, ModalityKeyed)
        )
        row_counts = [scanned[COUNTS_TAG], vectors[COUNTS_TAG], written[COUNTS_TAG]] | "row counts" >> beam.Flatten()
        # Encoding waits for these totals, so nothing of a refused catalog is encoded.
        totals = row_counts | "row totals" >> Totals()
        refused = totals | "refuse" >> beam.Map(self.is_refused).with_output_types(bool)
        key_buckets = [(modality, bucket) for modality in MODALITIES for bucket in every]
        missing = (
            {"changes": written.main, "every": pipeline | "every key bucket" >> EveryKey(key_buckets, ModalityKeyed)}
            | "group by key bucket" >> beam.CoGroupByKey()
            | "find missing"
            >> beam.ParDo(self.find_missing, beam.pvalue.AsSingleton(refused))
            .with_output_types(pa.RecordBatch, **{COUNTS_TAG: Count, LOCATIONS_TAG: ModalityKeyed, WANTED_TAG: Keyed})
            .with_outputs(COUNTS_TAG, LOCATIONS_TAG, WANTED_TAG)
        )
        stages = {"scan": scanned, "vectors": vectors, "settle": written}  # prefixes of file names
        rejects = {name: outputs[REJECTS_TAG] for name, outputs in stages.items()}
        return ScanOutputs(missing, [row_counts, missing[COUNTS_TAG]], rejects)


class ReadMissing(beam.PTransform):
    """Read inputs from their locations: ``INPUTS`` by modality and bucket of key."""

    def __init__(self, fragments: list[Fragment], buckets: int) -> None:
        super().__init__()
        self._read = ReadInputs(fragments=fragments, buckets=buckets)

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
