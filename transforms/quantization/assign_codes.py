"""Give every vector of a catalog the code of its nearest centroid."""

from collections.abc import Iterator, Mapping

import apache_beam as beam
import pyarrow as pa

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.tables.records import CODE_RECORDS
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_codebook
from tracktokens.transforms.store.layout import Catalog, Store, part_name
from tracktokens.transforms.store.records import VECTOR_FILE, catalog_keys, failed, read_vectors, uncoded, without


class AssignCodes(beam.DoFn):
    """Assigns the vectors of a bucket that have no code under a bundle. No vector leaves the bucket's task."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        bundle_id: str,
        encoders: Mapping[str, str],
        workers: int,
        progress: ProgressReporter,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._bundle_id = bundle_id
        self._encoders = dict(encoders)
        self._workers = workers
        self._progress = progress
        self._codebooks: dict[str, Codebook] = {}

    def setup(self) -> None:
        """Use this worker's share of the cores."""
        import faiss

        faiss.omp_set_num_threads(thread_share(self._workers))

    def process(self, element: tuple[str, int]) -> Iterator[tuple[str, int]]:
        """Assign one bucket of one modality and write its code facts; counts the codes."""
        modality, bucket = element
        keys = catalog_keys(self._catalog, modality, bucket)
        missing = uncoded(self._store, self._bundle_id, modality, bucket, keys)
        records = list(self._assign(modality, bucket, missing))
        self._require_vectors(modality, bucket, without(missing, [batch["key"] for batch in records]))
        if records:
            name = part_name(pa.concat_arrays([batch["key"] for batch in records]))
            folder = self._store.codes(self._bundle_id, modality, bucket)
            files.write_batches(files.join(folder, name), CODE_RECORDS, records, **VECTOR_FILE)
        yield f"assigned/{modality}", sum(batch.num_rows for batch in records)
        self._progress.add("assign codes", done=len(keys))

    def _require_vectors(self, modality: str, bucket: int, left: pa.Array) -> None:
        """Refuse to go on where an input has neither a vector nor a failure; a track may be in no playlist."""
        if not len(left) or modality == PLAYLIST:
            return
        failures = failed(self._store, self._catalog, modality, self._encoders[modality], bucket)
        lost = without(left, [failures["key"].combine_chunks()])
        if len(lost):
            raise InvalidDataError(
                f"{len(lost)} {modality} inputs of the catalog have no vector: run `tracktokens embed`, "
                "which makes those that are missing"
            )

    def _assign(self, modality: str, bucket: int, missing: pa.Array) -> Iterator[pa.RecordBatch]:
        if not len(missing):
            return
        codebook = self._codebook(modality)
        for keys, vectors in read_vectors(self._store.vectors(modality, codebook.encoder_id, bucket), missing):
            found = assign(codebook, vectors)
            margins = pa.array(found.margins, from_pandas=True)  # NaN, one centroid only, becomes null
            columns = [keys, pa.array(found.codes), pa.array(found.distances), margins]
            yield pa.record_batch(columns, schema=CODE_RECORDS)

    def _codebook(self, modality: str) -> Codebook:
        if modality not in self._codebooks:
            self._codebooks[modality] = read_codebook(self._store, self._bundle_id, modality)
        return self._codebooks[modality]
