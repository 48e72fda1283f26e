"""Measure a release while it is made: codebooks, the token table, the oracle, and neighbours on a sample."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Generic, Protocol, TypeVar

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam import typehints

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.metrics.codebook_quality import CodebookQualityAccumulator
from tracktokens.codebooks.metrics.drift import CodeUsage, new_track_fit
from tracktokens.codebooks.metrics.neighbour_recall import NeighbourRecall, NeighbourRecallAccumulator
from tracktokens.codebooks.metrics.oracle import OracleAccumulator, tie_sizes
from tracktokens.codebooks.metrics.token_uniqueness import UNKNOWN_SONG, TokenTableAccumulator
from tracktokens.codebooks.tokens.code_matrix import Codes, tuple_buckets
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.catalog.texts import song_text
from tracktokens.transforms.quantization.train_codebooks import SampleVectors, smallest
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import content_keys, key_words, sort_by_key, split_by_bucket
from tracktokens.transforms.store.records import as_matrix
from tracktokens.transforms.store.token_tables import popularity_weights

NEIGHBOUR_SAMPLE = 20_000
"""Distinct vectors of each modality among which neighbours are sought."""

NEIGHBOUR_QUERIES = 500
"""Of these, vectors whose neighbours are sought."""

Measured = typehints.KV[str, CodebookQualityAccumulator]
"""A modality, and what was measured of some of its codes."""

CODEBOOKS_FILE = "codebooks.json"
FIT_FILE = "new.json"
TABLE_FILE = "table.json"
NEIGHBOURS_FILE = "neighbours.json"

TUPLE_ROWS = pa.schema(
    [
        *[pa.field(modality, pa.int16(), nullable=False) for modality in MODALITIES],
        pa.field("song", pa.uint64(), nullable=False),
        ("popularity", pa.float64()),
    ]
)
"""A track on its way to the tracks with the same tokens: its codes, -1 for none; a hash of its title and artist."""


class Mergeable(Protocol):
    """An accumulator that can take in another of its kind."""

    def merge(self, other: Any, /) -> None:
        """Add what the other was given."""


Accumulator = TypeVar("Accumulator", bound=Mergeable)


class Merge(beam.CombineFn, Generic[Accumulator]):
    """Merges accumulators. Theirs give the same result in any order."""

    def create_accumulator(self) -> Accumulator | None:
        """Nothing yet."""
        return None

    def add_input(self, merged: Accumulator | None, part: Accumulator) -> Accumulator:
        """Merge one more; what came in stays as it is."""
        if merged is None:
            return copy.deepcopy(part)
        merged.merge(part)
        return merged

    def merge_accumulators(self, parts: Iterable[Accumulator | None]) -> Accumulator | None:
        """Merge what several workers merged."""
        merged: Accumulator | None = None
        for part in parts:
            if part is not None:
                merged = self.add_input(merged, part)
        return merged

    def extract_output(self, merged: Accumulator | None) -> Accumulator | None:
        """All of them in one."""
        return merged


def measure_codes(places: pa.Array, records: pa.Table, centroids: int) -> CodebookQualityAccumulator:
    """Measure the codes of one bucket of a modality.

    Args:
        places: for each track that has the modality the row of its code; null where it has none.
        records: ``CODE_RECORDS`` of the bucket.
        centroids: centroids of the codebook.
    """
    measured = CodebookQualityAccumulator(centroids)
    tracks = np.bincount(places.drop_null().to_numpy(), minlength=records.num_rows)
    used = np.flatnonzero(tracks)
    chosen = records.take(pa.array(used))
    margins = pc.fill_null(chosen["margin"], np.nan).to_numpy()
    measured.update(chosen["code"].to_numpy(), chosen["distance"].to_numpy(), margins, tracks[used])
    return measured


def tuple_rows(codes: Codes, tracks: pa.Table, buckets: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Divide tracks by a hash of their tokens, so that all with the same come together: batches of ``TUPLE_ROWS``.

    Args:
        codes: int16 (n, 5), -1 for none.
        tracks: ``title``, ``artist`` and ``popularity`` of the same tracks.
        buckets: into how many parts.
    """
    columns = [pa.array(np.ascontiguousarray(column)) for column in codes.T]
    popularity = tracks["popularity"].combine_chunks()
    batch = pa.record_batch([*columns, pa.array(song_hashes(tracks)), popularity], schema=TUPLE_ROWS)
    yield from split_by_bucket(batch, tuple_buckets(codes, buckets))


def song_hashes(tracks: pa.Table) -> npt.NDArray[np.uint64]:
    """Name each track's song by a hash of its title and artist; ``UNKNOWN_SONG`` where one is missing."""
    songs = song_text(tracks["title"].combine_chunks(), tracks["artist"].combine_chunks())
    known = songs.is_valid().to_numpy(zero_copy_only=False)
    hashes = np.full(len(songs), UNKNOWN_SONG, np.uint64)
    hashes[known] = np.maximum(key_words(content_keys(songs.drop_null()))[:, 0], np.uint64(1))
    return hashes


class TableMeasures:
    """What is measured of tracks with the same tokens."""

    def __init__(self) -> None:
        self.table = TokenTableAccumulator()
        self.oracle = OracleAccumulator()

    def merge(self, other: "TableMeasures") -> None:
        """Add what another one was given: other tuples."""
        self.table.merge(other.table)
        self.oracle.merge(other.oracle)


