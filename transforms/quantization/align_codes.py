"""What a retraining needs beside the training: playlist spaces compared, and old and new codes of the same tracks."""

from collections.abc import Iterable, Iterator, Mapping

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
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.schemas.tables.records import KEY
from tracktokens.transforms.quantization.code_join import (
    CODED_ROWS,
    by_track_bucket,
    common_codes,
    fill_codes,
    places_of,
)
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import distinct_sorted, sort_by_key
from tracktokens.transforms.store.layout import Catalog, Store
from tracktokens.transforms.store.records import as_matrix, catalog_keys, make_vector_records, read_vectors
from tracktokens.transforms.store.token_tables import TokenTable


class CompareSpaces(beam.DoFn):
    """Gathers how the vectors of two encoders lie to each other, of the tracks in a bucket that have both."""

    def __init__(self, store: Store, catalog: Catalog, modality: str, old: str, new: str, dim: int) -> None:
        self._store = store
        self._catalog = catalog
        self._modality = modality
        self._encoders = (old, new)
        self._dim = dim

    def process(self, bucket: int) -> Iterator[tuple[int, RotationAccumulator]]:
        """Gather one bucket of keys, and say which it was: sums are rounded, so they are added in this order."""
        keys = catalog_keys(self._catalog, self._modality, bucket)
        old, new = (
            _stored(self._store.vectors(self._modality, encoder, bucket), keys, self._dim) for encoder in self._encoders
        )
        common = old.filter(pc.is_in(old["key"], value_set=new["key"].combine_chunks()))
        places = pc.index_in(common["key"], value_set=new["key"].combine_chunks())
        gathered = RotationAccumulator(self._dim)
        matching = new.take(places)
        gathered.update(as_matrix(matching["vector"].combine_chunks()), as_matrix(common["vector"].combine_chunks()))
        yield bucket, gathered


def merged_rotation(parts: Iterable[tuple[int, RotationAccumulator]], dim: int) -> Rotation:
    """Find the rotation from what was gathered in the buckets."""
    merged = RotationAccumulator(dim)
    for _, part in sorted(parts, key=lambda numbered: numbered[0]):
        merged.merge(part)
    return merged.finalize()


def _stored(folder: str, keys: pa.Array, dim: int) -> pa.Table:
    """The vector facts of some keys, in order of key."""
    found = [make_vector_records(part, vectors) for part, vectors in read_vectors(folder, keys)]
    empty = make_vector_records(pa.array([], KEY.type), np.zeros((0, dim), np.float16))
    return sort_by_key(pa.Table.from_batches([empty, *found]).combine_chunks())


class AssignWithNewBundle(beam.DoFn):
    """Assigns the vectors of a bucket with codebooks that are not published: ``CODED_ROWS`` by bucket of track."""

    def __init__(self, store: Store, catalog: Catalog, codebooks: Mapping[str, Codebook], workers: int) -> None:
        self._store = store
        self._catalog = catalog
        self._codebooks = dict(codebooks)
        self._workers = workers

    def setup(self) -> None:
        """Use this worker's share of the cores."""
        import faiss

        faiss.omp_set_num_threads(thread_share(self._workers))

    def process(self, element: tuple[str, int]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Assign one bucket of one modality."""
        modality, bucket = element
        codebook = self._codebooks[modality]
        keys = files.read_table(self._catalog.keys(modality, bucket), TRACK_KEYS)
        wanted = distinct_sorted(keys["key"].combine_chunks())
        for found, vectors in read_vectors(self._store.vectors(modality, codebook.encoder_id, bucket), wanted):
            records = pa.table({"key": found, "code": assign(codebook, vectors).codes})
            places = places_of(keys, records)
            yield from by_track_bucket(keys, places, records, modality, CODED_ROWS, self._catalog.buckets)


class PairCodes(beam.DoFn):
    """Counts pairs of old and new codes in a bucket of tracks, by modality."""

    def __init__(self, catalog: Catalog, old: TokenTable) -> None:
        self._catalog = catalog
        self._old = old

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[tuple[str, CodePairs]]:
        """Count one bucket."""
        bucket, batches = element
        tracks = files.read_table(self._catalog.tracks(bucket), CATALOG_TRACKS, ["track_id", "track"])
        new = np.full((tracks.num_rows, len(MODALITIES)), NONE, np.int16)
        fill_codes(new, pa.Table.from_batches(batches, CODED_ROWS), tracks["track"])
        old_rows = self._old.read(bucket, ["track_id", *MODALITIES])
        found, old = common_codes(old_rows, tracks["track_id"].combine_chunks())
        yield from pairs_by_modality(old, new[found.to_numpy()])


def pairs_by_modality(old: CodeMatrix, new: CodeMatrix) -> Iterator[tuple[str, CodePairs]]:
    """Count the pairs in each column of two code matrices of the same tracks."""
    for column, modality in enumerate(MODALITIES):
        yield modality, count_pairs(np.ascontiguousarray(old[:, column]), np.ascontiguousarray(new[:, column]))


class MergeCodePairs(beam.CombineFn):
    """Adds up pairs of codes."""

    def create_accumulator(self) -> list[CodePairs]:
        """Nothing yet."""
        return []

    def add_input(self, parts: list[CodePairs], part: CodePairs) -> list[CodePairs]:
        """Add one bucket's pairs."""
        return [merge_pairs([*parts, part])]

    def merge_accumulators(self, parts: Iterable[list[CodePairs]]) -> list[CodePairs]:
        """Add what several workers added."""
        return [merge_pairs([pairs for found in parts for pairs in found])]

    def extract_output(self, parts: list[CodePairs]) -> CodePairs:
        """All of them."""
        return merge_pairs(parts)
