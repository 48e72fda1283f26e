"""Measure a release while it is written: codebooks, the token table, the oracle, and neighbours on a sample."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
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
from tracktokens.codebooks.numerics.arrays import CodeMatrix
from tracktokens.codebooks.tokens.code_matrix import tuple_buckets
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.transforms.catalog.texts import song_text
from tracktokens.transforms.quantization.train_codebooks import SampleVectors, smallest_hashes
from tracktokens.transforms.runtime.gather import Gather
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_codebook
from tracktokens.transforms.store.keys import content_keys, key_words, sort_by_key, split_by_bucket
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.records import as_matrix
from tracktokens.transforms.store.token_tables import code_matrix, popularity_weights

NEIGHBOUR_SAMPLE = 20_000
"""Distinct vectors per modality among which neighbours are searched."""

NEIGHBOUR_QUERIES = 500
"""Vectors of the sample whose neighbours are searched."""

Measured = typehints.KV[str, CodebookQualityAccumulator]
"""A modality, and the quality of some of its codes."""

CODEBOOKS_FILE = "codebooks.json"
FIT_FILE = "new.json"
TABLE_FILE = "table.json"
NEIGHBOURS_FILE = "neighbours.json"


def tuple_schema(token_format: TokenFormat) -> pa.Schema:
    """Schema of tracks that are keyed by their tokens: codes, -1 for none, and a hash of title and artist."""
    return pa.schema(
        [
            *[pa.field(name, pa.int16(), nullable=False) for name in token_format.names],
            pa.field("song", pa.uint64(), nullable=False),
            ("popularity", pa.float64()),
        ]
    )


class Mergeable(Protocol):
    """An accumulator that can be merged with another of its kind."""

    def merge(self, other: Any, /) -> None:
        """Add the input of another accumulator."""


Accumulator = TypeVar("Accumulator", bound=Mergeable)


class Merge(beam.CombineFn, Generic[Accumulator]):
    """Merge accumulators whose result does not depend on the order."""

    def create_accumulator(self) -> Accumulator | None:
        """Start without an accumulator."""
        return None

    def add_input(self, merged: Accumulator | None, part: Accumulator) -> Accumulator:
        """Merge one accumulator; the input is not changed."""
        if merged is None:
            return copy.deepcopy(part)
        merged.merge(part)
        return merged

    def merge_accumulators(self, parts: Iterable[Accumulator | None]) -> Accumulator | None:
        """Merge the accumulators of several workers."""
        merged: Accumulator | None = None
        for part in parts:
            if part is not None:
                merged = self.add_input(merged, part)
        return merged

    def extract_output(self, merged: Accumulator | None) -> Accumulator | None:
        """Return the merged accumulator; None without input."""
        return merged


def measure_codes(row_indices: pa.Array, records: pa.Table, centroids: int) -> CodebookQualityAccumulator:
    """Measure the codes of one bucket of a modality.

    Args:
        row_indices: int (tracks,), row of each track's code in ``records``; null for a track without one.
        records: ``CODE_RECORDS`` of the bucket.
        centroids: number of centroids in the codebook.
    """
    quality = CodebookQualityAccumulator(centroids)
    tracks = np.bincount(row_indices.drop_null().to_numpy(), minlength=records.num_rows)
    used = np.flatnonzero(tracks)
    chosen = records.take(pa.array(used))
    margins = pc.fill_null(chosen["margin"], np.nan).to_numpy()
    quality.update(chosen["code"].to_numpy(), chosen["distance"].to_numpy(), margins, tracks[used])
    return quality


def tuple_rows(
    codes: CodeMatrix, tracks: pa.Table, token_format: TokenFormat, buckets: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Partition tracks by a hash of their first tokens, so that equal tuples share a part: batches of ``tuple_schema``.

    Args:
        codes: int16 (n, columns), -1 for none.
        tracks: ``title``, ``artist`` and ``popularity`` of the same tracks.
        token_format: the columns.
        buckets: number of parts.
    """
    columns = [pa.array(np.ascontiguousarray(column)) for column in codes.T]
    popularity = tracks["popularity"].combine_chunks()
    values = [*columns, pa.array(song_hashes(tracks)), popularity]
    batch = pa.record_batch(values, schema=tuple_schema(token_format))
    yield from split_by_bucket(batch, tuple_buckets(codes[:, : len(MODALITIES)], buckets))