def measure_tuples(batches: Iterable[pa.RecordBatch]) -> TableMeasures:
    """Measure one part of a token table, which :func:`tuple_rows` divided."""
    rows = pa.Table.from_batches(batches, TUPLE_ROWS).combine_chunks()
    codes = np.stack([rows[modality].to_numpy() for modality in MODALITIES], axis=1)
    measures = TableMeasures()
    measures.table.update(codes, rows["song"].to_numpy())
    measures.oracle.update(tie_sizes(codes), popularity_weights(rows["popularity"].combine_chunks()))
    return measures


class MeasureNeighbours(beam.DoFn):
    """Measures how much of the neighbourhoods of a sample the codes of a modality keep: modality and recall."""

    def __init__(self, codebooks: Mapping[str, Codebook], seed: int, workers: int) -> None:
        self._codebooks = dict(codebooks)
        self._seed = seed
        self._workers = workers

    def process(self, element: tuple[str, Iterable[pa.RecordBatch]]) -> Iterator[tuple[str, NeighbourRecall]]:
        """Measure one modality."""
        import faiss

        faiss.omp_set_num_threads(thread_share(self._workers))
        modality, batches = element
        records = sort_by_key(smallest(pa.Table.from_batches(batches), NEIGHBOUR_SAMPLE, self._seed))
        yield modality, neighbour_recall(self._codebooks[modality], as_matrix(records["vector"].combine_chunks()))


def neighbour_recall(codebook: Codebook, vectors: npt.NDArray[np.float16]) -> NeighbourRecall:
    """Measure the recall of the neighbours of the first vectors among all of them, float16 (n, dim)."""
    ids, codes = np.arange(len(vectors)), assign(codebook, vectors).codes
    asked = slice(0, NEIGHBOUR_QUERIES)
    measured = NeighbourRecallAccumulator(codebook, ids[asked], vectors[asked], codes[asked])
    measured.update(ids, vectors, codes)
    return measured.finalize()


class WriteCodebookQuality(beam.PTransform):
    """Merges what was measured of codes, by modality, and writes modality to quality and to tracks of each code."""

    def __init__(self, path: str, variances: Mapping[str, float | None]) -> None:
        super().__init__()
        self._path = path
        self._variances = dict(variances)

    def expand(self, measured: beam.PCollection) -> beam.PCollection:
        """Merge, gather, write."""
        return measured | beam.CombinePerKey(Merge()) | beam.combiners.ToDict() | beam.Map(self._write)

    def _write(self, measured: Mapping[str, CodebookQualityAccumulator]) -> None:
        content = {
            modality: {"quality": asdict(part.finalize(self._variances[modality])), "counts": part.counts.tolist()}
            for modality, part in measured.items()
        }
        files.write_json(self._path, content)


class WriteNewTrackFit(beam.PTransform):
    """Merges what was measured of new codes, by modality, and writes modality to how well they fit."""

    def __init__(self, path: str, uses: Mapping[str, CodeUsage]) -> None:
        super().__init__()
        self._path = path
        self._uses = dict(uses)

    def expand(self, measured: beam.PCollection) -> beam.PCollection:
        """Merge, gather, write."""
        return measured | beam.CombinePerKey(Merge()) | beam.combiners.ToDict() | beam.Map(self._write)

    def _write(self, measured: Mapping[str, CodebookQualityAccumulator]) -> None:
        fits = {m: new_track_fit(part, self._uses[m]) for m, part in measured.items() if m in self._uses}
        files.write_json(self._path, {modality: asdict(fit) for modality, fit in fits.items()})


class WriteTableQuality(beam.PTransform):
    """Brings tracks with the same tokens together, measures them, and writes what it found."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Group by a hash of the tokens, measure, merge, write."""
        return (
            rows
            | "group by tokens" >> beam.GroupByKey()
            | "measure" >> beam.MapTuple(lambda _, batches: measure_tuples(batches)).with_output_types(TableMeasures)
            | "merge" >> beam.CombineGlobally(Merge())
            | "write" >> beam.Map(self._write)
        )

    def _write(self, measured: TableMeasures | None) -> None:
        found = measured or TableMeasures()
        content = {"tokens": asdict(found.table.finalize()), "oracle": asdict(found.oracle.finalize())}
        files.write_json(self._path, content)


class WriteNeighbourRecall(beam.PTransform):
    """Draws a sample of each modality's vectors, measures neighbours in it, and writes modality to recall."""

    def __init__(
        self, path: str, sample: SampleVectors, buckets: list[tuple[str, int]], measure: MeasureNeighbours
    ) -> None:
        super().__init__()
        self._path = path
        self._sample = sample
        self._buckets = buckets
        self._measure = measure

    def expand(self, start: beam.pvalue.PBegin) -> beam.PCollection:
        """Sample, group, measure, gather, write."""
        return (
            start
            | "buckets" >> beam.Create(self._buckets)
            | "spread buckets" >> beam.Reshuffle()
            | "sample" >> beam.ParDo(self._sample).with_output_types(typehints.KV[str, pa.RecordBatch])
            | "group by modality" >> beam.GroupByKey()
            | "measure" >> beam.ParDo(self._measure)
            | "gather" >> beam.combiners.ToDict()
            | "write" >> beam.Map(self._write)
        )

    def _write(self, recalls: Mapping[str, NeighbourRecall]) -> None:
        files.write_json(self._path, {modality: asdict(recall) for modality, recall in recalls.items()})
