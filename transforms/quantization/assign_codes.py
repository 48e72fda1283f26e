"""Assign to every vector of a catalog the code of its nearest centroid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import apache_beam as beam
import pyarrow as pa

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.tables.records import CODE_RECORDS
from tracktokens.schemas.token_format import modality_of
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_levels
from tracktokens.transforms.store.layout import Catalog, Store, part_name
from tracktokens.transforms.store.records import VECTOR_FILE, catalog_keys, failed, read_vectors, uncoded, without


@dataclass(kw_only=True, eq=False)
class AssignCodes(beam.DoFn):
    """Assign codes to the vectors of one bucket that have none under a bundle. Vectors do not leave the bucket's task.

    Each column of the bundle has records of its own; a residual level assigns the codes of the levels before it again.

    Attributes:
        store: the store.
        catalog: catalog snapshot whose keys are assigned.
        bundle_id: the codebooks.
        encoders: modality to encoder id.
        workers: worker processes that share the cores.
        progress: receives the number of keys of each bucket.
    """

    store: Store
    catalog: Catalog
    bundle_id: str
    encoders: Mapping[str, str]
    workers: int
    progress: ProgressReporter
    _listings: files.Listings = field(default_factory=files.Listings, init=False, repr=False)
    _codebooks: dict[str, tuple[Codebook, ...]] = field(default_factory=dict, init=False, repr=False)

    def setup(self) -> None:
        """Use this worker's share of the cores."""
        import faiss

        faiss.omp_set_num_threads(thread_share(self.workers))

    def process(self, element: tuple[str, int]) -> Iterator[tuple[str, int]]:
        """Assign one bucket of one column and write its code records; yield the number of codes."""
        name, bucket = element
        modality = modality_of(name)
        with self._listings.used():
            keys = catalog_keys(self.catalog, modality, bucket)
            missing = uncoded(self.store, self.bundle_id, name, bucket, keys)
            records = list(self._assign(name, bucket, missing))
            self._require_vectors(modality, bucket, without(missing, [batch["key"] for batch in records]))
        if records:
            part = part_name(pa.concat_arrays([batch["key"] for batch in records]))
            folder = self.store.codes(self.bundle_id, name, bucket)
            files.write_batches(files.join(folder, part), CODE_RECORDS, records, **VECTOR_FILE)
        yield f"assigned/{name}", sum(batch.num_rows for batch in records)
        self.progress.add("assign codes", done=len(keys))

    def _require_vectors(self, modality: str, bucket: int, left: pa.Array) -> None:
        """Raise where an input has neither a vector nor a failure; playlist vectors may be missing."""
        if not len(left) or modality == PLAYLIST:
            return
        failures = failed(self.store, self.catalog, modality, self.encoders[modality], bucket)
        lost = without(left, [failures["key"].combine_chunks()])
        if len(lost):
            raise InvalidDataError(
                f"{len(lost)} {modality} inputs of the catalog have no vector: run `tracktokens embed`, "
                "which encodes them"
            )

    def _assign(self, name: str, bucket: int, missing: pa.Array) -> Iterator[pa.RecordBatch]:
        if not len(missing):
            return
        *before, codebook = self._levels(name)
        folder = self.store.vectors(codebook.modality, codebook.encoder_id, bucket)
        for keys, vectors in read_vectors(folder, missing):
            assignment = assign(codebook, vectors, before)
            margins = pa.array(assignment.margins, from_pandas=True)  # NaN, one centroid only, becomes null
            columns = [keys, pa.array(assignment.codes), pa.array(assignment.distances), margins]
            yield pa.record_batch(columns, schema=CODE_RECORDS)

    def _levels(self, name: str) -> tuple[Codebook, ...]:
        if name not in self._codebooks:
            self._codebooks[name] = read_levels(self.store, self.bundle_id, name)
        return self._codebooks[name]
