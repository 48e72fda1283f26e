"""The steps that scan a catalog: read, bring together by track, compare, and find what was never encoded."""

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
class Scanned:
    """What a scan gives in a pipeline.

    Attributes:
        missing: what was never encoded, and where it stands: the outputs of ``FindMissing``.
        counts: collections of named counts.
        rejects: step to its rejects.
    """

    missing: beam.pvalue.DoOutputsTuple
    counts: list[beam.PCollection]
    rejects: Mapping[str, beam.PCollection]


@dataclass(frozen=True)
class ScanCatalog:
    """Scans a catalog.

    Attributes:
        buckets: of the store.
        fragments: of the tracks table.
        row_groups: of the given vectors.
        tracks, vectors, settle, find: the steps.
        is_refused: tells by the counts of rows whether the catalog is refused; then nothing is encoded.
    """

    buckets: int
    fragments: Sequence[Fragment]
    row_groups: Sequence[RowGroup]
    tracks: ScanTracks
    vectors: ScanVectors
    settle: WriteSnapshotBucket
    find: FindMissing
    is_refused: Callable[[Mapping[str, int]], bool]

    def add_to(self, pipeline: beam.Pipeline) -> Scanned:
        """Add the steps to a pipeline."""
        scanned = (
            pipeline
            | "fragments" >> beam.Create(self.fragments)
            | "spread fragments" >> beam.Reshuffle()  # Create gives them to one worker
            | "scan" >> _outputs(self.tracks, Keyed)
        )
        vectors = (
            pipeline
            | "row groups" >> beam.Create(self.row_groups)
            | "spread row groups" >> beam.Reshuffle()
            | "scan vectors" >> _outputs(self.vectors, Keyed)
        )
        # Every bucket is settled, also one without a track now: there may have been some.
        every = range(self.buckets)
        track_buckets = pipeline | "every track bucket" >> EveryKey(every, Keyed)
        settled = (
            {"rows": scanned.main, "vectors": vectors.main, "every": track_buckets}
            | "group by track bucket" >> beam.CoGroupByKey()
            | "settle" >> _outputs(self.settle, ModalityKeyed)
        )
        row_counts = [scanned[COUNTS_TAG], vectors[COUNTS_TAG], settled[COUNTS_TAG]] | "row counts" >> beam.Flatten()
        # Known before anything is encoded: nothing is, of a catalog that is refused.
        totals = row_counts | "row totals" >> Totals()
        refused = totals | "refuse" >> beam.Map(self.is_refused).with_output_types(bool)
        key_buckets = [(modality, bucket) for modality in MODALITIES for bucket in every]
        missing = (
            {"changes": settled.main, "every": pipeline | "every key bucket" >> EveryKey(key_buckets, ModalityKeyed)}
            | "group by key bucket" >> beam.CoGroupByKey()
            | "find missing"
            >> beam.ParDo(self.find, beam.pvalue.AsSingleton(refused))
            .with_output_types(pa.RecordBatch, **{COUNTS_TAG: Count, LOCATIONS_TAG: ModalityKeyed, WANTED_TAG: Keyed})
            .with_outputs(COUNTS_TAG, LOCATIONS_TAG, WANTED_TAG)
        )
        parts = {"scan": scanned, "vectors": vectors, "settle": settled}
        rejects = {name: found[REJECTS_TAG] for name, found in parts.items()}
        return Scanned(missing, [row_counts, missing[COUNTS_TAG]], rejects)


class ReadMissing(beam.PTransform):
    """Reads inputs from where they stand: ``INPUTS`` by modality and bucket of key."""

    def __init__(self, fragments: list[Fragment], buckets: int) -> None:
        super().__init__()
        self._read = ReadInputs(fragments, buckets)

    def expand(self, wanted: beam.PCollection) -> beam.PCollection:
        """Read each fragment once."""
        return (
            wanted
            | "group by fragment" >> beam.GroupByKey()
            | "read inputs" >> beam.ParDo(self._read).with_output_types(ModalityKeyed)
        )


def _outputs(dofn: beam.DoFn, main: object) -> beam.PTransform:
    """A ParDo with a typed main output, and rejects and counts beside it."""
    typed = beam.ParDo(dofn).with_output_types(main, **{REJECTS_TAG: Keyed, COUNTS_TAG: Count})
    return typed.with_outputs(REJECTS_TAG, COUNTS_TAG, main="main")
