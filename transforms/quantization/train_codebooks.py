"""Draw the sample that a codebook is trained on, and train it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.numerics.arrays import HalfVectors
from tracktokens.codebooks.training.fit import fit_level
from tracktokens.schemas.token_format import TokenColumn, TokenFormat, modality_of
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_codebook_file
from tracktokens.transforms.store.keys import seeded_hash
from tracktokens.transforms.store.layout import Catalog, Store
from tracktokens.transforms.store.records import (
    VECTOR_FILE,
    as_matrix,
    catalog_keys,
    make_vector_records,
    read_vectors,
    vectors_of_any_dim,
)

SLACK = 6.0
"""Standard deviations by which a bucket's share of the sample may exceed its expectation."""


def hash_threshold(total: int, wanted: int) -> int:
    """Return the 64-bit hash below which at least ``wanted`` of ``total`` uniform hashes fall.

    The chance that fewer do is one in a billion. Each bucket drops most of its rows by it; the smallest ``wanted`` are
    chosen exactly later.

    >>> hash_threshold(total=10, wanted=10) == 2**64 - 1
    True
    >>> hash_threshold(total=1_000_000, wanted=10_000) / 2**64  # 1 % and the slack
    0.0106
    """
    if total <= wanted:
        return (1 << 64) - 1
    enough = wanted + SLACK * np.sqrt(wanted)
    return min(int(enough / total * 2.0**64), (1 << 64) - 1)


@dataclass(frozen=True)
class TrainingFolder:
    """The folder of one training. Workers read and write it, so that no codebook travels in the graph."""

    folder: str

    def codebook(self, name: str) -> str:
        """Path of the trained codebook of a column."""
        return files.join(self.folder, f"{name}.safetensors")

    def metrics(self, name: str) -> str:
        """Path of the metrics of a training."""
        return files.join(self.folder, f"{name}.json")

    def sample(self, modality: str, bucket: int) -> str:
        """Path of the sample of the buckets that begin with this one."""
        return files.join(self.folder, f"{modality}-sample", f"part-{bucket:04d}.parquet")

    def start(self, name: str) -> str:
        """Path of the codebook that a training starts from: the old centroids, and the new codebook's preprocessing.

        The preprocessing maps vectors into the space of the centroids.
        """
        return files.join(self.folder, f"{name}-start.safetensors")

    def write_starts(self, starts: Mapping[str, Codebook]) -> None:
        """Write the codebooks that the training of some columns starts from."""
        for name, codebook in starts.items():
            files.write_bytes(self.start(name), codebook.to_bytes())

    def write_kept(self, kept: Mapping[str, Codebook]) -> None:
        """Write the codebooks of columns that are not trained: residual levels are trained on what these leave."""
        for name, codebook in kept.items():
            files.write_bytes(self.codebook(name), codebook.to_bytes())