def song_hashes(tracks: pa.Table) -> npt.NDArray[np.uint64]:
    """Hash title and artist of each track into its song: uint64 (tracks,), ``UNKNOWN_SONG`` where one is missing."""
    songs = song_text(tracks["title"].combine_chunks(), tracks["artist"].combine_chunks())
    known = songs.is_valid().to_numpy(zero_copy_only=False)
    hashes = np.full(len(songs), UNKNOWN_SONG, np.uint64)
    hashes[known] = np.maximum(key_words(content_keys(songs.drop_null()))[:, 0], np.uint64(1))
    return hashes


@dataclass(eq=False)
class TableMeasures:
    """Accumulators over tracks grouped by their tokens."""

    table: TokenTableAccumulator = field(default_factory=TokenTableAccumulator)
    oracle: OracleAccumulator = field(default_factory=OracleAccumulator)

    def merge(self, other: "TableMeasures") -> None:
        """Add the input of another; no tuple may be in both."""
        self.table.merge(other.table)
        self.oracle.merge(other.oracle)


@dataclass(eq=False)
class PrefixMeasures:
    """Measures of a token table by number of tokens, of the first tokens alone and of all.

    Attributes:
        prefixes: number of tokens to the measures of tuples of so many; the last is that of all tokens.
    """

    prefixes: dict[int, TableMeasures]

    def merge(self, other: "PrefixMeasures") -> None:
        """Add the input of another; no tuple may be in both."""
        for length, measures in self.prefixes.items():
            measures.merge(other.prefixes[length])


def prefix_lengths(token_format: TokenFormat) -> list[int]:
    """List the numbers of tokens to measure: one per modality, with residual levels, and with the number."""
    return [*dict.fromkeys((len(MODALITIES), len(token_format.coded), len(token_format)))]


def measure_tuples(token_format: TokenFormat, batches: Iterable[pa.RecordBatch]) -> PrefixMeasures:
    """Measure one part of a token table, as partitioned by :func:`tuple_rows`."""
    rows = pa.Table.from_batches(batches, tuple_schema(token_format)).combine_chunks()
    codes = code_matrix(rows, token_format.names)
    songs, popularity = rows["song"].to_numpy(), popularity_weights(rows["popularity"].combine_chunks())
    prefixes = {length: TableMeasures() for length in prefix_lengths(token_format)}
    for length, measures in prefixes.items():
        measures.table.update(codes[:, :length], songs)
        measures.oracle.update(tie_sizes(codes[:, :length]), popularity)
    return PrefixMeasures(prefixes)


@dataclass(eq=False)
class MeasureNeighbours(beam.DoFn):
    """Measure the recall of neighbours through the codes, on a sample of one modality: modality and recall.

    Attributes:
        store: the store, from which a worker reads the codebooks that it needs: in the graph they would be megabytes.
        bundle_id: bundle of the codebooks.
        seed: seed of the sample.
        workers: worker processes that share the cores of a machine.
    """

    store: Store
    bundle_id: str
    seed: int
    workers: int

    def process(self, element: tuple[str, Iterable[pa.RecordBatch]]) -> Iterator[tuple[str, NeighbourRecall]]:
        """Measure one modality."""
        import faiss

        faiss.omp_set_num_threads(thread_share(self.workers))
        modality, batches = element
        codebook = read_codebook(self.store, self.bundle_id, modality)  # of the first level
        records = sort_by_key(smallest_hashes(pa.Table.from_batches(batches), NEIGHBOUR_SAMPLE, self.seed))
        yield modality, neighbour_recall(codebook, as_matrix(records["vector"].combine_chunks()))


def neighbour_recall(codebook: Codebook, vectors: npt.NDArray[np.float16]) -> NeighbourRecall:
    """Measure the recall of the neighbours of the first ``NEIGHBOUR_QUERIES`` vectors among all, float16 (n, dim)."""
    ids, codes = np.arange(len(vectors)), assign(codebook, vectors).codes
    queries = slice(0, NEIGHBOUR_QUERIES)
    recall = NeighbourRecallAccumulator(codebook, ids[queries], vectors[queries], codes[queries])
    recall.update(ids, vectors, codes)
    return recall.finalize()


