"""Align a retrained codebook with the old one: compare playlist spaces, and pair old and new codes of tracks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.continuity.alignment import CodePairs, count_pairs, merge_pairs
from tracktokens.codebooks.continuity.procrustes import Rotation, RotationAccumulator
from tracktokens.codebooks.numerics.arrays import CodeMatrix
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.token_format import column_name
from tracktokens.transforms.quantization.code_join import (
    CODED_ROWS,
    by_track_bucket,
    common_codes,
    fill_codes,
    record_rows,
)
from tracktokens.transforms.quantization.train_codebooks import TrainingFolder
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_codebook_file
from tracktokens.transforms.store.keys import distinct_sorted, sort_by_key
from tracktokens.transforms.store.layout import Catalog, Store
from tracktokens.transforms.store.records import as_matrix, catalog_keys, make_vector_records, read_vectors
from tracktokens.transforms.store.token_tables import TokenTable


@dataclass(kw_only=True, eq=False)
class CompareSpaces(beam.DoFn):
    """Accumulate the rotation between the vectors of two encoders, over the tracks of one bucket that have both.

    Attributes:
        store: the store.
        catalog: catalog snapshot whose tracks count.
        modality: modality of the encoders.
        encoders: ids of the old and the new encoder.
        dim: dimensions of both.
    """

    store: Store
    catalog: Catalog
    modality: str
    encoders: tuple[str, str]
    dim: int

    def process(self, bucket: int) -> Iterator[tuple[int, RotationAccumulator]]:
        """Accumulate one bucket of keys. It is yielded with its number: sums are rounded, so their order is fixed."""
        keys = catalog_keys(self.catalog, self.modality, bucket)
        old, new = (
            _stored_vectors(self.store.vectors(self.modality, encoder, bucket), keys, self.dim)
            for encoder in self.encoders
        )
        common = old.filter(pc.is_in(old["key"], value_set=new["key"].combine_chunks()))
        matching = new.take(pc.index_in(common["key"], value_set=new["key"].combine_chunks()))
        accumulator = RotationAccumulator(self.dim)
        accumulator.update(as_matrix(matching["vector"].combine_chunks()), as_matrix(common["vector"].combine_chunks()))
        yield bucket, accumulator


def merge_rotations(parts: Iterable[tuple[int, RotationAccumulator]], dim: int) -> Rotation:
    """Compute the rotation from the accumulators of all buckets, merged in order of bucket."""
    merged = RotationAccumulator(dim)
    for _, part in sorted(parts, key=lambda numbered: numbered[0]):
        merged.merge(part)
    return merged.finalize()


def _stored_vectors(folder: str, keys: pa.Array, dim: int) -> pa.Table:
    """Read the vector records of some keys, sorted by key."""
    records = [make_vector_records(part, vectors) for part, vectors in read_vectors(folder, keys)]
    empty = make_vector_records(pa.array([], KEY.type), np.zeros((0, dim), np.float16))
    return sort_by_key(pa.Table.from_batches([empty, *records]).combine_chunks())


@dataclass(kw_only=True, eq=False)
class AssignWithNewBundle(beam.DoFn):
    """Assign codes to the vectors of one bucket with codebooks that are not published yet.

    Output: ``CODED_ROWS`` by bucket of track.

    Attributes:
        store: the store.
        catalog: catalog snapshot whose vectors are assigned.
        folder: folder with the new codebooks. A worker reads those that it needs: in the graph they would be megabytes.
        names: columns of the token table, in order.
        workers: worker processes that share the cores.
    """

    store: Store
    catalog: Catalog
    folder: TrainingFolder
    names: Sequence[str]
    workers: int
    _codebooks: dict[str, tuple[Codebook, ...]] = field(default_factory=dict, init=False, repr=False)

    def setup(self) -> None:
        """Limit faiss to this worker's share of the cores."""
        import faiss

        faiss.omp_set_num_threads(thread_share(self.workers))

    def process(self, element: tuple[str, int]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Assign one bucket of one column."""
        name, bucket = element
        *before, codebook = self._levels(name)
        modality = codebook.modality
        keys = files.read_table(self.catalog.keys(modality, bucket), TRACK_KEYS)
        wanted = distinct_sorted(keys["key"].combine_chunks())
        for part, vectors in read_vectors(self.store.vectors(modality, codebook.encoder_id, bucket), wanted):
            records = pa.table({"key": part, "code": assign(codebook, vectors, before).codes})
            yield from by_track_bucket(
                keys,
                record_rows(keys, records),
                records,
                column=self.names.index(name),
                schema=CODED_ROWS,
                buckets=self.catalog.buckets,
            )

    def _levels(self, name: str) -> tuple[Codebook, ...]:
        """Read the codebook of a column, after those of the levels before it."""
        if name not in self._codebooks:
            codebook = read_codebook_file(self.folder.codebook(name))
            before = (column_name(codebook.modality, level) for level in range(1, codebook.level))
            levels = (read_codebook_file(self.folder.codebook(earlier)) for earlier in before)
            self._codebooks[name] = (*levels, codebook)
        return self._codebooks[name]


@dataclass(eq=False)
class PairCodes(beam.DoFn):
    """Count the pairs of an old and a new code in one bucket of tracks, by column.

    Attributes:
        catalog: catalog snapshot of the new codes.
        old: token table of the old codes, with the columns of the new ones.
    """

    catalog: Catalog
    old: TokenTable

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[tuple[str, CodePairs]]:
        """Count the pairs of one bucket."""
        bucket, batches = element
        tracks = files.read_table(self.catalog.tracks(bucket), CATALOG_TRACKS, ["track_id", "track"])
        names = [column.name for column in self.old.token_format.coded]
        new = np.full((tracks.num_rows, len(names)), NONE, np.int16)
        fill_codes(new, pa.Table.from_batches(batches, CODED_ROWS), tracks["track"])
        old_rows = self.old.read(bucket, ["track_id", *names])
        common, old = common_codes(old_rows, tracks["track_id"].combine_chunks())
        yield from pairs_by_column(names, old, new[common.to_numpy()])


def pairs_by_column(names: Sequence[str], old: CodeMatrix, new: CodeMatrix) -> Iterator[tuple[str, CodePairs]]:
    """Count the pairs of codes in each column of two code matrices of the same tracks."""
    for column, name in enumerate(names):
        yield name, count_pairs(np.ascontiguousarray(old[:, column]), np.ascontiguousarray(new[:, column]))


class MergeCodePairs(beam.CombineFn):
    """Sum the counts of code pairs."""

    def create_accumulator(self) -> list[CodePairs]:
        """Return an empty accumulator."""
        return []

    def add_input(self, parts: list[CodePairs], part: CodePairs) -> list[CodePairs]:
        """Add the pairs of one bucket."""
        return [merge_pairs([*parts, part])]

    def merge_accumulators(self, parts: Iterable[list[CodePairs]]) -> list[CodePairs]:
        """Merge the accumulators of several workers."""
        return [merge_pairs([pairs for accumulator in parts for pairs in accumulator])]

    def extract_output(self, parts: list[CodePairs]) -> CodePairs:
        """Return the merged pairs."""
        return merge_pairs(parts)