@dataclass(kw_only=True, eq=False)
class SampleVectors(beam.DoFn):
    """Read the vectors of one bucket whose keys are in a catalog and have a hash below a threshold.

    Attributes:
        store: the store.
        catalog: catalog snapshot whose keys count.
        encoders: modality to encoder id.
        thresholds: modality to largest hash; see :func:`hash_threshold`.
        seed: seed of the hash.
    """

    store: Store
    catalog: Catalog
    encoders: Mapping[str, str]
    thresholds: Mapping[str, int]
    seed: int
    _listings: files.Listings = field(default_factory=files.Listings, init=False, repr=False)

    def process(self, element: tuple[str, int]) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Sample one bucket of one modality: batches of vector records, by modality."""
        modality, bucket = element
        with self._listings.used():
            keys = catalog_keys(self.catalog, modality, bucket)
        chosen = keys.filter(pa.array(seeded_hash(keys, self.seed) <= np.uint64(self.thresholds[modality])))
        folder = self.store.vectors(modality, self.encoders[modality], bucket)
        for part, vectors in self._listings.each(read_vectors(folder, chosen)):
            yield modality, make_vector_records(part, vectors)


SAMPLE_FILES = 64
"""Largest number of files that the sample of a modality is written to: each costs a request to an object store."""


def bucket_ranges(buckets: Iterable[tuple[str, int]]) -> list[tuple[str, tuple[int, ...]]]:
    """Divide the buckets of each modality into at most ``SAMPLE_FILES`` ranges of equal size.

    >>> bucket_ranges([("tags", 0), ("tags", 1)])
    [('tags', (0,)), ('tags', (1,))]
    """
    by_modality: dict[str, list[int]] = {}
    for modality, bucket in buckets:
        by_modality.setdefault(modality, []).append(bucket)
    ranges = []
    for modality, numbers in by_modality.items():
        size = -(-len(numbers) // SAMPLE_FILES)
        ranges += [(modality, tuple(numbers[i : i + size])) for i in range(0, len(numbers), size)]
    return ranges


@dataclass(kw_only=True, eq=False)
class WriteSample(beam.DoFn):
    """Sample some buckets of a modality into a file: modality and path.

    The sample of five modalities is a gigabyte, which a local runner would hold in memory, several times, to group it.

    Attributes:
        draw: samples one bucket.
        folder: folder of the training.
    """

    draw: SampleVectors
    folder: TrainingFolder

    def process(self, element: tuple[str, Sequence[int]]) -> Iterator[tuple[str, str]]:
        """Write one file, unless the sample has no vector of these buckets."""
        modality, buckets = element
        batches = (batch for bucket in buckets for _, batch in self.draw.process((modality, bucket)))
        first = next(batches, None)
        if first is not None:
            path = self.folder.sample(modality, buckets[0])
            files.write_batches(path, first.schema, chain([first], batches), **VECTOR_FILE)
            yield modality, path


def smallest_hashes(records: pa.Table, wanted: int, seed: int) -> pa.Table:
    """Choose the ``wanted`` records whose keys have the smallest seeded hash, whatever the order of the records."""
    if records.num_rows <= wanted:
        return records
    hashes = seeded_hash(records["key"].combine_chunks(), seed)
    return records.take(pa.array(np.argpartition(hashes, wanted)[:wanted]))


@dataclass(kw_only=True, eq=False)
class TrainCodebook(beam.DoFn):
    """Train the codebooks of one modality on the files of its sample; write them and their metrics to a folder.

    A residual level is trained on what the levels before it leave of the same sample.

    Attributes:
        folder: folder of the training.
        encoders: modality to encoder id.
        standardized: modalities whose vectors are standardised and whitened; others' are scaled to unit length.
        started: columns whose training starts from a codebook in the folder.
        kept: columns whose codebook is in the folder already.
        token_format: columns, with the codes that the vocabulary reserves.
        sample: vectors per modality to train on.
        seed: seed of the sample and of k-means.
        workers: worker processes that share the cores.
        progress: receives one count per modality.
    """

    folder: TrainingFolder
    encoders: Mapping[str, str]
    standardized: Collection[str]
    started: Collection[str] = ()
    kept: Collection[str] = ()
    token_format: TokenFormat
    sample: int
    seed: int
    workers: int
    progress: ProgressReporter

    def process(self, element: tuple[str, Iterable[str]]) -> None:
        """Train one modality."""
        modality, paths = element
        batches = (
            batch for path in sorted(paths) for batch in files.read_batches(path, vectors_of_any_dim, checked=True)
        )
        records = smallest_hashes(pa.Table.from_batches(batches), self.sample, self.seed)
        vectors = as_matrix(records["vector"].combine_chunks())
        trained: list[Codebook] = []
        for column in self.token_format.columns_of(modality):
            if column.name not in self.kept:
                self._train(column, vectors, trained)
            trained.append(read_codebook_file(self.folder.codebook(column.name)))
        self.progress.add("train codebooks", done=1)

    def _train(self, column: TokenColumn, vectors: HalfVectors, before: Sequence[Codebook]) -> None:
        """Train one column of a modality, after the levels before it."""
        modality = modality_of(column.name)
        start = read_codebook_file(self.folder.start(column.name)) if column.name in self.started else None
        fit = fit_level(
            vectors,
            before,
            modality=modality,
            encoder_id=self.encoders[modality],
            codebook_size=column.size,
            seed=self.seed,
            standardize=modality in self.standardized and start is None,
            preprocessing=start.preprocessing if start else None,
            start=start.centroids if start else None,
            threads=thread_share(self.workers),
        )
        files.write_bytes(self.folder.codebook(column.name), fit.codebook.to_bytes())
        files.write_json(self.folder.metrics(column.name), asdict(fit.metrics))
