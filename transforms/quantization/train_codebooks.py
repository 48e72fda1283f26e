"""Draw the sample that a codebook learns from, and learn it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.numerics.arrays import Floats
from tracktokens.codebooks.training.fit import fit_codebook
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import seeded_hash
from tracktokens.transforms.store.layout import Catalog, Store
from tracktokens.transforms.store.records import as_matrix, catalog_keys, make_vector_records, read_vectors

SLACK = 6.0
"""Standard deviations by which a bucket's share of the sample may exceed its expectation."""


def threshold(total: int, wanted: int) -> int:
    """The 64-bit hash below which at least ``wanted`` of ``total`` uniform hashes fall, but for a chance in a billion.

    It lets every bucket drop most rows on its own; the smallest ``wanted`` are then chosen exactly.
    """
    if total <= wanted:
        return (1 << 64) - 1
    enough = wanted + SLACK * np.sqrt(wanted)
    return min(int(enough / total * 2.0**64), (1 << 64) - 1)


@dataclass(frozen=True, eq=False)
class Start:
    """Where a retraining begins.

    Attributes:
        preprocessing: of the new codebook: it brings vectors into the space of the old one.
        centroids: of the old codebook, float32 (codes, components).
    """

    preprocessing: Preprocessing
    centroids: Floats


class SampleVectors(beam.DoFn):
    """Reads one bucket's vectors of the keys that a catalog has and whose hash is small enough."""

    def __init__(
        self, store: Store, catalog: Catalog, encoders: Mapping[str, str], thresholds: Mapping[str, int], seed: int
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._encoders = dict(encoders)
        self._thresholds = dict(thresholds)
        self._seed = seed

    def process(self, element: tuple[str, int]) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Sample one bucket of one modality: batches of vector facts by modality."""
        modality, bucket = element
        wanted = catalog_keys(self._catalog, modality, bucket)
        chosen = wanted.filter(pa.array(seeded_hash(wanted, self._seed) <= np.uint64(self._thresholds[modality])))
        for found, vectors in read_vectors(self._store.vectors(modality, self._encoders[modality], bucket), chosen):
            yield modality, make_vector_records(found, vectors)


def smallest(records: pa.Table, wanted: int, seed: int) -> pa.Table:
    """The ``wanted`` rows with the smallest seeded hash of their key: the same ones however the rows came."""
    if records.num_rows <= wanted:
        return records
    hashes = seeded_hash(records["key"].combine_chunks(), seed)
    return records.take(pa.array(np.argpartition(hashes, wanted)[:wanted]))


class TrainCodebook(beam.DoFn):
    """Learns the codebook of one modality from its sample, and leaves it and its metrics in a folder.

    The modalities in ``standardized`` have vectors that are standardised and whitened; others' have unit length. Those
    in ``starts`` go on from the centroids of an older codebook, in its space.
    """

    def __init__(
        self,
        folder: str,
        encoders: Mapping[str, str],
        standardized: Collection[str],
        starts: Mapping[str, Start],
        codebook_size: int,
        sample: int,
        seed: int,
        workers: int,
        progress: ProgressReporter,
    ) -> None:
        self._folder = folder
        self._encoders = dict(encoders)
        self._standardized = frozenset(standardized)
        self._starts = dict(starts)
        self._codebook_size = codebook_size
        self._sample = sample
        self._seed = seed
        self._workers = workers
        self._progress = progress

    def process(self, element: tuple[str, Iterable[pa.RecordBatch]]) -> None:
        """Train one modality."""
        modality, batches = element
        records = smallest(pa.Table.from_batches(batches), self._sample, self._seed)
        vectors = as_matrix(records["vector"].combine_chunks())
        start = self._starts.get(modality)
        fit = fit_codebook(
            vectors,
            modality=modality,
            encoder_id=self._encoders[modality],
            codebook_size=self._codebook_size,
            seed=self._seed,
            standardize=modality in self._standardized and start is None,
            preprocessing=start.preprocessing if start else None,
            start=start.centroids if start else None,
            threads=thread_share(self._workers),
        )
        files.write_bytes(files.join(self._folder, f"{modality}.safetensors"), fit.codebook.to_bytes())
        files.write_json(files.join(self._folder, f"{modality}.json"), asdict(fit.metrics))
        self._progress.add("train codebooks", done=1)