@dataclass(eq=False)
class WriteCodebookQuality(beam.PTransform):
    """Merge the quality of codes by modality, and write modality to ``quality`` and ``counts``, the tracks per code.

    Attributes:
        path: JSON file to write.
        variances: modality to the variance of the training vectors; None where it is not known.
    """

    path: str
    variances: Mapping[str, float | None]

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, measured: beam.PCollection) -> beam.PCollection:
        """Merge, gather, write."""
        write = partial(_write_quality, self.path, dict(self.variances))
        return measured | beam.CombinePerKey(Merge()) | Gather(write)


def _write_quality(
    path: str, variances: Mapping[str, float | None], measured: list[tuple[str, CodebookQualityAccumulator]]
) -> None:
    content = {
        modality: {"quality": asdict(part.finalize(variances[modality])), "counts": part.counts.tolist()}
        for modality, part in measured
    }
    files.write_json(path, content)


@dataclass(eq=False)
class WriteNewTrackFit(beam.PTransform):
    """Merge the quality of new codes by modality, and write modality to their fit.

    Attributes:
        path: JSON file to write.
        baselines: modality to the usage baseline of its codes; other modalities are left out.
    """

    path: str
    baselines: Mapping[str, CodeUsage]

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, measured: beam.PCollection) -> beam.PCollection:
        """Merge, gather, write."""
        write = partial(_write_fits, self.path, dict(self.baselines))
        return measured | beam.CombinePerKey(Merge()) | Gather(write)


def _write_fits(
    path: str, baselines: Mapping[str, CodeUsage], measured: list[tuple[str, CodebookQualityAccumulator]]
) -> None:
    fits = {m: new_track_fit(part, baselines[m]) for m, part in measured if m in baselines}
    files.write_json(path, {modality: fit.to_json() for modality, fit in fits.items()})


@dataclass(eq=False)
class WriteTableQuality(beam.PTransform):
    """Group tracks by their tokens, measure them, and write ``tokens`` and ``oracle``.

    With tokens beside the five of the modalities, ``prefixes`` has the same of the first tokens, by their number.

    Attributes:
        path: JSON file to write.
        token_format: columns of the table.
    """

    path: str
    token_format: TokenFormat

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Group by a hash of the tokens, measure, merge, write."""
        return (
            rows
            | "group by tokens" >> beam.GroupByKey()
            | "measure" >> beam.MapTuple(partial(_measure_part, self.token_format)).with_output_types(PrefixMeasures)
            | "merge" >> beam.CombineGlobally(Merge()).without_defaults()
            | "write" >> Gather(partial(_write_table_quality, self.path))
        )


def _measure_part(token_format: TokenFormat, _: int, batches: Iterable[pa.RecordBatch]) -> PrefixMeasures:
    return measure_tuples(token_format, batches)


def _write_table_quality(path: str, merged: list[PrefixMeasures]) -> None:
    prefixes = merged[0].prefixes if merged else {}
    *first, (_, every) = list(prefixes.items()) or [(0, TableMeasures())]
    content = _table_fields(every) | ({"prefixes": {str(n): _table_fields(part) for n, part in first}} if first else {})
    files.write_json(path, content)


def _table_fields(measures: TableMeasures) -> dict[str, Any]:
    return {"tokens": asdict(measures.table.finalize()), "oracle": asdict(measures.oracle.finalize())}


@dataclass(eq=False)
class WriteNeighbourRecall(beam.PTransform):
    """Sample the vectors of each modality, measure neighbours in the sample, and write modality to recall.

    Attributes:
        path: JSON file to write.
        sample: step that samples one bucket of one modality.
        buckets: modality and number of each bucket.
        measure: step that measures one modality.
    """

    path: str
    sample: SampleVectors
    buckets: list[tuple[str, int]]
    measure: MeasureNeighbours

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, start: beam.pvalue.PBegin) -> beam.PCollection:
        """Sample, group, measure, gather, write."""
        return (
            start
            | "buckets" >> beam.Create(self.buckets)
            | "sample" >> beam.ParDo(self.sample).with_output_types(typehints.KV[str, pa.RecordBatch])
            | "group by modality" >> beam.GroupByKey()
            | "measure" >> beam.ParDo(self.measure).with_output_types(typehints.KV[str, NeighbourRecall])
            | "write" >> Gather(partial(_write_recalls, self.path))
        )


def _write_recalls(path: str, recalls: list[tuple[str, NeighbourRecall]]) -> None:
    files.write_json(path, {modality: asdict(recall) for modality, recall in recalls})
